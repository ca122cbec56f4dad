/** Little-endian byte strings, as every encoding of docs/internals.md uses them. */

/** The room that writers begin with, one after the other: to get memory takes longer than to write a message. */
let room: Buffer | undefined
const ROOM = 1 << 16
const NONE = Buffer.alloc(0)

/** Bytes to be sent; grows as needed. */
export class ByteWriter {
  #data: Buffer
  #length = 0

  constructor() {
    this.#data = room ?? Buffer.allocUnsafeSlow(ROOM)
    room = undefined
  }

  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    const at = this.#grow(1)
    this.#data[at] = value
    return this
  }

  u16(value: number): this {
    const at = this.#grow(2)
    this.#data[at] = value
    this.#data[at + 1] = value >>> 8
    return this
  }

  u32(value: number): this {
    return this.patchU32(this.#grow(4), value)
  }

  u64(value: bigint): this {
    const at = this.#grow(8)
    this.#data.writeBigUInt64LE(value, at)
    return this
  }

  i64(value: bigint): this {
    const at = this.#grow(8)
    this.#data.writeBigInt64LE(value, at)
    return this
  }

  /** The bytes alone, without a length. */
  raw(data: Uint8Array): this {
    const at = this.#grow(data.length)
    this.#data.set(data, at)
    return this
  }

  bytes(data: Uint8Array): this {
    return this.u32(data.length).raw(data)
  }

  str(text: string): this {
    return this.utf8(text).u8(0)
  }

  /** As `bytes`. */
  utf8(text: string): this {
    // UTF-8 takes at most three bytes for a unit of UTF-16.
    const at = this.#grow(4 + text.length * 3)
    const written = this.#data.write(text, at + 4)
    this.#length = at + 4 + written
    return this.patchU32(at, written)
  }

  strs(list: readonly string[]): this {
    this.u32(list.length)
    for (const text of list) this.str(text)
    return this
  }

  /** Overwrites a u32 written earlier (a length that is known only afterwards). */
  patchU32(at: number, value: number): this {
    const data = this.#data
    data[at] = value
    data[at + 1] = value >>> 8
    data[at + 2] = value >>> 16
    data[at + 3] = value >>> 24
    return this
  }

  /** What was written, as a copy. Nothing can be written behind it: the room is the next writer's. */
  finish(): Uint8Array {
    this.#check()
    const data = new Uint8Array(this.#length)
    data.set(this.#data.subarray(0, this.#length))
    if (this.#data.length === ROOM) room = this.#data
    this.#data = NONE
    return data
  }

  #check(): void {
    if (this.#data === NONE) throw new Error('a writer that has finished')
  }

  #grow(more: number): number {
    const at = this.#length
    const need = at + more
    if (need > this.#data.length) {
      this.#check()
      const data = Buffer.allocUnsafeSlow(Math.max(need, this.#data.length * 2))
      data.set(this.#data)
      this.#data = data
    }
    this.#length = need
    return at
  }
}

/** Why received bytes are refused. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError'
}

/** Reads received bytes; throws a MalformedError where something does not fit. What it returns points into the input. */
export class ByteReader {
  readonly #data: Buffer
  #at = 0

  constructor(data: Uint8Array) {
    this.#data = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  }

  get left(): number {
    return this.#data.length - this.#at
  }

  u8(): number {
    return this.#data.readUInt8(this.#take(1))
  }

  u32(): number {
    return this.#data.readUInt32LE(this.#take(4))
  }

  i32(): number {
    return this.#data.readInt32LE(this.#take(4))
  }

  u64(): bigint {
    return this.#data.readBigUInt64LE(this.#take(8))
  }

  bytes(): Uint8Array {
    const length = this.u32()
    return new Uint8Array(this.#data.buffer, this.#data.byteOffset + this.#take(length), length)
  }

  /** Names on Linux need not be UTF-8; what is not is shown with replacement characters, never refused. */
  str(): string {
    const length = this.u32()
    const at = this.#take(length)
    const end = this.#data.indexOf(0, at)
    if (end >= 0 && end < at + length) throw new MalformedError('a NUL inside a string')
    if (this.u8() !== 0) throw new MalformedError('a string without its NUL')
    return this.#data.toString('utf8', at, at + length)
  }

  strs(): string[] {
    const count = this.count(5)
    return Array.from({ length: count }, () => this.str())
  }

  u32s(): number[] {
    const count = this.count(4)
    return Array.from({ length: count }, () => this.u32())
  }

  /** The length of a list whose items take at least `least` bytes each. */
  count(least: number): number {
    const count = this.u32()
    if (count * least > this.left) throw new MalformedError('a list longer than what holds it')
    return count
  }

  /** Everything must have been read. */
  end(): void {
    if (this.left !== 0) throw new MalformedError(`${this.left} bytes too many`)
  }

  #take(length: number): number {
    if (length > this.left) throw new MalformedError('cut short')
    const at = this.#at
    this.#at += length
    return at
  }
}
