/** A ttrpc client for unary calls: any number at once over one connection. */

import { connect, type Socket } from 'node:net'
import { encodeFrame, FRAME, FrameReader, oversize } from './frame.ts'
import { decodeResponse, encodeRequest, payloadOf } from './message.ts'
import { Code, RpcError } from './status.ts'

interface Pending {
  readonly resolve: (payload: Uint8Array) => void
  readonly reject: (error: Error) => void
}

export interface CallOptions {
  /** Told to the server, and after it the call fails with deadline-exceeded. */
  readonly timeoutMs?: number
  readonly metadata?: Readonly<Record<string, string>>
}

export class Client {
  readonly #socket: Socket
  readonly #frames = new FrameReader()
  readonly #pending = new Map<number, Pending>()
  /** A client's streams are odd and rise. */
  #stream = 1
  #ended: Error | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => this.#receive(chunk as Buffer))
    socket.on('error', (error) => this.#end(error))
    socket.on('close', () => this.#end(new RpcError(Code.unavailable, 'ttrpc: closed')))
  }

  /** Connects to a UNIX socket: a path, or `unix://` and a path. */
  static async connect(address: string): Promise<Client> {
    const socket = connect({ path: address.replace(/^unix:\/\//, '') })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    socket.once('connect', resolve)
    socket.once('error', reject)
    await promise
    socket.off('error', reject)
    return new Client(socket)
  }

  /** Calls a method and returns the answer's payload; an answer with a status is thrown as RpcError. */
  async call(service: string, method: string, payload: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    if (this.#ended !== undefined) throw this.#ended
    const { timeoutMs = 0, metadata = {} } = options
    const stream = this.#stream
    this.#stream += 2
    const request = encodeRequest({
      service,
      method,
      payload,
      timeoutNano: BigInt(Math.round(timeoutMs * 1e6)),
      metadata: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    })
    const frame = encodeFrame({ stream, type: FRAME.request, flags: 0, payload: request })
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    this.#pending.set(stream, { resolve, reject })
    const late = () => this.#settle(stream)?.reject(new RpcError(Code.deadlineExceeded, `${method}: no answer in time`))
    const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs) : undefined
    this.#socket.write(frame)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
    }
  }

  /** Ends the connection; calls without an answer fail. */
  close(): void {
    this.#socket.destroy()
    this.#end(new RpcError(Code.unavailable, 'ttrpc: closed'))
  }

  #receive(chunk: Uint8Array): void {
    for (const frame of this.#frames.push(chunk)) {
      if (frame.type !== FRAME.response) continue
      // A stream that is not known any more is one whose caller gave up.
      const pending = this.#settle(frame.stream)
      if ('oversize' in frame) {
        pending?.reject(oversize(frame.oversize))
        continue
      }
      try {
        pending?.resolve(payloadOf(decodeResponse(frame.payload)))
      } catch (error) {
        pending?.reject(error as Error)
      }
    }
  }

  #settle(stream: number): Pending | undefined {
    const pending = this.#pending.get(stream)
    this.#pending.delete(stream)
    return pending
  }

  #end(error: Error): void {
    this.#ended ??= error
    for (const pending of this.#pending.values()) pending.reject(error)
    this.#pending.clear()
  }
}
