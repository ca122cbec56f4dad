/**
 * Names of hosts in network rules → what the container's /etc/hosts says of them, and where a policy wants them looked up again, a worker that does
 * so and a process that changes the tries as it says (bpf-apply): the worker itself has no right to.
 */

import { posix } from 'node:path'
import { VALUE_SIZE } from '../bpf/destinations.ts'
import { KEY } from '../bpf/network.ts'
import { BerthError } from '../errors.ts'
import { NAMES_ENTRY, openSources } from '../policy/lookup.ts'
import { type Addresses, addressesOf, hostsOf } from '../policy/network.ts'
import type { Confinement, NetworkRules } from '../policy/types.ts'
import type { NamesConfig } from '../policy/worker/names/config.ts'
import { extendFile } from './extend-file.ts'
import { helperRecord } from './helpers.ts'
import type { Namespaces } from './namespaces.ts'
import { enforcedNetwork, trieSlot } from './network.ts'
import type { Op } from './ops.ts'
import type { Arch } from './process.ts'
import { startWorker } from './worker.ts'
import { DNS, workerRules } from './worker-rules.ts'

const POINTER = '/annotations'
/** What the tries are made of since create, in the container's directory. */
export const NAMES_FILE = 'names.json'
const O_RDWR_NEW = 0o1102
/** The channel's ends: the worker's, and that of who changes the tries. */
const [WORKER, APPLIER, RESOLV_CONF, HOSTS, SHOWN] = [490, 491, 492, 493, 494]
/** In the order in which the worker has them. */
const FDS = [WORKER, RESOLV_CONF, HOSTS, SHOWN] as const

export interface LookupsPlan {
  /** Outside, before the container's process is made. */
  readonly before: readonly Op[]
  /** In it, once its file system is there. */
  readonly inside: readonly Op[]
  /** Outside, once it is parked. */
  readonly after: readonly Op[]
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** Policies whose names are looked up again, by their number among those with network rules. */
const refreshed = (confinement: Confinement): readonly (readonly [NetworkRules, number])[] =>
  enforcedNetwork(confinement)
    .map((network, index) => [network, index] as const)
    .filter(([{ refresh }]) => refresh !== undefined)

/** Whether more of it is in the container, or beside it, than tries. */
export const hasLookups = (confinement: Confinement | undefined): boolean =>
  confinement?.policies.some(({ network }) => network?.refresh !== undefined || network?.hosts === true) ?? false

const planHosts = ({ policies }: Confinement, addresses: Addresses): Op[] => {
  const names = new Set(policies.flatMap(({ network }) => (network?.hosts ? hostsOf(network) : [])))
  const lines = [...names].flatMap((name) => addressesOf(name, addresses).map((address) => `${address} ${name}\n`))
  return lines.length === 0 ? [] : [extendFile('/etc/hosts', { head: text(lines.join('')), make: 1 })]
}

const planRefresh = (
  confinement: Confinement,
  addresses: Addresses,
  stateDir: string,
  arch: Arch,
): Omit<LookupsPlan, 'inside'> => {
  const all = refreshed(confinement)
  if (all.length === 0) return { before: [], after: [] }
  const rules = all.map(([network]) => network)
  const config: NamesConfig = {
    names: [...new Set(rules.flatMap(hostsOf))],
    resolvConf: FDS.indexOf(RESOLV_CONF),
    hosts: FDS.indexOf(HOSTS),
    refresh: {
      seconds: Math.min(...rules.flatMap(({ refresh }) => refresh ?? [])),
      allow: rules.map(({ allow = [] }) => allow),
      addresses,
      channel: FDS.indexOf(WORKER),
      shown: FDS.indexOf(SHOWN),
    },
  }
  const maps = all.map(([network, index]) => trieSlot(network, index))
  const shown = posix.join(stateDir, NAMES_FILE)
  return {
    before: [
      { op: 'socket-pair', one: WORKER, other: APPLIER },
      ...openSources(RESOLV_CONF, HOSTS),
      { op: 'open', path: shown, oflags: O_RDWR_NEW, mode: 0o600, slot: SHOWN, pointer: POINTER },
      startWorker(stateDir, {
        entry: NAMES_ENTRY,
        helper: 'names-worker',
        log: 'names.log',
        config,
        fds: FDS,
        rules: workerRules(confinement.landlock, arch, [DNS]),
      }),
      ...FDS.map((slot): Op => ({ op: 'close', slot })),
    ],
    after: [
      {
        op: 'bpf-apply',
        maps,
        keySize: KEY.size,
        valueSize: VALUE_SIZE,
        channel: APPLIER,
        record: helperRecord(stateDir, 'names-apply'),
        pointer: POINTER,
      },
      ...[...maps, APPLIER].map((slot): Op => ({ op: 'close', slot })),
    ],
  }
}

export const planLookups = (
  confinement: Confinement | undefined,
  namespaces: Namespaces,
  stateDir: string,
  arch: Arch,
): LookupsPlan => {
  if (confinement?.addresses === undefined) return { before: [], inside: [], after: [] }
  const inside = planHosts(confinement, confinement.addresses)
  if (inside.length > 0 && !namespaces.has('mount'))
    throw new BerthError('invalid', "policy: network.hosts needs a mount namespace that is not the host's", {
      pointer: '/linux/namespaces',
    })
  return { inside, ...planRefresh(confinement, confinement.addresses, stateDir, arch) }
}
