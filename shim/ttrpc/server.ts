/** A ttrpc server for unary calls. (In berth the monitor is containerd's server; this one serves tests and tools.) */

import { createServer, type Server as Listener } from 'node:net'
import type { Duplex } from 'node:stream'
import { encodeFrame, FRAME, FrameReader, oversize, type Received } from './frame.ts'
import { decodeRequest, encodeResponse, type Request, type Response } from './message.ts'
import { Code, RpcError } from './status.ts'

const EMPTY = new Uint8Array(0)
/** Calls of one connection at a time, where no other number is given. */
const MAX_CONCURRENT = 1024

export interface Context {
  /** Aborted once nobody waits for the answer any more: the client has gone, or its time limit is over. */
  readonly signal: AbortSignal
}

/** Answers a call: the payload, or an RpcError thrown. Any other error is answered as `unknown`. */
export type Handler = (request: Request, context: Context) => Uint8Array | Promise<Uint8Array>
export type Method = (payload: Uint8Array, context: Context) => Uint8Array | Promise<Uint8Array>

/** A handler for methods by their service and name. */
export const methods =
  (services: Readonly<Record<string, Readonly<Record<string, Method>>>>): Handler =>
  ({ service, method, payload }, context) => {
    const found = Object.hasOwn(services, service) ? services[service] : undefined
    if (found === undefined) throw new RpcError(Code.unimplemented, `service ${service}`)
    const run = Object.hasOwn(found, method) ? found[method] : undefined
    if (run === undefined) throw new RpcError(Code.unimplemented, `method ${method}`)
    return run(payload, context)
  }

export interface ServerOptions {
  /** Calls of one connection at a time; those beyond are answered with resource-exhausted. */
  readonly maxConcurrent?: number
}

/** Calls run concurrently and are answered as they finish. */
export class Server {
  readonly #handler: Handler
  readonly #maxConcurrent: number
  readonly #connections = new Set<Connection>()
  #listener: Listener | undefined

  constructor(handler: Handler, { maxConcurrent = MAX_CONCURRENT }: ServerOptions = {}) {
    this.#handler = handler
    this.#maxConcurrent = maxConcurrent
  }

  /** Listens on a UNIX socket. */
  async listen(path: string): Promise<void> {
    const listener = createServer((socket) => this.serve(socket))
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    listener.once('error', reject)
    listener.listen(path, resolve)
    this.#listener = listener
    await promise
  }

  /** Serves a connection, which is the server's from now on. */
  serve(stream: Duplex): void {
    const connection = new Connection(stream, this.#handler, this.#maxConcurrent)
    this.#connections.add(connection)
    stream.on('close', () => this.#connections.delete(connection))
  }

  get connections(): number {
    return this.#connections.size
  }

  /** Calls that are not answered yet. */
  get active(): number {
    return [...this.#connections].reduce((sum, { active }) => sum + active, 0)
  }

  /** Stops listening and ends every connection. */
  close(): void {
    this.#listener?.close()
    for (const connection of this.#connections) connection.close()
  }
}

class Connection {
  readonly #stream: Duplex
  readonly #handler: Handler
  readonly #maxConcurrent: number
  readonly #frames = new FrameReader()
  readonly #active = new Map<number, AbortController>()
  #last = 0

  constructor(stream: Duplex, handler: Handler, maxConcurrent: number) {
    this.#stream = stream
    this.#handler = handler
    this.#maxConcurrent = maxConcurrent
    stream.on('data', (chunk: Uint8Array) => {
      for (const frame of this.#frames.push(chunk)) this.#receive(frame)
    })
    stream.on('drain', () => stream.resume())
    stream.on('error', () => {}) // 'close' follows
    stream.on('end', () => this.close())
    stream.on('close', () => this.#gone())
  }

  get active(): number {
    return this.#active.size
  }

  close(): void {
    this.#stream.destroy()
  }

  #gone(): void {
    for (const call of this.#active.values()) call.abort()
    this.#active.clear()
  }

  #receive(frame: Received): void {
    const { stream } = frame
    try {
      const request = this.#admit(frame)
      if (request !== undefined) void this.#run(stream, request)
    } catch (error) {
      this.#answer(stream, failure(error))
    }
  }

  /** The request in a frame, if one is in it; what can't be served is thrown. */
  #admit(frame: Received): Request | undefined {
    const { stream, type } = frame
    if (stream % 2 !== 1) throw new RpcError(Code.invalidArgument, 'StreamID must be odd for client initiated streams')
    // No stream is ever opened for data. Other types are those of later versions.
    if (type === FRAME.data) throw new RpcError(Code.invalidArgument, 'StreamID is no longer active')
    if (type !== FRAME.request) return undefined
    if (stream <= this.#last) throw new RpcError(Code.invalidArgument, 'StreamID cannot be re-used and must increment')
    this.#last = stream
    if ('oversize' in frame) throw oversize(frame.oversize)
    if (this.#active.size >= this.#maxConcurrent)
      throw new RpcError(Code.resourceExhausted, `more than ${this.#maxConcurrent} calls at a time`)
    try {
      return decodeRequest(frame.payload)
    } catch (error) {
      throw new RpcError(Code.invalidArgument, `malformed request: ${(error as Error).message}`)
    }
  }

  async #run(stream: number, request: Request): Promise<void> {
    const call = new AbortController()
    this.#active.set(stream, call)
    const { promise: late, reject } = Promise.withResolvers<never>()
    const expire = () => reject(new RpcError(Code.deadlineExceeded, `${request.method}: no answer in time`))
    const ms = Number((request.timeoutNano ?? 0n) / 1_000_000n)
    // A limit beyond what a timer can hold is none.
    const timer = ms > 0 && ms < 2 ** 31 ? setTimeout(expire, ms) : undefined
    let response: Response
    try {
      const work = (async () => this.#handler(request, { signal: call.signal }))()
      response = { payload: await (timer === undefined ? work : Promise.race([work, late])) }
    } catch (error) {
      response = failure(error)
    }
    clearTimeout(timer)
    if (!this.#active.delete(stream)) return // the connection has ended
    if (response.status?.code === Code.deadlineExceeded) call.abort()
    this.#answer(stream, response)
  }

  #answer(stream: number, response: Response): void {
    if (this.#stream.destroyed) return
    // Who does not take its answers is not asked for more.
    if (!this.#stream.write(responseFrame(stream, response))) this.#stream.pause()
  }
}

const responseFrame = (stream: number, response: Response): Uint8Array => {
  const frame = (of: Response) => encodeFrame({ stream, type: FRAME.response, flags: 0, payload: encodeResponse(of) })
  try {
    return frame(response)
  } catch (error) {
    return frame(failure(error)) // too long
  }
}

const failure = (error: unknown): Response => {
  const code = error instanceof RpcError ? error.code : Code.unknown
  return { status: { code, message: error instanceof Error ? error.message : String(error) }, payload: EMPTY }
}
