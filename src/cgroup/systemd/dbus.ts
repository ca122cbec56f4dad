/** D-Bus method calls as bytes (the specification's wire format, little-endian), with room for what is known only when they are sent. */

import type { Template } from '../../plan/ops.ts'

/** A value with its type, as D-Bus writes types: `u`, `as`, `a(ss)` … The number of a process may be left open. */
export interface Variant {
  readonly type: string
  readonly value: Value
}
export type Value = string | number | bigint | boolean | typeof PID | Variant | readonly Value[]
/** The process that the plan has cloned by then. */
export const PID = { hole: 'pid32' } as const

export interface Call {
  readonly serial: number
  readonly destination: string
  readonly path: string
  readonly interface: string
  readonly member: string
  readonly arguments: readonly Variant[]
  readonly noReply?: boolean
}

const METHOD_CALL = 1
const NO_REPLY_EXPECTED = 1
const VERSION = 1
const FIELDS = { path: 1, interface: 2, member: 3, destination: 6, signature: 8 } as const

const utf8 = new TextEncoder()

const ALIGNMENT: Readonly<Record<string, number>> = { y: 1, g: 1, v: 1, n: 2, q: 2, x: 8, t: 8, d: 8, '(': 8, '{': 8 }
const alignment = (type: string): number => ALIGNMENT[type.charAt(0)] ?? 4

const WIDTH: Readonly<Record<string, number>> = { y: 1, n: 2, q: 2, i: 4, u: 4, b: 4, x: 8, t: 8 }

/** The first complete type of a signature. */
export const firstType = (signature: string): string => {
  const head = signature.charAt(0)
  if (head === 'a') return `a${firstType(signature.slice(1))}`
  if (head !== '(' && head !== '{') return head
  let depth = 0
  for (let index = 0; index < signature.length; index++) {
    if ('({'.includes(signature.charAt(index))) depth++
    else if (')}'.includes(signature.charAt(index)) && --depth === 0) return signature.slice(0, index + 1)
  }
  throw new TypeError(`the signature "${signature}" does not end`)
}

/** The types that follow each other in a signature. */
const types = (signature: string): string[] => {
  const found: string[] = []
  for (let rest = signature; rest !== ''; rest = rest.slice((found.at(-1) ?? '').length)) found.push(firstType(rest))
  return found
}

class Marshaller {
  readonly #bytes: number[] = []
  /** Where numbers of processes are left open. */
  readonly holes: number[] = []

  get length(): number {
    return this.#bytes.length
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes)
  }

  align(to: number): void {
    while (this.#bytes.length % to !== 0) this.#bytes.push(0)
  }

  number(value: bigint, width: number): void {
    for (let index = 0; index < width; index++) this.#bytes.push(Number((value >> BigInt(8 * index)) & 0xffn))
  }

  patch(at: number, value: number): void {
    for (let index = 0; index < 4; index++) this.#bytes[at + index] = (value >>> (8 * index)) & 0xff
  }

  put(type: string, value: Value): void {
    this.align(alignment(type))
    const width = WIDTH[type]
    if (width !== undefined) {
      if (value === PID) this.holes.push(this.length)
      this.number(value === PID ? 0n : BigInt(value as number | bigint | boolean), width)
    } else if (type === 'd') this.#bytes.push(...new Uint8Array(Float64Array.of(Number(value)).buffer))
    else if (type === 's' || type === 'o') this.#text(value as string, 4)
    else if (type === 'g') this.#text(value as string, 1)
    else if (type === 'v') this.#variant(value as Variant)
    else if (type.startsWith('a')) this.#array(type.slice(1), value as readonly Value[])
    else if (type.startsWith('(')) this.#members(type.slice(1, -1), value as readonly Value[])
    else throw new TypeError(`the D-Bus type "${type}" is not known`)
  }

  #text(text: string, width: number): void {
    const encoded = utf8.encode(text)
    this.number(BigInt(encoded.length), width)
    this.#bytes.push(...encoded, 0)
  }

  #variant({ type, value }: Variant): void {
    this.put('g', type)
    this.put(type, value)
  }

  #array(type: string, items: readonly Value[]): void {
    const at = this.length
    this.number(0n, 4)
    // The padding before the first item does not count.
    this.align(alignment(type))
    const start = this.length
    for (const item of items) this.put(type, item)
    this.patch(at, this.length - start)
  }

  #members(signature: string, values: readonly Value[]): void {
    for (const [index, type] of types(signature).entries()) this.put(type, values[index] ?? '')
  }
}

const variant = (type: string, value: Value): Variant => ({ type, value })

/** The message of a call; its length does not depend on what is left open in it. */
export const marshalCall = (call: Call): Template => {
  const out = new Marshaller()
  const signature = call.arguments.map(({ type }) => type).join('')
  const fields: Value[] = [
    [FIELDS.path, variant('o', call.path)],
    [FIELDS.destination, variant('s', call.destination)],
    [FIELDS.interface, variant('s', call.interface)],
    [FIELDS.member, variant('s', call.member)],
    ...(signature === '' ? [] : [[FIELDS.signature, variant('g', signature)]]),
  ]
  out.put('y', 'l'.charCodeAt(0))
  out.put('y', METHOD_CALL)
  out.put('y', call.noReply ? NO_REPLY_EXPECTED : 0)
  out.put('y', VERSION)
  const sizeAt = out.length
  out.put('u', 0)
  out.put('u', call.serial)
  out.put('a(yv)', fields)
  out.align(8)
  const body = out.length
  for (const { type, value } of call.arguments) out.put(type, value)
  out.patch(sizeAt, out.length - body)
  return template(out.bytes(), out.holes)
}

const template = (bytes: Uint8Array, holes: readonly number[]): Template => {
  const parts: Template[number][] = []
  let from = 0
  for (const at of holes) {
    parts.push(bytes.subarray(from, at), PID)
    from = at + 4
  }
  return [...parts, bytes.subarray(from)]
}
