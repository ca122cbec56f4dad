/** ttrpc's frames: a ten-byte header (big endian: u32 length, u32 stream, u8 type, u8 flags) and a payload. */

import { Code, RpcError } from './status.ts'

export const HEADER_SIZE = 10
/** A longer payload is answered with resource-exhausted. */
export const MAX_PAYLOAD = 4 * 1024 * 1024
/** A stream's number is a u32; those of clients are odd. */
export const MAX_STREAM = 0xffffffff

export const FRAME = { request: 1, response: 2, data: 3 } as const
/** Flags of streams, which unary calls do not use. */
export const FRAME_FLAGS = { remoteClosed: 1, remoteOpen: 2, noData: 4 } as const

export interface Frame {
  readonly stream: number
  readonly type: number
  readonly flags: number
  readonly payload: Uint8Array
}

/** A frame as bytes; throws resource-exhausted where the payload is too long. */
export const encodeFrame = ({ stream, type, flags, payload }: Frame): Uint8Array => {
  if (payload.length > MAX_PAYLOAD) throw oversize(payload.length)
  const bytes = new Uint8Array(HEADER_SIZE + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, payload.length)
  view.setUint32(4, stream)
  bytes[8] = type
  bytes[9] = flags
  bytes.set(payload, HEADER_SIZE)
  return bytes
}

/** What a reader hands out: a frame, or the header of one whose payload was too long and is skipped. */
export type Received = Frame | { readonly stream: number; readonly type: number; readonly oversize: number }

/** Cuts a byte stream into frames, however it was split on the way. */
export class FrameReader {
  #chunks: Uint8Array[] = []
  #length = 0
  /** What has to be there before another look is worth it: so the pieces of a frame are joined twice at most. */
  #wanted = HEADER_SIZE
  /** Bytes of an oversize payload still to be skipped. */
  #skip = 0;

  /** Takes the next bytes and yields every frame that is complete now. */
  *push(chunk: Uint8Array): Generator<Received> {
    const skipped = Math.min(this.#skip, chunk.length)
    this.#skip -= skipped
    this.#add(chunk.subarray(skipped))
    for (;;) {
      const received = this.#next()
      if (received === undefined) return
      yield received
    }
  }

  /** Whether the stream may end here: not within a frame. */
  get atBoundary(): boolean {
    return this.#length === 0 && this.#skip === 0
  }

  #add(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#length += chunk.length
  }

  #next(): Received | undefined {
    if (this.#length < this.#wanted) return undefined
    this.#wanted = HEADER_SIZE
    const head = this.#joined()
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
    const length = view.getUint32(0)
    const stream = view.getUint32(4)
    const type = view.getUint8(8)
    if (length > MAX_PAYLOAD) {
      const here = Math.min(length, head.length - HEADER_SIZE)
      this.#skip = length - here
      this.#keep(head.subarray(HEADER_SIZE + here))
      return { stream, type, oversize: length }
    }
    const end = HEADER_SIZE + length
    if (head.length < end) {
      this.#wanted = end
      return undefined
    }
    this.#keep(head.subarray(end))
    return { stream, type, flags: view.getUint8(9), payload: head.subarray(HEADER_SIZE, end) }
  }

  /** What is buffered, as one piece. */
  #joined(): Uint8Array {
    const [only] = this.#chunks
    if (this.#chunks.length === 1 && only !== undefined) return only
    const joined = Buffer.concat(this.#chunks)
    this.#chunks = [joined]
    return joined
  }

  #keep(rest: Uint8Array): void {
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#length = rest.length
  }
}

export const oversize = (length: number): RpcError =>
  new RpcError(Code.resourceExhausted, `message of ${length} bytes exceeds the limit of ${MAX_PAYLOAD}`)
