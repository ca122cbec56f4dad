/** Network rules → the entries of the trie that programs look destinations up in. */

import { BerthError } from '../errors.ts'
import { type Addresses, type Destination, located, parseDestination, type Single, single } from '../policy/network.ts'
import type { NetworkRules } from '../policy/types.ts'
import { COUNTERS, KEY, NUMBERS } from './network.ts'

/** As many as a policy may have addresses, ports and protocols, each with each. */
export const MAX_ENTRIES = 65_536
/** A counter's number. */
export const VALUE_SIZE = 4
const POINTER = '/annotations'

export interface Entry {
  readonly key: Uint8Array
  readonly counter: number
}

const keyOf = ({ protocol, prefix, port }: Single): Uint8Array => {
  const key = new Uint8Array(KEY.size)
  const view = new DataView(key.buffer)
  view.setUint32(0, KEY.fixedBits + prefix.bits, true)
  view.setUint8(KEY.protocol, NUMBERS[protocol])
  view.setUint8(KEY.family, prefix.family)
  view.setUint16(KEY.port, port ?? 0)
  key.set(prefix.address, KEY.address)
  return key
}

/** To 0.0.0.0 and :: the kernel connects where the socket is bound, or to the loopback: a deny rule could be stepped round by them. */
const UNSPECIFIED = ['0.0.0.0', '::'] as const

const unspecified = (rules: readonly Destination[]): Entry[] => {
  const protocols = [...new Set(rules.flatMap((rule) => rule.protocols))]
  return UNSPECIFIED.flatMap((text) => {
    const { prefixes } = parseDestination(text)
    return [...single({ protocols, prefixes, ports: undefined })].map((one) => ({
      key: keyOf(one),
      counter: COUNTERS.destination,
    }))
  })
}

/** Of one policy, each key once, by its bytes as text: the first rule that names a destination counts it. */
export const entriesOf = (
  { allow, deny }: Pick<NetworkRules, 'allow' | 'deny'>,
  addresses: Addresses,
): ReadonlyMap<string, Entry> => {
  const rules = (allow ?? deny ?? []).map((text) => located(parseDestination(text), addresses))
  const denies = allow === undefined && deny !== undefined
  const named = rules.flatMap((rule, index) =>
    [...single(rule)].map((one) => ({ key: keyOf(one), counter: denies ? COUNTERS.rules + index : 0 })),
  )
  const all = new Map<string, Entry>()
  for (const entry of [...named, ...(denies ? unspecified(rules) : [])]) {
    const id = Buffer.from(entry.key).toString('latin1')
    if (!all.has(id)) all.set(id, entry)
  }
  if (all.size > MAX_ENTRIES)
    throw new BerthError(
      'invalid',
      `policy: network: the rules come to ${all.size} addresses with ports, and at most ${MAX_ENTRIES} are possible: use prefixes, or all ports`,
      { pointer: POINTER },
    )
  return all
}
