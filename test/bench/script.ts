/** Scripts of calls to a shim, as calls.c plays them. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { containerd } from '../../shim/proto/messages.gen.js'
import { encodeFrame, FRAME, FRAME_FLAGS } from '../../shim/ttrpc/frame.ts'
import { encodeRequest } from '../../shim/ttrpc/message.ts'
import type { Config } from '../harness/bundle.ts'
import { eventsSocket, type Image } from '../harness/life.ts'
import { processOf } from '../harness/sequences.ts'
import { Daemon } from '../harness/shim.ts'

const v2 = containerd.task

/** From the Start call to what a client reads. */
export const FIRST_BYTE = 'first byte'

/** A shim that is measured. */
export interface Subject {
  readonly name: string
  readonly shim: string
  /** What runc's shim is to run. */
  readonly runtime?: string
}

/** A daemon's address with its events socket, where the shims of one subject live. */
export class Site implements Disposable {
  readonly subject: Subject
  readonly daemon: Daemon
  readonly #image: Image
  readonly #events: ReturnType<typeof eventsSocket>
  constructor(subject: Subject, image: Image) {
    this.subject = subject
    this.#image = image
    this.daemon = new Daemon(subject.shim, { logs: true, env: { PATH: process.env.PATH ?? '' } })
    this.#events = eventsSocket(this.daemon)
  }

  /** A script for a container with a bundle that is written now. */
  script(
    id: string,
    args: readonly string[],
    streams: { readonly stdout?: string; readonly stderr?: string } = {},
  ): Script {
    const bundle = this.daemon.bundle(id)
    const config: Config = this.#image.config(args)
    config.ociVersion = '1.0.2' // that older peers know, too
    const linux = { ...config.linux, cgroupsPath: `/berth-bench-${id}` }
    mkdirSync(bundle, { recursive: true })
    writeFileSync(join(bundle, 'config.json'), JSON.stringify({ ...config, root: { path: 'rootfs' }, linux }))
    return new Script(this, id, config, { bundle, rootfs: [...this.#image.rootfs], ...streams })
  }

  [Symbol.dispose](): void {
    this.#events.close()
    this.daemon[Symbol.dispose]()
  }
}

/** The steps of one container. */
export class Script {
  readonly #lines: string[] = []
  readonly #site: Site
  readonly #id: string
  readonly #config: Config
  readonly #create: object
  #stream = 1
  #waiting = 0
  constructor(site: Site, id: string, config: Config, create: object) {
    this.#site = site
    this.#id = id
    this.#config = config
    this.#create = create
  }

  get text(): string {
    return this.#lines.map((line) => `${line}\n`).join('')
  }

  #step(...words: (string | number)[]): void {
    this.#lines.push(words.join('\t'))
  }
  #named(name: string): string {
    return `${this.#site.subject.name}/${name}`
  }

  #spawn(verb: 'start' | 'delete'): void {
    const { daemon, subject } = this.#site
    const bundle = join(daemon.dir, this.#id)
    const where = ['-namespace', daemon.namespace, '-address', daemon.address, '-publish-binary', '/bin/false']
    const args = [...where, '-id', this.#id, ...(verb === 'delete' ? ['-bundle', bundle] : []), verb]
    this.#step('spawn', this.#named(`${verb} call`), bundle, subject.shim, ...args)
  }

  /** The number of its stream, and the frame as text. */
  #frame(method: string, payload: Uint8Array): readonly [stream: number, hex: string] {
    const stream = this.#stream
    this.#stream += 2
    const request = encodeRequest({ service: 'containerd.task.v2.Task', method, payload })
    const frame = encodeFrame({ stream, type: FRAME.request, flags: FRAME_FLAGS.remoteClosed, payload: request })
    return [stream, Buffer.from(frame).toString('hex')]
  }
  #call(method: string, payload: Uint8Array, name = method): void {
    this.#step('call', this.#named(name), ...this.#frame(method, payload))
  }
  /** Without waiting for its answer. */
  #send(method: string, payload: Uint8Array): number {
    const [stream, hex] = this.#frame(method, payload)
    this.#step('send', stream, hex)
    return stream
  }

  begin(): this {
    this.#step('begin')
    return this
  }
  /** What came since `begin`, by this name. */
  end(name: string): this {
    this.#step('end', this.#named(name))
    return this
  }

  /** Up to the parked process. */
  #created(): void {
    const { runtime } = this.#site.subject
    const id = this.#id
    const options = runtime && {
      typeUrl: 'containerd.runc.v1.Options',
      value: containerd.options.RuncOptions.encode({ binaryName: runtime }).finish(),
    }
    this.#spawn('start')
    this.#step('connect')
    const create = { id, ...this.#create, ...(options ? { options } : {}) }
    this.#call('Create', v2.CreateRequest.encode(create).finish())
    this.#waiting = this.#send('Wait', v2.WaitRequest.encode({ id }).finish())
  }

  /** Up to the running process. */
  up(): this {
    this.#created()
    this.#call('Start', v2.StartRequest.encode({ id: this.#id }).finish())
    return this
  }

  /** Up to the first byte of what it writes into this FIFO, its standard output; from when it was parked. */
  speaks(fifo: string): this {
    this.#step('fifo', fifo)
    this.#created()
    this.begin()
    const started = this.#send('Start', v2.StartRequest.encode({ id: this.#id }).finish())
    this.#step('byte')
    this.end(FIRST_BYTE)
    this.#step('wait', this.#named('Start behind it'), started)
    return this
  }

  kill(): this {
    this.#call('Kill', v2.KillRequest.encode({ id: this.#id, signal: 9 }).finish())
    return this
  }

  /** From the end of the process on. */
  down(): this {
    const id = this.#id
    this.#step('wait', this.#named('exit'), this.#waiting)
    this.#call('Delete', v2.DeleteRequest.encode({ id }).finish())
    // runc's shim may leave before it answers
    this.#step('last', this.#named('Shutdown'), ...this.#frame('Shutdown', v2.ShutdownRequest.encode({ id }).finish()))
    this.#step('close')
    this.#spawn('delete')
    return this
  }

  /** Exec, Start, the end, Delete of /bin/true, as one. */
  exec(execId: string): this {
    const named = { id: this.#id, execId }
    const spec = processOf(this.#config, { args: ['/bin/true'] })
    this.begin()
    this.#call('Exec', v2.ExecRequest.encode({ ...named, spec }).finish(), 'Exec')
    const waiting = this.#send('Wait', v2.WaitRequest.encode(named).finish())
    this.#call('Start', v2.StartRequest.encode(named).finish(), 'Start of an exec')
    this.#step('wait', this.#named('exit of an exec'), waiting)
    this.#call('Delete', v2.DeleteRequest.encode(named).finish(), 'Delete of an exec')
    return this.end('exec of true')
  }
}
