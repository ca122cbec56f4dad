/**
 * A network of a test's own, for the node that berth runs on: 192.0.2.2 and 2001:db8::2 with servers of HTTP and HTTPS, and names for them
 * (upstream.ts), or a name server (name-server.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
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

const HOSTS = '127.0.0.1 localhost\n192.0.2.2 api.test other.test\n2001:db8::2 api.test\n'

export class OwnNetwork implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-network-'))
  /** What was asked of the servers. */
  readonly served: Served[] = []
  readonly #child: ChildProcess

  private constructor(program: string, files: Readonly<Record<string, string>>) {
    for (const [name, text] of Object.entries(files)) this.file(name, text)
    const words = [process.execPath, join(import.meta.dirname, program), this.dir]
    this.#child = spawn('unshare', ['--net', '--mount', '--', ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  }

  static async start(
    program = 'upstream.ts',
    files: Readonly<Record<string, string>> = { hosts: HOSTS },
  ): Promise<OwnNetwork> {
    const network = new OwnNetwork(program, files)
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

  /** The same, whole or not at all for who reads it meanwhile. */
  replace(name: string, text: string): void {
    renameSync(this.file(`${name}.new`, text), join(this.dir, name))
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
