/** A task's standard streams as containerd's clients hold them: FIFOs, and calls that name them. */
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { containerd } from '../../shim/proto/messages.gen.js'
import type { Config } from './bundle.ts'
import { until } from './host.ts'
import { type Image, Task } from './life.ts'
import type { Daemon } from './shim.ts'

const v2 = containerd.task
export type Streams = { stdin?: string; stdout?: string; stderr?: string; terminal?: boolean }

const ignoring = <T>(code: string, work: () => T): T | undefined => {
  try {
    return work()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === code) return undefined
    throw error
  }
}

/** One end of a FIFO. No call blocks. */
export class End implements Disposable {
  readonly #fd: number
  constructor(path: string, flags: number) {
    this.#fd = openSync(path, flags | constants.O_NONBLOCK)
  }
  /** Bytes that are there, at most `max`; empty at the end, undefined while there are none. */
  read(max = 1 << 16): Buffer | undefined {
    const chunk = Buffer.alloc(max)
    return ignoring('EAGAIN', () => chunk.subarray(0, readSync(this.#fd, chunk)))
  }
  /** How many bytes it took. */
  write(data: string | Uint8Array): number {
    return ignoring('EAGAIN', () => writeSync(this.#fd, Buffer.from(data))) ?? 0
  }
  async writeAll(data: Buffer): Promise<void> {
    let done = 0
    await until('it takes all', () => {
      done += this.write(data.subarray(done))
      return done === data.length
    })
  }
  /** What comes until the text has this end. */
  async text(end: string): Promise<string> {
    let text = ''
    await until(`"${end}"`, () => {
      text += this.read() ?? ''
      return text.endsWith(end)
    })
    return text
  }
  /** Everything up to the end, which is one only once somebody has written: a FIFO that nobody has opened yet has none either. */
  async rest(): Promise<Buffer> {
    const chunks: Buffer[] = []
    await until(
      'the end',
      () => {
        for (;;) {
          const chunk = this.read()
          if (chunk === undefined) return false
          if (chunk.length === 0) return chunks.length > 0
          chunks.push(chunk)
        }
      },
      30_000,
    )
    return Buffer.concat(chunks)
  }
  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}

/** A FIFO in the daemon's directory. */
export class Fifo {
  readonly path: string
  constructor(daemon: Daemon, name: string) {
    this.path = join(daemon.dir, name)
    execFileSync('mkfifo', [this.path])
  }
  reader(): End {
    return new End(this.path, constants.O_RDONLY)
  }
  /** Fails while nobody reads. */
  writer(): End {
    return new End(this.path, constants.O_WRONLY)
  }
}

/** A task whose calls are made one by one. */
export class Streamed {
  readonly task: Task
  readonly #daemon: Daemon
  private constructor(task: Task, daemon: Daemon) {
    this.task = task
    this.#daemon = daemon
  }

  static async start(daemon: Daemon, id: string, config: Config): Promise<Streamed> {
    return new Streamed(await Task.start(daemon, id, config), daemon)
  }

  async create(image: Image, streams: Streams, options?: Uint8Array): Promise<number> {
    const { id, bundle } = this.task
    const any = options && { typeUrl: 'containerd.runc.v1.Options', value: options }
    const request = { id, bundle, rootfs: [...image.rootfs], ...streams, ...(any ? { options: any } : {}) }
    return v2.CreateResponse.decode(await this.task.call('Create', v2.CreateRequest.encode(request).finish())).pid
  }

  async exec(execId: string, process: object, streams: Streams): Promise<void> {
    const { id } = this.task
    const spec = {
      typeUrl: 'types.containerd.io/opencontainers/runtime-spec/1/Process',
      value: Buffer.from(JSON.stringify(process)),
    }
    await this.task.call('Exec', v2.ExecRequest.encode({ id, execId, spec, ...streams }).finish())
  }

  async begin(execId = ''): Promise<void> {
    await this.task.call('Start', v2.StartRequest.encode({ id: this.task.id, execId }).finish())
  }
  async closeStdin(execId = ''): Promise<void> {
    await this.task.call('CloseIO', v2.CloseIORequest.encode({ id: this.task.id, execId, stdin: true }).finish())
  }
  async wait(execId = ''): Promise<number> {
    const answer = await this.task.call('Wait', v2.WaitRequest.encode({ id: this.task.id, execId }).finish())
    return v2.WaitResponse.decode(answer).exitStatus
  }
  async delete(execId = ''): Promise<void> {
    await this.task.call('Delete', v2.DeleteRequest.encode({ id: this.task.id, execId }).finish())
  }
  async kill(): Promise<number> {
    await this.task.call('Kill', v2.KillRequest.encode({ id: this.task.id, signal: 9 }).finish())
    return this.wait()
  }
  async pids(): Promise<number[]> {
    const answer = await this.task.call('Pids', v2.PidsRequest.encode({ id: this.task.id }).finish())
    return v2.PidsResponse.decode(answer).processes.map(({ pid }) => pid ?? 0)
  }
  /** What comes after Delete. */
  async leave(): Promise<void> {
    await this.task.call('Shutdown', v2.ShutdownRequest.encode({ id: this.task.id }).finish())
    this.task.client.close()
    await this.#daemon.delete(this.task.id)
  }
}
