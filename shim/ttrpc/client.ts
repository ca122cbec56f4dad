/** A ttrpc client for unary calls: any number at once over one connection. */

import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { encodeFrame, FRAME, FrameReader, MAX_STREAM, oversize, type Received } from './frame.ts'
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
  /** Gives the call up: it fails with canceled. The server is not told, for the protocol has no word for it; its answer is dropped. */
  readonly signal?: AbortSignal
}

export class Client {
  readonly #connection: Duplex
  readonly #frames = new FrameReader()
  readonly #pending = new Map<number, Pending>()
  /** A client's streams are odd and rise. */
  #stream = 1
  #ended: RpcError | undefined

  /** Speaks over this connection, which is the client's from now on. */
  constructor(connection: Duplex) {
    this.#connection = connection
    connection.on('data', (chunk: Uint8Array) => this.#receive(chunk))
    connection.on('error', (error) => this.#end(`ttrpc: ${error.message}`))
    connection.on('end', () => this.close())
    connection.on('close', () => this.#end('ttrpc: closed'))
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

  /** Calls that have no answer yet. */
  get pending(): number {
    return this.#pending.size
  }

  /** Calls a method and returns the answer's payload; an answer with a status is thrown as RpcError. */
  async call(service: string, method: string, payload: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    const { timeoutMs = 0, metadata = {}, signal } = options
    const canceled = () => new RpcError(Code.canceled, `${method}: given up by its caller`)
    if (this.#ended !== undefined) throw this.#ended
    if (signal?.aborted) throw canceled()
    if (this.#stream > MAX_STREAM) throw new RpcError(Code.unavailable, 'ttrpc: the connection has no stream left')
    const request = encodeRequest({
      service,
      method,
      payload,
      timeoutNano: BigInt(Math.round(timeoutMs * 1e6)),
      metadata: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    })
    const frame = encodeFrame({ stream: this.#stream, type: FRAME.request, flags: 0, payload: request })
    const stream = this.#stream
    this.#stream += 2
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    this.#pending.set(stream, { resolve, reject })
    const late = () => this.#take(stream)?.reject(new RpcError(Code.deadlineExceeded, `${method}: no answer in time`))
    const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs) : undefined
    const abort = () => this.#take(stream)?.reject(canceled())
    signal?.addEventListener('abort', abort)
    this.#connection.write(frame)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Ends the connection; calls without an answer fail. */
  close(): void {
    this.#connection.destroy()
    this.#end('ttrpc: closed')
  }

  #receive(chunk: Uint8Array): void {
    for (const frame of this.#frames.push(chunk)) {
      if (frame.type !== FRAME.response) continue
      // A stream that is not known any more is one whose caller gave up.
      const pending = this.#take(frame.stream)
      if (pending !== undefined) settle(pending, frame)
    }
  }

  #take(stream: number): Pending | undefined {
    const pending = this.#pending.get(stream)
    this.#pending.delete(stream)
    return pending
  }

  #end(why: string): void {
    this.#ended ??= new RpcError(Code.unavailable, why)
    for (const pending of this.#pending.values()) pending.reject(this.#ended)
    this.#pending.clear()
  }
}

const settle = ({ resolve, reject }: Pending, frame: Received): void => {
  try {
    if ('oversize' in frame) throw oversize(frame.oversize)
    resolve(payloadOf(decodeResponse(frame.payload)))
  } catch (error) {
    const malformed = () => new RpcError(Code.internal, `malformed answer: ${(error as Error).message}`)
    reject(error instanceof RpcError ? error : malformed())
  }
}
