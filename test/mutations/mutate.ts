/** Random changes to valid configurations, the same for the same number. */
import { stringifyJson } from '../../src/spec/json.ts'
import { seeds } from './seeds.ts'

// biome-ignore lint/suspicious/noExplicitAny: any part of the document may be changed
type Value = any

/** Mulberry32: 32 bits of state are enough to name a case by. */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let x = this.#state
    x = Math.imul(x ^ (x >>> 15), x | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) % limit
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }
}

const NUMBERS: readonly Value[] = [
  ...[0, -1, 1, 2, 7, 9, 255, 4096, 65536, 2147483647, 2147483648, 4294967295, 4294967296, 0.5, -0.5, 1e21],
  ...[2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n, -(2n ** 63n), -(2n ** 63n) - 1n],
]
const STRINGS = [
  ...[
    '',
    ' ',
    '/',
    '.',
    '..',
    '../..',
    '/..',
    'a/../b',
    '-1',
    '0x10',
    '1 ',
    '+1',
    'null',
    '\u0000',
    'a\u0000b',
    '\n',
    'ü',
    '\ud800',
  ],
  ...[
    'x'.repeat(300),
    'x'.repeat(5000),
    '/x'.repeat(3000),
    '%s%n',
    '{{',
    '$(id)',
    'a=b',
    '=',
    'a:b:c',
    'C:\\',
    '0-9999',
    '0,0,0-',
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    '/proc',
    '/proc/self/exe',
    '/sys',
    '/dev',
    '/dev/null',
    '/dev/pts',
    'proc',
    'tmpfs',
  ],
  ...[
    'bind',
    'rbind',
    'rro',
    'idmap',
    'overlay',
    'cgroup',
    'user',
    'mount',
    'SCMP_ACT_KILL',
    'SCMP_ACT_NOTIFY',
    'CAP_NONE',
    'RLIMIT_X',
  ],
]
const OTHERS: readonly Value[] = [
  null,
  true,
  false,
  [],
  {},
  [[]],
  [null],
  { a: 1 },
  [{}],
  ['', ''],
  { path: '/' },
  { type: 'x' },
]

/** Somewhere in the document: the object or array, and the key in it. */
const somewhere = (random: Random, document: Value): { holder: Value; key: string | number } => {
  let holder = document
  for (;;) {
    const keys = Object.keys(holder)
    const key = random.pick(keys)
    const value = holder[key]
    const inner = value !== null && typeof value === 'object' && Object.keys(value).length > 0
    if (!inner || random.below(5) === 0) return { holder, key: Array.isArray(holder) ? Number(key) : key }
    holder = value
  }
}

const replacement = (random: Random, document: Value): Value => {
  switch (random.below(5)) {
    case 0:
    case 1:
      return random.pick(NUMBERS)
    case 2:
      return random.pick(STRINGS)
    case 3:
      return structuredClone(random.pick(OTHERS))
    default: {
      // something that is right elsewhere
      const { holder, key } = somewhere(random, document)
      return structuredClone(holder[key])
    }
  }
}

const change = (random: Random, document: Value): void => {
  const { holder, key } = somewhere(random, document)
  const list: Value[] | undefined = Array.isArray(holder) ? holder : undefined
  switch (random.below(6)) {
    case 0:
      if (list) list.splice(Number(key), 1)
      else delete holder[key]
      return
    case 1:
      if (list) list.splice(Number(key), 0, structuredClone(holder[key]))
      else
        Object.defineProperty(holder, random.pick(STRINGS), {
          value: 1,
          enumerable: true,
          configurable: true,
          writable: true,
        })
      return
    default:
      holder[key] = replacement(random, document)
  }
}

export interface Mutation {
  readonly number: number
  /** JSON text. */
  readonly text: string
}

/** The case of this number: one of the seeds with one to three changes. */
export const mutation = (number: number): Mutation => {
  const random = new Random(Math.imul(number + 1, 0x9e3779b1))
  const document = random.pick(seeds())
  for (let left = 1 + random.below(3); left > 0 && Object.keys(document).length > 0; left--) change(random, document)
  return { number, text: stringifyJson(document) }
}
