/** What network rules have refused so far, rule by rule. */

import { COUNTERS } from '../bpf/network.ts'
import type { NetworkRules, Policy } from './types.ts'

export interface Denial {
  /** Where the policy comes from. */
  readonly from: string
  readonly rule: string
  /** Of a rule that is counted by itself. */
  readonly value?: string
  readonly denied: bigint
}

/** What each counter of a policy stands for, in their order. */
const countersOf = ({ deny, denyBind }: NetworkRules): Pick<Denial, 'rule' | 'value'>[] => {
  const names: Pick<Denial, 'rule' | 'value'>[] = []
  names[COUNTERS.socket] = { rule: 'network', value: 'sockets of other kinds' }
  // Of denyBind as a whole in containers of builds that had no counter for each of its rules.
  names[COUNTERS.bind] = { rule: denyBind ? 'network.denyBind' : 'network.allowBind' }
  names[COUNTERS.destination] = deny ? { rule: 'network.deny', value: '0.0.0.0 and ::' } : { rule: 'network.allow' }
  return [
    ...names,
    ...(deny ?? []).map((value) => ({ rule: 'network.deny', value })),
    ...(denyBind ?? []).map((value) => ({ rule: 'network.denyBind', value })),
  ]
}

/** From the result of `bpf-counts`: those of the policies that have network rules, in their order. What was never refused is left out. */
export const readDenials = (policies: readonly Policy[], counts: Uint8Array): Denial[] => {
  const view = new DataView(counts.buffer, counts.byteOffset, counts.byteLength)
  let at = 0
  return policies.flatMap(({ network: written, http, from = '' }) => {
    const network = written ?? (http ? {} : undefined)
    if (network === undefined || at >= view.byteLength) return []
    const names = countersOf(network)
    const first = at + 4
    const count = view.getUint32(at, true)
    at = first + 8 * count
    return names
      .slice(0, count)
      .map((name, index) => ({ from, ...name, denied: view.getBigUint64(first + 8 * index, true) }))
      .filter(({ denied }) => denied > 0n)
  })
}
