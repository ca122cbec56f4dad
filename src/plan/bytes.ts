/** Little-endian byte strings, as every encoding of docs/internals.md uses them. */

const utf8 = new TextEncoder()
const strict = new TextDecoder('utf-8', { fatal: true })

/** Bytes to be sent; grows as needed. */
export class ByteWriter {
  #data: Uint8Array
  #view: DataView
  #length = 0

  constructor(capacity = 256) {
    this.#data = new Uint8Array(capacity)
    this.#view = new DataView(this.#data.buffer)
  }

  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    const at = this.#grow(1)
    this.#view.setUint8(at, value)
    return this
  }

  u16(value: number): this {
    const at = this.#grow(2)
    this.#view.setUint16(at, value, true)
    return this
  }

  u32(value: number): this {
    const at = this.#grow(4)
    this.#view.setUint32(at, value, true)
    return this
  }

  u64(value: bigint): this {
    const at = this.#grow(8)
    this.#view.setBigUint64(at, value, true)
    return this
  }

  i64(value: bigint): this {
    const at = this.#grow(8)
    this.#view.setBigInt64(at, value, true)
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
    // UTF-8 takes at most three bytes for a unit of UTF-16.
    const at = this.#grow(4 + text.length * 3 + 1)
    const { written } = utf8.encodeInto(text, this.#data.subarray(at + 4))
    this.#view.setUint32(at, written, true)
    this.#data[at + 4 + written] = 0
    this.#length = at + 4 + written + 1
    return this
  }

  strs(list: readonly string[]): this {
    this.u32(list.length)
    for (const text of list) this.str(text)
    return this
  }

  /** Overwrites a u32 written earlier (a length that is known only afterwards). */
  patchU32(at: number, value: number): this {
    this.#view.setUint32(at, value, true)
    return this
  }

  /** What was written so far; a copy, so that the writer's spare room is not kept alive. */
  finish(): Uint8Array {
    return this.#data.slice(0, this.#length)
  }

  #grow(more: number): number {
    const at = this.#length
    const need = at + more
    if (need > this.#data.length) {
      const data = new Uint8Array(Math.max(need, this.#data.length * 2))
      data.set(this.#data)
      this.#data = data
      this.#view = new DataView(data.buffer)
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
  readonly #data: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(data: Uint8Array) {
    this.#data = data
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  }

  get left(): number {
    return this.#data.length - this.#at
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
  }

  bytes(): Uint8Array {
    const length = this.u32()
    const at = this.#take(length)
    return this.#data.subarray(at, at + length)
  }

  str(): string {
    const data = this.bytes()
    if (data.includes(0)) throw new MalformedError('a NUL inside a string')
    if (this.u8() !== 0) throw new MalformedError('a string without its NUL')
    return text(data)
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

/** Names on Linux need not be UTF-8; what is not is shown with replacement characters, never refused. */
const text = (data: Uint8Array): string => {
  try {
    return strict.decode(data)
  } catch {
    return new TextDecoder().decode(data)
  }
}
