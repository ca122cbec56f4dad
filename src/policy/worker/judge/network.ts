/** Network rules as a judge of single calls: what BPF programs say of them where the host has these (src/bpf/network.ts). */

import { type Destination, isWithin, parseDestination, parseRange } from '../../network.ts'
import { parsePrefix } from '../../prefix.ts'
import type { NetworkRules } from '../../types.ts'
import type { AddressEvent, SyscallEvent } from './event.ts'

type Verdict = 'allow' | 'deny'

/** To these the kernel connects where the socket is bound, or to the loopback: a deny rule could be stepped round by them. */
const UNSPECIFIED: readonly unknown[] = ['0.0.0.0', '::']

/** What is reached, in the terms of rules; undefined: nothing that rules can speak of. */
const wanted = ({ family, protocol, address = '', port }: AddressEvent): Destination | undefined => {
  const prefix = family === 'ipv4' || family === 'ipv6' ? parsePrefix(address) : undefined
  if (prefix === undefined || (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'icmp')) return undefined
  return {
    protocols: [protocol],
    prefixes: [prefix],
    ports: protocol === 'icmp' || port === undefined ? undefined : [port],
  }
}

const destinationJudge = ({ allow, deny = [] }: NetworkRules) => {
  const [allowed, denied] = [allow?.map(parseDestination), deny.map(parseDestination)]
  const spoken = new Set(denied.flatMap(({ protocols }) => protocols))
  return (event: AddressEvent): boolean => {
    const destination = wanted(event)
    if (destination === undefined) return false
    if (allowed) return isWithin(destination, allowed)
    const [protocol] = destination.protocols
    if (UNSPECIFIED.includes(event.address)) return protocol === undefined || !spoken.has(protocol)
    return !denied.some((rule) => isWithin(destination, [rule]))
  }
}

const bindJudge = ({ allowBind, denyBind = [] }: NetworkRules) => {
  const ranges = (allowBind ?? denyBind).map(parseRange)
  return ({ protocol, port }: AddressEvent): boolean => {
    if (protocol === 'icmp') return true
    if (port === undefined || (protocol !== 'tcp' && protocol !== 'udp')) return false
    // One that is any that is free is a client's right for UDP.
    if (port === 0 && protocol === 'udp') return true
    return ranges.some(({ first, last }) => first <= port && port <= last) === (allowBind !== undefined)
  }
}

export const networkJudge = (rules: NetworkRules): ((event: SyscallEvent) => Verdict) => {
  const [reaches, binds] = [destinationJudge(rules), bindJudge(rules)]
  return (event) => {
    if (event.call !== 'connect' && event.call !== 'bind') return 'deny'
    if (event.family === 'unix') return 'allow'
    return (event.call === 'connect' ? reaches(event) : binds(event)) ? 'allow' : 'deny'
  }
}
