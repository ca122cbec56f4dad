/** GVariant's text format, as far as properties of systemd units need it: strings, numbers, booleans, and arrays and tuples of these. */

import type { Value, Variant } from './dbus.ts'

const INTEGERS: Readonly<Record<string, readonly [type: string, least: bigint, most: bigint]>> = {
  byte: ['y', 0n, 0xffn],
  int16: ['n', -(1n << 15n), (1n << 15n) - 1n],
  uint16: ['q', 0n, 0xffffn],
  int32: ['i', -(1n << 31n), (1n << 31n) - 1n],
  uint32: ['u', 0n, 0xffffffffn],
  int64: ['x', -(1n << 63n), (1n << 63n) - 1n],
  uint64: ['t', 0n, (1n << 64n) - 1n],
}
const BY_TYPE = Object.fromEntries(Object.values(INTEGERS).map(([type, ...range]) => [type, range]))

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v' }
/** Nesting beyond this is no property. */
const DEPTH = 8

/** Parses a value; throws a SyntaxError that says what is wrong where. */
export const parseVariant = (text: string): Variant => {
  const parser = new Parser(text)
  const value = parser.value(0)
  parser.end()
  return value
}

class Parser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  end(): void {
    this.#blank()
    if (this.#at < this.#text.length) throw this.#wrong('something follows the value')
  }

  value(depth: number): Variant {
    if (depth > DEPTH) throw this.#wrong('it is nested too deep')
    this.#blank()
    const declared = this.#match(/@([a-z()]+)\s+/y)?.[1]
    if (declared !== undefined) return this.#declared(declared, depth)
    const next = this.#text.charAt(this.#at)
    if (next === "'" || next === '"') return { type: 's', value: this.#string(next) }
    if (next === '[') return this.#array(undefined, depth)
    if (next === '(') return this.#tuple(depth)
    const number = this.#match(/[+-]?(0[xX][0-9a-fA-F]+|\d+(\.\d+)?([eE][+-]?\d+)?)(?![\w.])/y)?.[0]
    if (number !== undefined)
      return /^[+-]?\d+[.eE]/.test(number) && !/^[+-]?0[xX]/.test(number)
        ? { type: 'd', value: Number(number) }
        : this.#integer('i', number)
    const word = this.#match(/[a-z][a-z0-9]*/y)?.[0] ?? ''
    if (word === 'true' || word === 'false') return { type: 'b', value: word === 'true' }
    const type =
      INTEGERS[word]?.[0] ?? { boolean: 'b', string: 's', double: 'd', objectpath: 'o', signature: 'g' }[word]
    if (type === undefined) throw this.#wrong('expected a string in quotes, a number, true, false, [ or (')
    this.#blank()
    return this.#declared(type, depth)
  }

  /** A value whose type is written before it. */
  #declared(type: string, depth: number): Variant {
    this.#blank()
    if (type.startsWith('a')) {
      if (this.#text.charAt(this.#at) !== '[') throw this.#wrong('expected [')
      return this.#array(type.slice(1), depth)
    }
    if (BY_TYPE[type]) {
      const number = this.#match(/[+-]?(0[xX][0-9a-fA-F]+|\d+)(?![\w.])/y)?.[0]
      if (number === undefined) throw this.#wrong('expected an integer')
      return this.#integer(type, number)
    }
    const found = this.value(depth + 1)
    if (found.type === type) return found
    if (type === 'd' && found.type === 'i') return { type, value: Number(found.value) }
    if ('og'.includes(type) && found.type === 's') return { type, value: found.value }
    throw this.#wrong(`it is of type ${found.type}, not ${type}`)
  }

  #integer(type: string, text: string): Variant {
    const negative = text.startsWith('-')
    const value = BigInt(text.replace(/^[+-]/, '')) * (negative ? -1n : 1n)
    const [least = 0n, most = 0n] = BY_TYPE[type] ?? []
    if (value < least || value > most) throw this.#wrong(`${text} is out of the range ${least} to ${most}`)
    return { type, value }
  }

  #string(quote: string): string {
    let found = ''
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const char = this.#text.charAt(this.#at)
      if (char === '\0') break
      if (char === quote) {
        this.#at++
        return found
      }
      found += char === '\\' ? this.#escape() : char
    }
    throw this.#wrong('the string does not end')
  }

  #escape(): string {
    this.#at++
    const code = this.#match(/u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})/y)
    if (code === undefined) return ESCAPES[this.#text.charAt(this.#at)] ?? this.#text.charAt(this.#at)
    this.#at--
    const point = Number.parseInt(code[1] ?? code[2] ?? '', 16)
    if (point === 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) throw this.#wrong('no such character')
    return String.fromCodePoint(point)
  }

  #array(itemType: string | undefined, depth: number): Variant {
    const items = this.#items(']', depth, itemType)
    const type = itemType ?? items[0]?.type
    if (type === undefined) throw this.#wrong('the type of an empty array has to be written before it, as in @as []')
    const odd = items.find((item) => item.type !== type)
    if (odd) throw this.#wrong(`an array of type ${type} holds one of type ${odd.type}`)
    return { type: `a${type}`, value: items.map(({ value }) => value) }
  }

  #tuple(depth: number): Variant {
    const items = this.#items(')', depth, undefined)
    if (items.length === 0) throw this.#wrong('D-Bus has no empty tuples')
    return { type: `(${items.map(({ type }) => type).join('')})`, value: items.map(({ value }): Value => value) }
  }

  #items(close: string, depth: number, type: string | undefined): Variant[] {
    const items: Variant[] = []
    for (this.#at++; ; ) {
      this.#blank()
      if (this.#text.charAt(this.#at) === close) {
        this.#at++
        return items
      }
      // GVariant lets the first number of an array say the type of all.
      const said = type ?? items[0]?.type
      const plain = said !== undefined && BY_TYPE[said] !== undefined && /[+\-\d]/.test(this.#text.charAt(this.#at))
      if (depth >= DEPTH) throw this.#wrong('it is nested too deep')
      items.push(plain && close === ']' ? this.#declared(said, depth + 1) : this.value(depth + 1))
      this.#blank()
      const next = this.#text.charAt(this.#at)
      if (next === ',') this.#at++
      else if (next !== close) throw this.#wrong(`expected , or ${close}`)
    }
  }

  #blank(): void {
    this.#match(/\s+/y)
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text) ?? undefined
    if (found) this.#at += found[0].length
    return found
  }

  #wrong(what: string): SyntaxError {
    return new SyntaxError(`${what} (at character ${this.#at + 1})`)
  }
}
