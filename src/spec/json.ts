import { BerthError } from '../errors.ts'

/**
 * JSON without losses (S23): an integer that a double can't hold becomes a bigint, objects have no prototype (`__proto__` and
 * `constructor` are keys like any other), nesting is bounded, and errors say where.
 *
 * JSON.parse can't do it: its reviver recurses on the caller's stack without a bound, and its errors have no position half of the time.
 */

export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json }

export interface ParseOptions {
  /** Name of the document in error messages. */
  readonly file?: string
  /** Leave out properties that are null: what engines written in Go mean by them. */
  readonly dropNulls?: boolean
  /** Refuse U+0000 in strings: such a string can't reach the kernel as it is written. */
  readonly refuseNul?: boolean
}

/** config.json of the engines nests about ten deep. */
const MAX_DEPTH = 512

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}

/** Parses strict JSON (RFC 8259); of duplicate keys the last wins. Bytes must be UTF-8. */
export const parseJson = (input: string | Uint8Array, options: ParseOptions = {}): Json => {
  const file = options.file ?? 'JSON'
  const text = typeof input === 'string' ? input : decodeUtf8(input, file)
  return new Parser(text, file, options).document()
}

/** Writes JSON with bigints as integers. Properties that are undefined are left out. */
export const stringifyJson = (value: unknown, indent?: string | number): string =>
  JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? rawJson(item.toString()) : item), indent)

/** Node has it; the type library not yet. */
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON

const decodeUtf8 = (bytes: Uint8Array, file: string): string => {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new BerthError('invalid', `${file}: is not valid UTF-8`, { cause })
  }
}

class Parser {
  readonly #text: string
  readonly #file: string
  readonly #dropNulls: boolean
  readonly #refuseNul: boolean
  #at = 0
  #depth = 0

  constructor(text: string, file: string, options: ParseOptions) {
    this.#text = text
    this.#file = file
    this.#dropNulls = options.dropNulls === true
    this.#refuseNul = options.refuseNul === true
  }

  document(): Json {
    const value = this.#value()
    this.#space()
    if (this.#at < this.#text.length) throw this.#error(`unexpected ${this.#found()} after the document`)
    return value
  }

  #value(): Json {
    this.#space()
    const char = this.#text[this.#at]
    if (char === '"') return this.#string()
    if (char === '{') return this.#nested(() => this.#object())
    if (char === '[') return this.#nested(() => this.#array())
    if (char === 't') return this.#word('true', true)
    if (char === 'f') return this.#word('false', false)
    if (char === 'n') return this.#word('null', null)
    return this.#number()
  }

  #nested<T>(parse: () => T): T {
    if (this.#depth === MAX_DEPTH) throw this.#error(`nested more than ${MAX_DEPTH} deep`)
    this.#depth++
    this.#at++
    const value = parse()
    this.#depth--
    return value
  }

  #object(): Json {
    const object: { [key: string]: Json } = Object.create(null)
    if (this.#skip('}')) return object
    do {
      this.#space()
      if (this.#text[this.#at] !== '"') throw this.#error(`expected a property name, found ${this.#found()}`)
      const key = this.#string()
      if (!this.#skip(':')) throw this.#error(`expected ":", found ${this.#found()}`)
      const value = this.#value()
      if (value === null && this.#dropNulls) delete object[key]
      else object[key] = value
    } while (this.#skip(','))
    if (!this.#skip('}')) throw this.#error(`expected "," or "}", found ${this.#found()}`)
    return object
  }

  #array(): Json {
    const array: Json[] = []
    if (this.#skip(']')) return array
    do array.push(this.#value())
    while (this.#skip(','))
    if (!this.#skip(']')) throw this.#error(`expected "," or "]", found ${this.#found()}`)
    return array
  }

  #string(): string {
    const start = this.#at
    let value = ''
    let from = ++this.#at
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code === 0x22) break
      if (Number.isNaN(code)) throw this.#error('unterminated string', start)
      if (code < 0x20) throw this.#error('control character in a string')
      if (code === 0x5c) {
        value += this.#text.slice(from, this.#at) + this.#escape()
        from = this.#at
      } else this.#at++
    }
    value += this.#text.slice(from, this.#at++)
    return value
  }

  #escape(): string {
    const start = this.#at++
    const char = this.#text[this.#at++] ?? ''
    if (char === 'u') {
      const digits = this.#text.slice(this.#at, this.#at + 4)
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw this.#error('bad \\u escape', start)
      this.#at += 4
      if (digits === '0000' && this.#refuseNul) throw this.#error('NUL character in a string', start)
      return String.fromCharCode(Number.parseInt(digits, 16))
    }
    const plain = Object.hasOwn(ESCAPES, char) ? ESCAPES[char] : undefined
    if (plain === undefined) throw this.#error('bad escape', start)
    return plain
  }

  #number(): number | bigint {
    NUMBER.lastIndex = this.#at
    const match = NUMBER.exec(this.#text)
    if (!match) throw this.#error(`expected a value, found ${this.#found()}`)
    this.#at += match[0].length
    const value = Number(match[0])
    const isInteger = match[1] === undefined && match[2] === undefined
    if (isInteger && !Number.isSafeInteger(value)) return BigInt(match[0])
    if (!Number.isFinite(value)) throw this.#error(`number ${match[0]} is out of range`, this.#at - match[0].length)
    return value === 0 ? 0 : value
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#error(`expected a value, found ${this.#found()}`)
    this.#at += word.length
    return value
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  #skip(char: string): boolean {
    this.#space()
    if (this.#text[this.#at] !== char) return false
    this.#at++
    return true
  }

  #found(): string {
    const point = this.#text.codePointAt(this.#at)
    return point === undefined ? 'the end' : JSON.stringify(String.fromCodePoint(point))
  }

  #error(message: string, at = this.#at): BerthError {
    const before = this.#text.slice(0, at).split('\n')
    const column = (before.at(-1)?.length ?? 0) + 1
    return new BerthError('invalid', `${this.#file}: line ${before.length} column ${column}: ${message}`)
  }
}
