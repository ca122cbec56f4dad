/**
 * Network rules of policies → BPF programs on the container's cgroup (v2), where the kernel asks them at each connect, sendto, bind and at each
 * socket that is made, whichever system call it came by. Each policy has programs of its own, and what one of them refuses is refused.
 *
 * Where rules speak of destinations, only sockets that the programs can judge are made at all (trap 22): TCP, UDP, and for ping. What has no
 * program at all (packets, virtual machines' sockets …) a system call filter refuses, and io_uring with it, which would step round that one.
 */

import { type Entry, entriesOf, MAX_ENTRIES, VALUE_SIZE } from '../bpf/destinations.ts'
import { MAP, NO_PREALLOC } from '../bpf/maps.ts'
import { COUNTERS, COUNTS, KEY, networkPrograms, TRIE } from '../bpf/network.ts'
import { isV2 } from '../cgroup/layout.ts'
import type { CgroupDir } from '../cgroup/path.ts'
import { BerthError } from '../errors.ts'
import { proxiedPorts } from '../policy/http-policy.ts'
import { judgedCalls, judgesOf, supervisesNetwork } from '../policy/judges.ts'
import { type Addresses, addressesOf, hostsOf, parseDestination, parseRange } from '../policy/network.ts'
import type { Confinement, NetworkRules } from '../policy/types.ts'
import { remembered } from '../remember.ts'
import type { Seccomp } from '../spec/types.ts'
import { planRedirect } from './http.ts'
import type { Op } from './ops.ts'
import type { Arch } from './process.ts'
import { FOREIGN_ABIS } from './seccomp/abis.ts'
import { compileSeccomp } from './seccomp.ts'

/** The first of the slots of maps. */
const SLOT = 400
/** Of those that are kept. */
const KEPT = 500
const POINTER = '/annotations'
/** The map that counts what was refused. */
export const DENIALS = 'berth_denials'

/** Keys and values as bpf-map takes them. */
const tableOf = (entries: readonly Entry[]) => ({
  room: Math.max(1, entries.length),
  keys: new Uint8Array(Buffer.concat(entries.map(({ key }) => key))),
  values: new Uint8Array(Uint32Array.from(entries.map(({ counter }) => counter)).buffer),
})

/** What one policy takes. A node's policies are those of many containers. */
const partsOf = (network: NetworkRules, proxied: readonly number[], addresses: Addresses) => {
  const own = Object.fromEntries(hostsOf(network).map((host) => [host, addressesOf(host, addresses)]))
  return rememberedParts(JSON.stringify([network, proxied, own]), network, proxied, own)
}

const compile = (network: NetworkRules, proxied: readonly number[], addresses: Addresses) => {
  const { allow, deny, allowBind, denyBind } = network
  // No ports to refuse is nothing to look at.
  const ranges = (allowBind ?? (denyBind?.length ? denyBind : undefined))?.map(parseRange)
  const denied = COUNTERS.rules + (deny?.length ?? 0)
  const named = (allow ?? deny ?? []).some((text) => parseDestination(text).protocols.includes('icmp'))
  return {
    ...tableOf([...entriesOf(network, addresses).values()]),
    counters: denied + (denyBind?.length ?? 0),
    programs: networkPrograms({
      destinations: allow ? 'allow' : deny ? 'deny' : undefined,
      ping: named ? 'judged' : allow === undefined,
      bind: ranges && { ranges, denied: denyBind && denied },
      proxied,
    }),
  }
}
const rememberedParts = remembered(16, (_, network: NetworkRules, proxied: readonly number[], addresses: Addresses) =>
  compile(network, proxied, addresses),
)

/** The tries that are kept for who refreshes them, by the number of their policy among those that have network rules. */
export const trieSlot = ({ refresh }: NetworkRules, index: number): number => (refresh ? KEPT + index : SLOT + TRIE)

const policyOps = (
  network: NetworkRules,
  index: number,
  path: string,
  proxied: readonly number[],
  addresses: Addresses,
): Op[] => {
  const { room, keys, values, counters, programs } = partsOf(network, proxied, addresses)
  const trie = trieSlot(network, index)
  return [
    {
      op: 'bpf-map',
      name: 'berth_rules',
      type: MAP.lpmTrie,
      keySize: KEY.size,
      valueSize: VALUE_SIZE,
      // Without memory of its own before there is an entry.
      room: network.refresh ? MAX_ENTRIES : room,
      flags: NO_PREALLOC,
      keys,
      values,
      slot: trie,
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
        maps: [trie, SLOT + COUNTS],
        pointer: POINTER,
      }),
    ),
    ...(network.refresh ? [] : [{ op: 'close', slot: trie } as const]),
    { op: 'close', slot: SLOT + COUNTS },
  ]
}

/** HTTP rules take sockets that can be judged too, and nothing else of network rules. */
const SOCKETS_ONLY: NetworkRules = {}

/** The network rules that are enforced: of each policy that has any, where the host can. */
export const enforcedNetwork = (confinement: Confinement): readonly NetworkRules[] => {
  const { policies, network: lacking } = confinement
  const rules = policies.flatMap(({ network, http }) => network ?? (http ? SOCKETS_ONLY : []))
  if (rules.length > 0 && lacking === undefined)
    throw new BerthError('internal', 'policy: network: nobody asked the host')
  const spared = policies.every(({ network, bestEffort }) => !network || bestEffort?.includes('network'))
  if (lacking !== '' && !spared && !supervisesNetwork(confinement))
    throw new BerthError('internal', 'policy: network: nothing would enforce it')
  return lacking === '' ? rules : []
}

/** Puts the programs on the container's cgroup: they stay as long as that does (trap 23). */
export const planNetwork = (confinement: Confinement | undefined, dirs: readonly CgroupDir[]): Op[] => {
  if (confinement === undefined) return []
  const rules = enforcedNetwork(confinement)
  if (rules.length === 0) return []
  // v2's comes first.
  const [v2] = dirs
  if (v2 === undefined || !isV2(v2.hierarchy))
    throw new BerthError('unsupported', 'policy: network: the container has no cgroup of version 2 of its own', {
      pointer: POINTER,
    })
  const proxied = proxiedPorts(confinement.policies)
  const { addresses = {} } = confinement
  return [
    ...rules.flatMap((network, index) => policyOps(network, index, v2.dir, proxied, addresses)),
    ...planRedirect(confinement, v2.dir),
  ]
}

/** What else could send: everything but UNIX, IPv4, IPv6 and netlink (EAFNOSUPPORT), and what takes the programs away. */
const EAFNOSUPPORT = 97
const others = { op: 'SCMP_CMP_EQ', index: 0, valueTwo: 0n } as const
/** What its lower half says, whatever the register has above. */
const int = { op: 'SCMP_CMP_MASKED_EQ', value: 0xffffffffn } as const
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
    // SOCK_PACKET of IPv4 is a packet socket by its old name (net/socket.c, __sock_create()).
    {
      names: ['socket'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: EAFNOSUPPORT,
      args: [
        { ...int, index: 0, valueTwo: 2n },
        { ...int, index: 1, value: 0xfn, valueTwo: 10n },
      ],
    },
    { names: ['io_uring_setup', 'bpf'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
    // A source route leads packets to another address than the one that was judged: IP_OPTIONS; IPV6_RTHDR, of old and new, and what has it in it,
    // a flow label too (IPV6_FLOWLABEL_MGR; net/ipv6/ip6_flowlabel.c, fl_create()).
    ...(
      [
        [0, 4],
        [41, 5],
        [41, 6],
        [41, 32],
        [41, 57],
      ] as const
    ).map(([level, option]) => ({
      names: ['setsockopt'],
      action: 'SCMP_ACT_ERRNO' as const,
      errnoRet: 1,
      args: [
        { ...int, index: 1, valueTwo: BigInt(level) },
        { ...int, index: 2, valueTwo: BigInt(option) },
      ],
    })),
  ],
}
/** The filter that goes with the programs, and with whoever else judges addresses. */
export const planFamilies = (confinement: Confinement | undefined, arch: Arch): Op[] => {
  if (!confinement) return []
  const judged = judgedCalls(judgesOf(confinement)).some((call) => call === 'connect' || call === 'bind')
  if (!judged && enforcedNetwork(confinement).length === 0) return []
  const { program } = compileSeccomp({ ...FAMILIES, architectures: FOREIGN_ABIS[arch] }, { arch })
  return [{ op: 'seccomp', program, flags: 0, pointer: POINTER }]
}
