/** Drives a shim without containerd: the start call, then the task API straight over ttrpc, with a real events socket. */
import { execFile, execFileSync } from 'node:child_process'
import { closeSync, constants, existsSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { hasEnded, monitorPids, pidsWith, shimBinary, until } from './host.ts'

const exec = promisify(execFile)

/** A directory that stands for one containerd: the addresses that shims are told. */
export class Daemon implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-shim-'))
  readonly address = join(this.dir, 'containerd.sock')
  /** Where events go. */
  events = `${this.address}.ttrpc`
  readonly namespace = 'test'
  readonly binary: string
  readonly #env: Readonly<Record<string, string>>
  /** Descriptors of bundles' logs; undefined: bundles have none. */
  readonly #logs: number[] | undefined

  /** `logs`: bundles have the FIFO for the shim's log, without which runc's shim does not start. */
  constructor(binary = shimBinary, { logs = false, env = {} }: { logs?: boolean; env?: Record<string, string> } = {}) {
    this.binary = binary
    this.#env = env
    this.#logs = logs ? [] : undefined
  }

  bundle(id: string): string {
    const dir = join(this.dir, id)
    mkdirSync(join(dir, 'rootfs'), { recursive: true, mode: 0o700 })
    if (this.#logs !== undefined) {
      const log = join(dir, 'log')
      if (!existsSync(log)) execFileSync('mkfifo', ['-m', '700', log])
      this.#logs.push(openSync(log, constants.O_RDWR | constants.O_NONBLOCK))
    }
    return dir
  }

  #call(id: string, verb: string, { cwd, input }: { cwd?: string | undefined; input?: Uint8Array | undefined } = {}) {
    const args = ['-namespace', this.namespace, '-address', this.address, '-publish-binary', '/bin/false', '-id', id]
    const bundle = join(this.dir, id)
    const running = exec(this.binary, [...args, ...(verb === 'delete' ? ['-bundle', bundle] : []), verb], {
      cwd: cwd ?? bundle,
      env: { TTRPC_ADDRESS: this.events, ...this.#env },
      encoding: 'buffer',
    })
    running.child.stdin?.end(input?.length ? input : undefined) // containerd gives the options or nothing, and then EOF
    return running
  }

  /** The start call, with this on standard input; the path of the shim's socket, and the version of the task API that it asks for. */
  async answer(id: string, input?: Uint8Array): Promise<{ readonly path: string; readonly version: number }> {
    const text = (await this.#call(id, 'start', { input })).stdout.toString().trim()
    const { address, version } = text.startsWith('{') ? JSON.parse(text) : { address: text, version: 2 }
    return { path: address.replace('unix://', ''), version }
  }

  /** The start call; the path of the shim's socket. */
  async start(id: string, input?: Uint8Array): Promise<string> {
    return (await this.answer(id, input)).path
  }

  /** The delete call; its answer, a DeleteResponse. */
  async delete(id: string, cwd?: string): Promise<Uint8Array> {
    return (await this.#call(id, 'delete', { cwd })).stdout
  }

  /** Ends the shim of this container, as its owner would, or worse. */
  async stop(id: string, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    for (const pid of monitorPids(this.address, id)) {
      process.kill(pid, signal)
      await until('the shim has ended', () => hasEnded(pid))
    }
  }

  /** Shims of this containerd, whoever's. */
  #shims(): number[] {
    return pidsWith((args) => [this.address, `address=${this.address}`].some((address) => args.includes(address)))
  }

  /** Waits until every shim has left; ends those that stay, and says so. */
  async deserted(): Promise<boolean> {
    const left = await until('shims leave', () => this.#shims().length === 0, 5000).then(
      () => true,
      () => false,
    )
    for (const pid of this.#shims()) process.kill(pid, 'SIGKILL')
    return left
  }

  [Symbol.dispose](): void {
    for (const log of this.#logs ?? []) closeSync(log)
    rmSync(this.dir, { recursive: true, force: true })
  }
}
