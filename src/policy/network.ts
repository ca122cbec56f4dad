/**
 * Destinations and ports in policies. A destination is `[tcp://|udp://|icmp://]TARGET[:PORTS]`. Without a scheme it means TCP and UDP, without
 * ports all of them. A target is `*` (or nothing), an address, a CIDR or the name of a host; with ports an IPv6 one stands in brackets.
 */

import { remembered } from '../remember.ts'
import { canonicalHost } from './host.ts'
import { ANYWHERE, covers, type Prefix, parsePrefix } from './prefix.ts'

export const PROTOCOLS = ['tcp', 'udp', 'icmp'] as const
export type Protocol = (typeof PROTOCOLS)[number]

export interface Destination {
  readonly protocols: readonly Protocol[]
  /** None where there is a host: what that stands for is known once it is looked up (`located`). */
  readonly prefixes: readonly Prefix[]
  /** Lower case. */
  readonly host?: string
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

const parseTarget = (text: string): Pick<Destination, 'prefixes' | 'host'> => {
  if (text === '' || text === '*') return { prefixes: ANYWHERE }
  const prefix = parsePrefix(text)
  if (prefix) return { prefixes: [prefix] }
  if (text.includes('/')) throw new RuleError(`"${text}" is no CIDR`)
  const host = canonicalHost(text)
  if (host === undefined)
    throw new RuleError(`"${text}" is no address and no host's name: *, an IP address, a CIDR or a name`)
  return { prefixes: [], host }
}

const parseIcmp = (body: string): Destination => {
  if (body.includes(':') && !parsePrefix(body)) throw new RuleError('ICMP has no ports')
  return { protocols: ['icmp'], ...parseTarget(body), ports: undefined }
}

/** Throws RuleError. */
export const parseDestination = (text: string): Destination => {
  const [, scheme, rest] = /^([^:/[\]]*):\/\/(.*)$/s.exec(text) ?? []
  const body = rest ?? text
  if (scheme !== undefined && !PROTOCOLS.includes(scheme as Protocol))
    throw new RuleError(`unknown scheme "${scheme}": tcp, udp or icmp`)
  if (text === '') throw new RuleError('is empty: leave it out where nothing is meant (a list may have no rules)')
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
  if (colon < 0) return { protocols, ...parseTarget(body), ports: undefined }
  return { protocols, ...parseTarget(body.slice(0, colon)), ports: parsePorts(body.slice(colon + 1)) }
}

/** The same without names of hosts: what one stands for is its owner's to say, at any moment, so that it would deny nothing for long. */
export const parseAddresses = (text: string): Destination => {
  const destination = parseDestination(text)
  if (destination.host !== undefined)
    throw new RuleError(
      `"${destination.host}" is a host's name, which can only be allowed: http.deny refuses requests to it`,
    )
  return destination
}

/** The hosts that rules allow, each once. */
export const hostsOf = ({ allow = [] }: { readonly allow?: readonly string[] }): readonly string[] =>
  rememberedHosts(JSON.stringify(allow), allow)

const rememberedHosts = remembered(16, (_, allow: readonly string[]): readonly string[] => [
  ...new Set(allow.flatMap((text) => parseDestination(text).host ?? [])),
])

/** Ports to bind: a number, `FIRST-LAST`, or `*`. Throws RuleError. */
export const parseRange = (text: string): PortRange => {
  if (text === '*') return { first: 0, last: MAX_PORT }
  const [first = '', last = first, ...more] = text.split('-')
  if (more.length > 0) throw new RuleError(`"${text}" is no range of ports: FIRST-LAST`)
  const range = { first: parsePort(first, 0), last: parsePort(last, 0) }
  if (range.first > range.last) throw new RuleError(`"${text}": the first port is above the last`)
  return range
}

/** The same of ports that may not be bound. */
export const parseDeniedRange = (text: string): PortRange => {
  if (text === '*') throw new RuleError('* stands for all ports in allowBind only: there an empty list allows none')
  return parseRange(text)
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

/** What names of hosts stand for: addresses as text, by the name. */
export type Addresses = Readonly<Record<string, readonly string[]>>

/** A host may have the name of what every object has. */
export const addressesOf = (host: string, addresses: Addresses): readonly string[] =>
  Object.hasOwn(addresses, host) ? (addresses[host] ?? []) : []

/** With the addresses of its host for prefixes. */
export const located = (destination: Destination, addresses: Addresses): Destination => {
  const { host } = destination
  if (host === undefined) return destination
  return { ...destination, prefixes: addressesOf(host, addresses).flatMap((address) => parsePrefix(address) ?? []) }
}

/** The same rule for each address of its host. */
export const withAddresses = (text: string, addresses: Addresses): readonly string[] => {
  const { host, protocols, ports } = parseDestination(text)
  if (host === undefined) return [text]
  return protocols.flatMap((protocol) =>
    addressesOf(host, addresses).map((address) => `${protocol}://${bracketed(address, ports)}`),
  )
}

const bracketed = (address: string, ports: readonly number[] | undefined): string =>
  ports === undefined ? address : `${address.includes(':') ? `[${address}]` : address}:${ports.join()}`

/** Whether all that a destination allows is allowed by one of these. A host is within the same host, or within everything. */
export const isWithin = (inner: Destination, outers: readonly Destination[]): boolean => {
  const covered = (outer: Destination, prefix: Prefix) =>
    (inner.host !== undefined && outer.host === inner.host) || outer.prefixes.some((other) => covers(other, prefix))
  const wanted = inner.host === undefined ? inner : { ...inner, prefixes: ANYWHERE }
  return [...single(wanted)].every(({ protocol, prefix, port }) =>
    outers.some(
      (outer) =>
        outer.protocols.includes(protocol) &&
        (outer.ports === undefined || (port !== undefined && outer.ports.includes(port))) &&
        covered(outer, prefix),
    ),
  )
}
