/** What a client of the task API sees, with names for what differs from run to run (pids, times, paths), so that two runs compare. */
import { containerd } from '../../shim/proto/messages.gen.js'
import { RpcError } from '../../shim/ttrpc/status.ts'
import type { Task } from './life.ts'

const v2 = containerd.task
const { events } = containerd

/** A message type as its object is made from bytes and fields. */
interface Type {
  // biome-ignore lint/suspicious/noExplicitAny: fields of any message
  encode(message: any): { finish(): Uint8Array }
  decode(payload: Uint8Array): object
}

const typeOf = (method: string, kind: 'Request' | 'Response'): Type | undefined =>
  (v2 as unknown as Record<string, Type>)[`${method}${kind}`]

export class Transcript {
  readonly lines: string[] = []
  readonly #texts: readonly (readonly [string, string])[]
  readonly #names = new Map<string, string>()

  /** `texts`: what is replaced by what, wherever it occurs. */
  constructor(texts: Readonly<Record<string, string>>) {
    this.#texts = Object.entries(texts)
  }

  /** Calls a method; what came of it is noted when it has, and its answer returned (undefined: an error). */
  // biome-ignore lint/suspicious/noExplicitAny: fields of any message
  async call(task: Task, method: string, request: Record<string, unknown> = {}): Promise<any> {
    const { line, answer } = await this.begin(task, method, request)
    this.lines.push(line)
    return answer
  }

  /** The same, but noted only once its result is passed to `note`. */
  async begin(task: Task, method: string, request: Record<string, unknown> = {}) {
    const shown = `${method} ${this.#plain(request)}`
    try {
      const payload = typeOf(method, 'Request')
        ?.encode({ id: task.id, ...request })
        .finish()
      const answer = await task.call(method, payload ?? new Uint8Array())
      const type = typeOf(method, 'Response')
      const message = type?.decode(answer)
      return { line: `${shown} → ${this.#plain(message ?? {})}`, answer: message }
    } catch (error) {
      if (!(error instanceof RpcError)) throw error
      return { line: `${shown} → ${error.code} ${this.#text(error.message)}`, answer: undefined }
    }
  }

  note(result: { readonly line: string }): void {
    this.lines.push(result.line)
  }

  /** Events, from the payloads of Forward requests. */
  events(requests: readonly Uint8Array[]): string[] {
    return requests.map((payload) => {
      const { topic = '', event } = events.ForwardRequest.decode(payload).envelope ?? {}
      const type = (events as unknown as Record<string, Type>)[(event?.typeUrl ?? '').replace('containerd.events.', '')]
      return `${topic} ${this.#plain(type?.decode(event?.value ?? new Uint8Array()) ?? {})}`
    })
  }

  #plain(message: object): string {
    const text = JSON.stringify(message, (key, value) => {
      if (/^(pid|shimPid|taskPid)$/.test(key)) return value === 0 ? 0 : this.#name('pid', String(value))
      if (key === 'exitedAt') return value && this.#name('time', `${value.seconds}.${value.nanos}`)
      if (key === 'stats' || key === 'spec' || key === 'resources') return value?.typeUrl
      return value
    })
    return this.#text(text)
  }

  #text(text: string): string {
    return this.#texts.reduce((done, [from, to]) => done.replaceAll(from, to), text)
  }

  #name(kind: string, value: string): string {
    const key = `${kind} ${value}`
    const name = this.#names.get(key) ?? `${kind} ${this.#names.size + 1}`
    this.#names.set(key, name)
    return name
  }
}
