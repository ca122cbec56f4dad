/** Policies rule by rule: what `berth policy check` tells. */

import { callsOf } from './judges.ts'
import { type Addresses, addressesOf, parseDestination } from './network.ts'
import { enforcedBy, type Protection } from './protections.ts'
import { type Confinement, FILE_KINDS, type HttpCredential, type Policy } from './types.ts'

export interface Rule {
  /** Where it comes from. */
  readonly from: string
  readonly rule: string
  readonly value: string
  /** Of the host that the value names, as it was looked up. */
  readonly addresses?: readonly string[]
  /** What enforces it on this host, or why nothing does. */
  readonly enforced: string
}

type Draft = readonly [rule: string, values: readonly (string | number)[] | undefined, by: Protection | string]

const drafts = ({ syscalls, files, tcp, network, http, scopes, limits, module }: Policy): readonly Draft[] => [
  ...FILE_KINDS.map((kind): Draft => [`files.${kind}`, files?.[kind], 'files']),
  ['files.deny', files?.deny, 'mounts'],
  ['tcp.connect', tcp?.connect, 'tcp'],
  ['tcp.bind', tcp?.bind, 'tcp'],
  ...(['allow', 'deny', 'allowBind', 'denyBind'] as const).map(
    (kind): Draft => [`network.${kind}`, network?.[kind], 'network'],
  ),
  ['network.hosts', network?.hosts ? ['true'] : undefined, 'mounts'],
  ['network.refresh', network?.refresh === undefined ? undefined : [`${network.refresh} s`], 'a worker'],
  ['http.allow', http?.allow, 'http'],
  ['http.deny', http?.deny, 'http'],
  ['http.ports', http?.ports, 'http'],
  ['http.hosts', http?.hosts ? ['true'] : undefined, 'mounts'],
  ['http.intercept', http?.intercept || http?.ca ? [http.ca?.certificate ?? 'true'] : undefined, 'http'],
  ['http.trust', http?.trust, 'mounts'],
  ['http.credentials', http?.credentials?.map(credentialText), 'http'],
  ['scopes.abstractSockets', scopes?.abstractSockets ? ['true'] : undefined, 'abstractSockets'],
  ['scopes.signals', scopes?.signals ? ['true'] : undefined, 'signals'],
  ['syscalls.deny', syscalls?.deny, 'a seccomp filter'],
  ['syscalls.rules', syscalls?.rules?.map((rule) => JSON.stringify(rule)), 'a seccomp filter'],
  ['module', module && callsOf(module).map((call) => `${call} ${module.path}`), 'module'],
  ['limits.memory', limits?.memory === undefined ? undefined : [limits.memory], 'the memory cgroup'],
  ['limits.processes', limits?.processes === undefined ? undefined : [limits.processes], 'the pids cgroup'],
  ['limits.openFiles', limits?.openFiles === undefined ? undefined : [limits.openFiles], 'RLIMIT_NOFILE'],
  ['limits.cpus', limits?.cpus === undefined ? undefined : [limits.cpus], 'the cpu cgroup'],
  [
    'limits.maxDuration',
    limits?.maxDuration === undefined ? undefined : [`${limits.maxDuration} s`],
    "the container's monitor",
  ],
  [
    'limits.output',
    limits?.output === undefined ? undefined : [limits.output],
    "the container's monitor, under containerd only",
  ],
]

const credentialText = ({ request, attach, from, mode = 'replace' }: HttpCredential): string =>
  `${request} ${attach} ${from} ${mode}`

/** Every rule of every policy; an empty list, which allows nothing, is a rule too. */
export const listRules = (confinement: Confinement): readonly Rule[] => {
  const by = enforcedBy(confinement)
  return confinement.policies.flatMap((policy) =>
    drafts(policy).flatMap(([rule, values, how]) => {
      const enforced = by[how as Protection] ?? how
      const texts = values?.length === 0 ? ['nothing'] : (values ?? []).map(String)
      const hosts = rule === 'network.allow' ? confinement.addresses : undefined
      return texts.map((value) => ({ from: policy.from ?? '', rule, value, ...shownOf(value, hosts), enforced }))
    }),
  )
}

const shownOf = (value: string, hosts: Addresses | undefined): Pick<Rule, 'addresses'> => {
  const host = hosts === undefined || value === 'nothing' ? undefined : parseDestination(value).host
  return host === undefined || hosts === undefined ? {} : { addresses: addressesOf(host, hosts) }
}

/** As people read it. */
export const valueText = ({ value, addresses }: Rule): string =>
  addresses === undefined || addresses.length === 0 ? value : `${value} (${addresses.join(', ')})`

/** What of files is not everywhere: told once, not for each path. */
export const listGaps = (confinement: Confinement): readonly string[] =>
  Object.entries(enforcedBy(confinement))
    .filter(([, how]) => how.startsWith('not enforced'))
    .map(([name, how]) => `${name}: ${how}`)
