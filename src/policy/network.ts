/**
 * Destinations and ports in policies. A destination is `[tcp://|udp://|icmp://]TARGET[:PORTS]`. Without a scheme it means TCP and UDP, without
 * ports all of them. A target is `*` (or nothing), an address or a CIDR; with ports an IPv6 one stands in brackets.
 */

import { ANYWHERE, covers, type Prefix, parsePrefix } from './prefix.ts'

export const PROTOCOLS = ['tcp', 'udp', 'icmp'] as const
export type Protocol = (typeof PROTOCOLS)[number]

export interface Destination {
  readonly protocols: readonly Protocol[]
  readonly prefixes: readonly Prefix[]
  /** undefined: all; ICMP has none. */
  readonly ports: readonly number[] | undefined
}

/** Both inclusive. */
export interface PortRange {
  readonly first: number
  readonly last: number
}

/** What is wrong with a rule; whoever knows where it stands adds that. */
export class RuleError extends Error {}

const MAX_PORT = 65_535

const parsePort = (text: string, least: number): number => {
  if (!/^\d{1,5}$/.test(text) || Number(text) < least || Number(text) > MAX_PORT)
    throw new RuleError(`"${text}" is no port: a number from ${least} to ${MAX_PORT}`)
  return Number(text)
}

const parsePorts = (text: string): readonly number[] | undefined =>
  text === '*' ? undefined : [...new Set(text.split(',').map((port) => parsePort(port, 1)))]

/** Names are refused: what one stands for is somebody else's to say, at any moment. */
const parseTarget = (text: string): readonly Prefix[] => {
  if (text === '' || text === '*') return ANYWHERE
  const prefix = parsePrefix(text)
  if (prefix) return [prefix]
  if (text.includes('/')) throw new RuleError(`"${text}" is no CIDR`)
  throw new RuleError(`"${text}" is no address: *, an IP address or a CIDR`)
}

const parseIcmp = (body: string): Destination => {
  if (body.includes(':') && !parsePrefix(body)) throw new RuleError('ICMP has no ports')
  return { protocols: ['icmp'], prefixes: parseTarget(body), ports: undefined }
}

/** Throws RuleError. */
export const parseDestination = (text: string): Destination => {
  const [, scheme, rest] = /^([^:/[\]]*):\/\/(.*)$/s.exec(text) ?? []
  const body = rest ?? text
  if (scheme !== undefined && !PROTOCOLS.includes(scheme as Protocol))
    throw new RuleError(`unknown scheme "${scheme}": tcp, udp or icmp`)
  if (body === '') throw new RuleError('names no host: * stands for any')
  if (scheme === 'icmp') return parseIcmp(body)
  const protocols: readonly Protocol[] = scheme === undefined ? ['tcp', 'udp'] : [scheme as Protocol]
  if (body.startsWith('[')) {
    const [, inside = '', ports = ''] = /^\[([^\]]*)\]:(.*)$/s.exec(body) ?? []
    const prefix = parsePrefix(inside)
    if (!prefix) throw new RuleError('is malformed: [ADDRESS]:PORTS')
    return { protocols, prefixes: [prefix], ports: parsePorts(ports) }
  }
  const whole = parsePrefix(body)
  if (whole) return { protocols, prefixes: [whole], ports: undefined }
  const colon = body.lastIndexOf(':')
  if (colon < 0) return { protocols, prefixes: parseTarget(body), ports: undefined }
  return { protocols, prefixes: parseTarget(body.slice(0, colon)), ports: parsePorts(body.slice(colon + 1)) }
}

/** Ports to bind: a number, `FIRST-LAST`, or `*`. Throws RuleError. */
export const parseRange = (text: string): PortRange => {
  if (text === '*') return { first: 0, last: MAX_PORT }
  const [first = '', last = first, ...more] = text.split('-')
  if (more.length > 0) throw new RuleError(`"${text}" is no range of ports: FIRST-LAST`)
  const range = { first: parsePort(first, 0), last: parsePort(last, 0) }
  if (range.first > range.last) throw new RuleError(`"${text}": the first port is above the last`)
  return range
}

/** One protocol, prefix and port. */
export interface Single {
  readonly protocol: Protocol
  readonly prefix: Prefix
  /** undefined: all. */
  readonly port: number | undefined
}

/** The same set of destinations, one at a time. */
export function* single({ protocols, prefixes, ports }: Destination): Iterable<Single> {
  for (const protocol of protocols)
    for (const prefix of prefixes) for (const port of ports ?? [undefined]) yield { protocol, prefix, port }
}

/** Whether all that a destination allows is allowed by one of these. */
export const isWithin = (inner: Destination, outers: readonly Destination[]): boolean =>
  [...single(inner)].every(({ protocol, prefix, port }) =>
    outers.some(
      ({ protocols, prefixes, ports }) =>
        protocols.includes(protocol) &&
        prefixes.some((outer) => covers(outer, prefix)) &&
        (ports === undefined || (port !== undefined && ports.includes(port))),
    ),
  )
