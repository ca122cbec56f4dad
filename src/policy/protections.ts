/** What of a policy takes something that not every kernel has. */

import { BerthError } from '../errors.ts'
import { supervisesNetwork } from './judges.ts'
import { type Confinement, hasFileLists, type Policy } from './types.ts'

interface Requirement {
  /** Least ABI of Landlock. */
  readonly abi: number
  /** Linux that has it. */
  readonly since: string
}

export const PROTECTIONS = {
  files: { abi: 1, since: '5.13' },
  'files.truncate': { abi: 3, since: '6.2' },
  'files.ioctl': { abi: 5, since: '6.10' },
  tcp: { abi: 4, since: '6.7' },
  abstractSockets: { abi: 6, since: '6.12' },
  signals: { abi: 6, since: '6.12' },
} as const satisfies Record<string, Requirement>

/** Those of Landlock, and network rules, which BPF programs enforce; HTTP rules, which these lead to a proxy, and modules are always required. */
export type Protection = keyof typeof PROTECTIONS | 'network' | 'http' | 'module'

const NAMES: readonly Protection[] = [
  ...(Object.keys(PROTECTIONS) as (keyof typeof PROTECTIONS)[]),
  'network',
  'http',
  'module',
]
const ALWAYS_REQUIRED: readonly Protection[] = ['http', 'module']

/** Whether the kernel has what a protection takes. */
export const enforceable = (protection: keyof typeof PROTECTIONS, landlock: number): boolean =>
  landlock >= PROTECTIONS[protection].abi

/** What a policy asks for. A deny is made of mounts, which only Landlock keeps in their place. */
export const wanted = (policy: Policy): readonly Protection[] => {
  const { files, tcp, network, http, scopes, module } = policy
  const asked: Readonly<Record<Protection, boolean>> = {
    files: hasFileLists(policy) || (files?.deny?.length ?? 0) > 0,
    'files.truncate': hasFileLists(policy),
    'files.ioctl': hasFileLists(policy),
    tcp: tcp?.connect !== undefined || tcp?.bind !== undefined,
    abstractSockets: scopes?.abstractSockets === true,
    signals: scopes?.signals === true,
    network: network !== undefined,
    http: http !== undefined,
    module: module !== undefined,
  }
  return NAMES.filter((name) => asked[name])
}

/** A kernel of this release lets a supervisor answer without signals in between. */
export const canSupervise = (release: string): boolean => {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(release) ?? []
  return Number(major) > 5 || (Number(major) === 5 && Number(minor) >= 19)
}

/** What the host lacks for a protection; undefined where that is nothing. */
const lack = (protection: Protection, host: Omit<Confinement, 'policies'>): string | undefined => {
  const { landlock, network, supervises, addresses } = host
  if (protection === 'network' && supervisesNetwork(host)) return undefined
  if (protection === 'network' && network && supervises && addresses !== undefined)
    return `${network}, as network.allow names hosts; a supervisor would judge addresses in their place`
  if (protection === 'network' || protection === 'http') return network || undefined
  if (protection === 'module') return supervises === false ? 'needs Linux 5.19' : undefined
  if (enforceable(protection, landlock)) return undefined
  const { abi, since } = PROTECTIONS[protection]
  const has = landlock === 0 ? 'this host has no Landlock' : `this host has ABI ${landlock}`
  return `needs Landlock ABI ${abi} (Linux ${since}), ${has}`
}

/** What is required and can't be enforced here. */
export const unenforceable = ({ policies, ...host }: Confinement): readonly string[] =>
  policies.flatMap((policy) =>
    wanted(policy)
      .filter((protection) => ALWAYS_REQUIRED.includes(protection) || !policy.bestEffort?.includes(protection))
      .flatMap((protection) => {
        const lacking = lack(protection, host)
        if (lacking === undefined) return []
        const spared = ALWAYS_REQUIRED.includes(protection)
          ? ''
          : '; where the policy names it in bestEffort it is left out'
        return `"${protection}" can not be enforced: it ${lacking}${spared}`
      }),
  )

/** Refuses such a policy: nothing is silently weaker. */
export const checkEnforceable = (confinement: Confinement): void => {
  for (const problem of unenforceable(confinement)) throw new BerthError('unsupported', `policy: ${problem}`)
}

/** What asks who judges. */
const SUPERVISOR = "the container's supervisor, which seccomp asks"
const HOW: Readonly<Partial<Record<Protection, string>>> = {
  network: 'BPF programs of the cgroup',
  http: 'a proxy, and BPF programs of the cgroup that lead to it',
  module: SUPERVISOR,
}

/** What enforces each protection that is asked for, or why nothing does. */
export const enforcedBy = ({ policies, ...host }: Confinement): Readonly<Partial<Record<Protection, string>>> => {
  const asked = new Set(policies.flatMap(wanted))
  return Object.fromEntries(
    NAMES.filter((name) => asked.has(name)).map((name) => {
      const lacking = lack(name, host)
      const how =
        name === 'network' && supervisesNetwork(host) ? SUPERVISOR : (HOW[name] ?? `Landlock ABI ${host.landlock}`)
      return [name, lacking === undefined ? how : `not enforced: ${lacking}`]
    }),
  )
}

/** The value of the annotation io.berth.enforced. */
export const enforcedText = (confinement: Confinement): string => {
  const parts = Object.entries(enforcedBy(confinement)).map(([name, how]) => `${name}: ${how}`)
  if (confinement.policies.some(({ files }) => files?.deny?.length)) parts.push('files.deny: mounts')
  const limits = confinement.policies.flatMap((policy) => policy.limits ?? [])
  if (limits.length > 0) parts.push('limits: cgroups, rlimits')
  for (const name of ['maxDuration', 'output'] as const)
    if (limits.some(({ [name]: limit }) => limit !== undefined)) parts.push(`limits.${name}: the monitor`)
  if (confinement.policies.some(({ syscalls }) => syscalls !== undefined)) parts.push('syscalls: a seccomp filter')
  return parts.join('; ')
}
