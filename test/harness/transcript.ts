/** What a client of the task API sees, with names for what differs from run to run (pids, times, paths), so that two runs compare. */
import { containerd } from '../../shim/proto/messages.gen.js'
import { Code, RpcError } from '../../shim/ttrpc/status.ts'
import type { Task } from './life.ts'

const v2 = containerd.task
const { ProcessDetails } = containerd.options
/** The time that has not come, as Go has it. */
const NEVER = '-62135596800.0'
const { events } = containerd

/** A message type as its object is made from bytes and fields. */
interface Type {
  // biome-ignore lint/suspicious/noExplicitAny: fields of any message
  encode(message: any): { finish(): Uint8Array }
  decode(payload: Uint8Array): object
}

const typeOf = (method: string, kind: 'Request' | 'Response'): Type | undefined =>
  (v2 as unknown as Record<string, Type>)[`${method}${kind}`]

/** A connection that ended while something was on its way: however the kernel tells it. */
const closed = (error: RpcError): RpcError =>
  error.code === Code.unavailable && /ECONNRESET|EPIPE/.test(error.message)
    ? new RpcError(Code.unavailable, 'ttrpc: closed')
    : error

export interface Noted {
  readonly line: string | (() => string)
}

export class Transcript {
  readonly lines: string[] = []
  readonly #texts: readonly (readonly [string, string])[]
  readonly #names = { pid: new Map<string, string>(), time: new Map<string, string>() }

  /** `texts`: what is replaced by what, wherever it occurs. */
  constructor(texts: Readonly<Record<string, string>>) {
    this.#texts = Object.entries(texts)
  }

  /** Calls a method; what came of it is noted when it has, and its answer returned (undefined: an error). */
  // biome-ignore lint/suspicious/noExplicitAny: fields of any message
  async call(task: Task, method: string, request: Record<string, unknown> = {}): Promise<any> {
    const { line, answer } = await this.begin(task, method, request)
    this.lines.push(line())
    return answer
  }

  /** The same, but noted only once its result is passed to `note`. */
  async begin(task: Task, method: string, request: Record<string, unknown> = {}) {
    // The bundle is the task's own, and which root file system it has is told by the event.
    const { bundle: _bundle, rootfs: _rootfs, ...rest } = request
    const shown = `${method} ${this.shown(rest)}`
    try {
      const payload = typeOf(method, 'Request')
        ?.encode({ id: task.id, ...request })
        .finish()
      const answer = await task.call(method, payload ?? new Uint8Array())
      const type = typeOf(method, 'Response')
      const message = type?.decode(answer)
      // Made when it is noted, as names go by the order in which things are.
      const line = () => `${shown} → ${this.shown(message ?? {})}`
      return { line, answer: message }
    } catch (error) {
      if (!(error instanceof RpcError)) throw error
      const { code, message } = closed(error)
      return { line: () => `${shown} → ${code} ${this.text(message)}`, answer: undefined }
    }
  }

  note({ line }: Noted): void {
    this.lines.push(typeof line === 'string' ? line : line())
  }

  /** Events, from the payloads of Forward requests. */
  events(requests: readonly Uint8Array[]): string[] {
    return requests.map((payload) => {
      const { topic = '', event } = events.ForwardRequest.decode(payload).envelope ?? {}
      const type = (events as unknown as Record<string, Type>)[(event?.typeUrl ?? '').replace('containerd.events.', '')]
      return `${topic} ${this.shown(type?.decode(event?.value ?? new Uint8Array()) ?? {})}`
    })
  }

  /** A message. `times`: what a time is called instead, where it is another at each call. */
  shown(message: object, times?: string): string {
    const text = JSON.stringify(message, (key, value) => {
      if (/^(pid|shimPid|taskPid)$/.test(key)) return value === 0 ? 0 : this.#name('pid', String(value))
      if (key === 'exitedAt') return value && (times ?? this.#time(`${value.seconds}.${value.nanos}`))
      if (key === 'stats' || key === 'spec' || key === 'resources') return value?.typeUrl
      if (key === 'info') return value && `${value.typeUrl} ${ProcessDetails.decode(value.value).execId}`
      return value
    })
    return this.text(text)
  }

  #time(value: string): string {
    return value === NEVER ? 'never' : this.#name('time', value)
  }

  text(text: string): string {
    const named = this.#texts.reduce((done, [from, to]) => done.replaceAll(from, to), text)
    return named.replace(/\bprocess (\d+)/g, (_, pid) => this.#name('pid', pid))
  }

  #name(kind: 'pid' | 'time', value: string): string {
    const names = this.#names[kind]
    const name = names.get(value) ?? `${kind} ${names.size + 1}`
    names.set(value, name)
    return name
  }
}
