/** A network of a test's own, for the node that berth runs on: 192.0.2.2 and 2001:db8::2 with servers of HTTP and HTTPS, and names for them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { binary, until } from './host.ts'
import { berth, type Finished } from './run.ts'

export interface Served {
  readonly method: string
  readonly url: string
  readonly authorization: string
}

export class OwnNetwork implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-network-'))
  /** What was asked of the servers. */
  readonly served: Served[] = []
  readonly #child: ChildProcess

  private constructor() {
    writeFileSync(join(this.dir, 'hosts'), '127.0.0.1 localhost\n192.0.2.2 api.test other.test\n2001:db8::2 api.test\n')
    const program = join(import.meta.dirname, 'upstream.ts')
    this.#child = spawn('unshare', ['--net', '--mount', '--', process.execPath, program, this.dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  }

  static async start(): Promise<OwnNetwork> {
    const network = new OwnNetwork()
    let ready = false
    const { stdout } = network.#child
    if (stdout === null) throw new Error('no output')
    createInterface(stdout).on('line', (line) => {
      if (line === 'ready') ready = true
      else network.served.push(JSON.parse(line) as Served)
    })
    await until('the servers', () => ready)
    return network
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** A file of the node's. */
  file(name: string, text: string): string {
    const path = join(this.dir, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }

  /** The command line, on this node. Its controller is its own, and leaves early. */
  async berth(...args: string[]): Promise<Finished> {
    const env = { ...process.env, BERTH_CONTROLLER_IDLE: '1', TOKEN: 'of-the-environment' }
    return await berth(['--target', String(this.pid), '--net', '--mount', '--', binary, ...args], { env }, 'nsenter')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await ended
    rmSync(this.dir, { recursive: true, force: true })
  }
}
