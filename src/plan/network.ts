/**
 * Network rules of policies → BPF programs on the container's cgroup (v2), where the kernel asks them at each connect, sendto, bind and at each
 * socket that is made, whichever system call it came by. Each policy has programs of its own, and what one of them refuses is refused.
 *
 * Where rules speak of destinations, only sockets that the programs can judge are made at all (trap 22): TCP, UDP, and for ping. What has no
 * program at all (packets, virtual machines' sockets …) a system call filter refuses, and io_uring with it, which would step round that one.
 */

import { MAP, NO_PREALLOC } from '../bpf/maps.ts'
import { COUNTERS, COUNTS, KEY, NUMBERS, networkPrograms, TRIE } from '../bpf/network.ts'
import type { CgroupDir } from '../cgroup/path.ts'
import { BerthError } from '../errors.ts'
import { proxiedPorts } from '../policy/http-policy.ts'
import { type Destination, parseDestination, parseRange, type Single, single } from '../policy/network.ts'
import type { Confinement, NetworkRules } from '../policy/types.ts'
import type { Seccomp } from '../spec/types.ts'
import { planRedirect } from './http.ts'
import type { Op } from './ops.ts'
import type { Arch } from './process.ts'
import { compileSeccomp } from './seccomp.ts'

/** As many as a policy may have addresses, ports and protocols, each with each. */
const MAX_ENTRIES = 65_536
/** The first of the slots of maps. */
const SLOT = 400
const POINTER = '/annotations'
/** The map that counts what was refused. */
export const DENIALS = 'berth_denials'

interface Entry {
  readonly key: Uint8Array
  readonly counter: number
}

const entryOf = ({ protocol, prefix, port }: Single): Uint8Array => {
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

const entriesOf = (rules: readonly Destination[], denies: boolean): Entry[] => {
  const named = rules.flatMap((rule, index) =>
    [...single(rule)].map((one) => ({ key: entryOf(one), counter: denies ? COUNTERS.rules + index : 0 })),
  )
  const protocols = new Set(rules.flatMap((rule) => rule.protocols))
  const unspecified = denies
    ? UNSPECIFIED.flatMap((text) => {
        const { prefixes } = parseDestination(text)
        return [...single({ protocols: [...protocols], prefixes, ports: undefined })].map((one) => ({
          key: entryOf(one),
          counter: COUNTERS.destination,
        }))
      })
    : []
  // The first rule that names a destination counts it.
  const all = new Map<string, Entry>()
  for (const entry of [...named, ...unspecified]) {
    const id = entry.key.join()
    if (!all.has(id)) all.set(id, entry)
  }
  if (all.size > MAX_ENTRIES)
    throw new BerthError(
      'invalid',
      `policy: network: the rules come to ${all.size} addresses with ports, and at most ${MAX_ENTRIES} are possible: use prefixes, or all ports`,
      { pointer: POINTER },
    )
  return [...all.values()]
}

const concat = (parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts))
const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer)

/** What one policy takes. */
const partsOf = ({ allow, deny, allowBind, denyBind }: NetworkRules, proxied: readonly number[]) => {
  const rules = (allow ?? deny ?? []).map(parseDestination)
  const destinations = allow ? 'allow' : deny ? 'deny' : undefined
  const named = rules.some(({ protocols }) => protocols.includes('icmp'))
  const ranges = (allowBind ?? denyBind)?.map(parseRange)
  return {
    entries: entriesOf(rules, destinations === 'deny'),
    counters: COUNTERS.rules + (deny?.length ?? 0),
    programs: networkPrograms({
      destinations,
      ping: named ? 'judged' : destinations !== 'allow',
      bind: ranges && { ranges, denies: denyBind !== undefined },
      proxied,
    }),
  }
}

const policyOps = (network: NetworkRules, path: string, proxied: readonly number[]): Op[] => {
  const { entries, counters, programs } = partsOf(network, proxied)
  return [
    {
      op: 'bpf-map',
      name: 'berth_rules',
      type: MAP.lpmTrie,
      keySize: KEY.size,
      valueSize: 4,
      room: Math.max(1, entries.length),
      flags: NO_PREALLOC,
      keys: concat(entries.map(({ key }) => key)),
      values: concat(entries.map((entry) => u32(entry.counter))),
      slot: SLOT + TRIE,
      pointer: POINTER,
    },
    {
      op: 'bpf-map',
      name: DENIALS,
      type: MAP.array,
      keySize: 4,
      valueSize: 8,
      room: counters,
      flags: 0,
      keys: new Uint8Array(0),
      values: new Uint8Array(0),
      slot: SLOT + COUNTS,
      pointer: POINTER,
    },
    ...programs.map(
      ({ type, attach, program }): Op => ({
        op: 'bpf-attach',
        path,
        name: 'berth_network',
        type,
        attach,
        program,
        maps: [SLOT + TRIE, SLOT + COUNTS],
        pointer: POINTER,
      }),
    ),
    { op: 'close', slot: SLOT + TRIE },
    { op: 'close', slot: SLOT + COUNTS },
  ]
}

/** HTTP rules take sockets that can be judged too, and nothing else of network rules. */
const SOCKETS_ONLY: NetworkRules = {}

/** The network rules that are enforced: of each policy that has any, where the host can. */
const enforced = ({ policies, network: lacking }: Confinement): readonly NetworkRules[] => {
  const rules = policies.flatMap(({ network, http }) => network ?? (http ? SOCKETS_ONLY : []))
  if (rules.length > 0 && lacking === undefined)
    throw new BerthError('internal', 'policy: network: nobody asked the host')
  return lacking === '' ? rules : []
}

/** Puts the programs on the container's cgroup: they stay as long as that does (trap 23). */
export const planNetwork = (confinement: Confinement | undefined, dirs: readonly CgroupDir[]): Op[] => {
  if (confinement === undefined) return []
  const rules = enforced(confinement)
  if (rules.length === 0) return []
  // The one hierarchy without a name and controllers of v1 is v2's, which comes first.
  const [v2] = dirs
  if (v2?.hierarchy.name !== '' || v2.hierarchy.controllers.length > 0)
    throw new BerthError('unsupported', 'policy: network: the container has no cgroup of version 2 of its own', {
      pointer: POINTER,
    })
  const proxied = proxiedPorts(confinement.policies)
  return [...rules.flatMap((network) => policyOps(network, v2.dir, proxied)), ...planRedirect(confinement, v2.dir)]
}

/** What else could send: everything but UNIX, IPv4, IPv6 and netlink (EAFNOSUPPORT), and what takes the programs away. */
const EAFNOSUPPORT = 97
const others = { op: 'SCMP_CMP_EQ', index: 0, valueTwo: 0n } as const
const FAMILIES: Seccomp = {
  defaultAction: 'SCMP_ACT_ALLOW',
  syscalls: [
    ...[3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15].map((family) => ({
      names: ['socket', 'socketpair'],
      action: 'SCMP_ACT_ERRNO' as const,
      errnoRet: EAFNOSUPPORT,
      args: [{ ...others, value: BigInt(family) }],
    })),
    {
      names: ['socket', 'socketpair'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: EAFNOSUPPORT,
      args: [{ ...others, op: 'SCMP_CMP_GE', value: 17n }],
    },
    { names: ['io_uring_setup', 'bpf'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
  ],
}
const ABIS = {
  x86_64: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  aarch64: ['SCMP_ARCH_ARM'],
} as const satisfies Record<Arch, readonly string[]>

/** The filter that goes with the programs. */
export const planFamilies = (confinement: Confinement | undefined, arch: Arch): Op[] => {
  if (!confinement || enforced(confinement).length === 0) return []
  const { program } = compileSeccomp({ ...FAMILIES, architectures: ABIS[arch] }, { arch })
  return [{ op: 'seccomp', program, flags: 0, pointer: POINTER }]
}
