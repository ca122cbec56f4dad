/** Counters of refused requests: u64 in a file of the container's, that its proxy writes. */

import type { Denial } from './denials.ts'
import type { Policy } from './types.ts'

/** Name of the file, in the container's directory. */
export const COUNTERS_FILE = 'http.denied'
export const COUNTER_SIZE = 8

/** Of each policy with HTTP rules, in this order; those of its deny rules follow. */
export const HTTP_COUNTERS = { unnamed: 0, malformed: 1, elsewhere: 2, rules: 3 } as const

const namesOf = (deny: readonly string[] = []): readonly Pick<Denial, 'rule' | 'value'>[] => {
  const names: Pick<Denial, 'rule' | 'value'>[] = []
  names[HTTP_COUNTERS.unnamed] = { rule: 'http.allow' }
  names[HTTP_COUNTERS.malformed] = { rule: 'http', value: 'what could not be judged' }
  names[HTTP_COUNTERS.elsewhere] = { rule: 'http', value: 'not where its host is' }
  return [...names, ...deny.map((value) => ({ rule: 'http.deny', value }))]
}

/** What was refused, of the policies that have HTTP rules, in their order. What never was is left out. */
export const readHttpDenials = (policies: readonly Policy[], bytes: Uint8Array): Denial[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = (at: number) => (at + COUNTER_SIZE <= view.byteLength ? view.getBigUint64(at, true) : 0n)
  let first = 0
  return policies.flatMap(({ http, from = '' }) => {
    if (http === undefined) return []
    const names = namesOf(http.deny)
    const base = first
    first += names.length
    return names
      .map((name, index) => ({ from, ...name, denied: count((base + index) * COUNTER_SIZE) }))
      .filter(({ denied }) => denied > 0n)
  })
}
