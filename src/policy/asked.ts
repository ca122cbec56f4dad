/** What policies take of a host, asked and remembered. */

import { parseMountinfo } from '../cgroup/mountinfo.ts'
import { errnoName } from '../controller/errno.ts'
import type { Results } from '../controller/types.ts'
import type { HostFacts } from '../plan/facts.ts'
import { type Plan, PROBES } from '../plan/ops.ts'
import { canSupervise } from './protections.ts'
import type { Confinement } from './types.ts'

/** Results: what `askHost` reads. */
export const HOST: Plan = [
  { op: 'probe', what: PROBES.landlock, argument: 0n, path: '' },
  { op: 'probe', what: PROBES.networkFilter, argument: 0n, path: '' },
  { op: 'read', path: '/proc/self/mountinfo', max: 64 << 20, flags: 0 },
  { op: 'read', path: '/proc/sys/kernel/osrelease', max: 4096, flags: 0 },
]

export type Host = Required<Pick<Confinement, 'landlock' | 'network' | 'supervises'>>

/** The kernel's ABI of Landlock, 0 where it has none. */
const landlockOf = (results: Results, at: number): number => (results.u32(at) === 0 ? Number(results.u64(at, 4)) : 0)

/** Why network rules can't be enforced; '' where they can. */
const networkOf = (results: Results, at: number): string => {
  if (!parseMountinfo(results.text(at + 1) ?? '').some(({ type }) => type === 'cgroup2'))
    return 'needs a cgroup hierarchy of version 2, and none is mounted'
  const errno = results.u32(at)
  return errno === 0 ? '' : `needs BPF programs of cgroups, which the host refuses (${errnoName(errno)})`
}

/** Hosts that have all there is, by what that depends on: what one lacks may come, so it is asked for again. */
const complete = new Map<string, Host>()

/** Who lacks something all the same is refused by the kernel, operation by operation. */
const keyOf = ({ kernel, caller, hostUid, inUserNamespace, permitted, boundingSet, cgroup }: HostFacts): string =>
  [kernel, caller.uid, hostUid, inUserNamespace, permitted, boundingSet, cgroup.v2?.mountPoint].join(' ')

export const knownHost = (facts: HostFacts): Host | undefined =>
  facts.filtered ? undefined : complete.get(keyOf(facts))

/** `at`: where the results of HOST begin. `facts`: under what it is remembered. */
export const askHost = (results: Results, at: number, facts?: HostFacts): Host => {
  const host = {
    landlock: landlockOf(results, at),
    network: networkOf(results, at + 1),
    supervises: canSupervise(results.text(at + 3) ?? ''),
  }
  if (facts && !facts.filtered && host.landlock > 0 && host.network === '') complete.set(keyOf(facts), host)
  return host
}
