/** Drives a shim without containerd: the start call, then the task API straight over ttrpc, with a real events socket. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { hasEnded, monitorPids, shimBinary, until } from './host.ts'

const exec = promisify(execFile)

/** A directory that stands for one containerd: the addresses that shims are told. */
export class Daemon implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-shim-'))
  readonly address = join(this.dir, 'containerd.sock')
  /** Where events go. */
  events = `${this.address}.ttrpc`
  readonly namespace = 'test'
  readonly binary: string

  constructor(binary: string = shimBinary) {
    this.binary = binary
  }

  bundle(id: string): string {
    const dir = join(this.dir, id)
    mkdirSync(join(dir, 'rootfs'), { recursive: true, mode: 0o700 })
    return dir
  }

  #call(id: string, verb: string, { cwd, input }: { cwd?: string | undefined; input?: Uint8Array | undefined } = {}) {
    const args = ['-namespace', this.namespace, '-address', this.address, '-publish-binary', '/bin/false', '-id', id]
    const bundle = join(this.dir, id)
    const running = exec(this.binary, [...args, ...(verb === 'delete' ? ['-bundle', bundle] : []), verb], {
      cwd: cwd ?? bundle,
      env: { TTRPC_ADDRESS: this.events },
      encoding: 'buffer',
    })
    running.child.stdin?.end(input?.length ? input : undefined) // containerd gives the options or nothing, and then EOF
    return running
  }

  /** The start call, with this on standard input; the path of the shim's socket. */
  async start(id: string, input?: Uint8Array): Promise<string> {
    const { stdout } = await this.#call(id, 'start', { input })
    return stdout.toString().trim().replace('unix://', '')
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

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true })
  }
}
