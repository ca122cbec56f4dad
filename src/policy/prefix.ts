/** IP addresses and CIDRs as the bytes that the kernel compares. */

export interface Prefix {
  readonly family: 4 | 6
  /** 4 or 16 bytes; bits behind the prefix are 0. */
  readonly address: Uint8Array
  /** Length of the prefix. */
  readonly bits: number
}

const LENGTH = { 4: 32, 6: 128 } as const
/** ::ffff:0:0/96, where IPv6 sockets reach IPv4 addresses. */
const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff)

/** Every address. */
export const ANYWHERE: readonly Prefix[] = [
  { family: 4, address: new Uint8Array(4), bits: 0 },
  { family: 6, address: new Uint8Array(16), bits: 0 },
]

const BYTE = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const DOTTED = new RegExp(`^${BYTE}(?:\\.${BYTE}){3}$`)

const parse4 = (text: string): number[] | undefined => (DOTTED.test(text) ? text.split('.').map(Number) : undefined)

/** Words of an IPv6 address as bytes; an IPv4 address may be the last two of them. */
const parseWords = (text: string, dotted: boolean): number[] | undefined => {
  const bytes: number[] = []
  const words = text === '' ? [] : text.split(':')
  for (const [index, word] of words.entries()) {
    const ip4 = dotted && index === words.length - 1 ? parse4(word) : undefined
    if (ip4) bytes.push(...ip4)
    else if (/^[0-9a-f]{1,4}$/i.test(word)) bytes.push(Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 0xff)
    else return undefined
  }
  return bytes
}

const parse6 = (text: string): number[] | undefined => {
  const [left = '', right, ...more] = text.split('::')
  const head = parseWords(left, right === undefined)
  const tail = parseWords(right ?? '', true)
  if (!head || !tail || more.length > 0) return undefined
  if (right === undefined) return head.length === 16 ? head : undefined
  const gap = 16 - head.length - tail.length
  return gap < 2 ? undefined : [...head, ...Array<number>(gap).fill(0), ...tail]
}

const masked = (address: Uint8Array, bits: number): Uint8Array =>
  address.map((byte, index) => byte & (0xff00 >> Math.max(0, Math.min(8, bits - 8 * index))))

/**
 * An address or a CIDR, whose host bits may be set; undefined where the text is neither. A mapped IPv4 address is the address that it
 * stands for.
 */
export const parsePrefix = (text: string): Prefix | undefined => {
  const [, address = '', length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const ip4 = parse4(address)
  const found = ip4 ?? parse6(address)
  if (!found) return undefined
  const family = ip4 ? 4 : 6
  const bits = length === undefined ? LENGTH[family] : Number(length)
  if (bits > LENGTH[family]) return undefined
  const bytes = Uint8Array.from(found)
  const rest = bits - 8 * MAPPED.length
  if (family === 6 && rest >= 0 && MAPPED.every((byte, index) => bytes[index] === byte))
    return { family: 4, address: masked(bytes.subarray(MAPPED.length), rest), bits: rest }
  return { family, address: masked(bytes, bits), bits }
}

/** 4 or 6 where the text is an address, and 0 for anything else. */
export const addressFamily = (text: string): 0 | 4 | 6 => (parse4(text) ? 4 : parse6(text) ? 6 : 0)

/** Whether every address of the one is an address of the other. */
export const covers = (outer: Prefix, inner: Prefix): boolean =>
  outer.family === inner.family &&
  outer.bits <= inner.bits &&
  masked(inner.address, outer.bits).every((byte, index) => byte === outer.address[index])
