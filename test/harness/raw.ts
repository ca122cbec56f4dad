/** A connection on which a test says what no client would. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { decodeResponse, encodeFrame, encodeRequest, FRAME, FrameReader } from '../../shim/ttrpc/index.ts'

export interface Answer {
  readonly code: number
  readonly message: string
}

export const requestFrame = (
  stream: number,
  method: string,
  payload: Uint8Array,
  service = 'containerd.task.v2.Task',
) => encodeFrame({ stream, type: FRAME.request, flags: 0, payload: encodeRequest({ service, method, payload }) })

/** A frame's header alone. */
export const frameHeader = (length: number, stream: number, type: number = FRAME.request): Uint8Array => {
  const bytes = Buffer.alloc(10)
  bytes.writeUInt32BE(length)
  bytes.writeUInt32BE(stream, 4)
  bytes[8] = type
  return bytes
}

export class Raw {
  readonly socket: Socket
  readonly #answers = new Map<number, Answer>()
  readonly #frames = new FrameReader()
  readonly #waiting = new Set<() => void>()
  closed = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {}) // 'close' follows
    socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  static async open(path: string): Promise<Raw> {
    const socket = connect(path)
    await once(socket, 'connect')
    return new Raw(socket)
  }

  /** Takes answers from now on. */
  listen(): this {
    this.socket.on('data', (chunk: Uint8Array) => {
      for (const frame of this.#frames.push(chunk)) {
        if ('oversize' in frame) throw new Error(`an answer of ${frame.oversize} bytes`)
        const { status } = decodeResponse(frame.payload)
        this.#answers.set(frame.stream, { code: status?.code ?? 0, message: status?.message ?? '' })
      }
      this.#wake()
    })
    return this
  }

  /** How many have come and have not been taken. */
  get answers(): number {
    return this.#answers.size
  }

  /** Takes the answer on this stream, or undefined where the connection is closed without one. */
  async answer(stream: number): Promise<Answer | undefined> {
    for (;;) {
      const answer = this.#answers.get(stream)
      this.#answers.delete(stream)
      if (answer !== undefined || this.closed) return answer
      await this.#next()
    }
  }

  async isClosed(): Promise<void> {
    while (!this.closed) await this.#next()
  }

  async close(): Promise<void> {
    this.socket.destroy()
    await this.isClosed()
  }

  #next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve))
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}
