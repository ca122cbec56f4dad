/** Policies rule by rule: what `berth policy check` tells. */

import { enforcedBy, type Protection } from './protections.ts'
import { type Confinement, FILE_KINDS, type HttpCredential, type Policy } from './types.ts'

export interface Rule {
  /** Where it comes from. */
  readonly from: string
  readonly rule: string
  readonly value: string
  /** What enforces it on this host, or why nothing does. */
  readonly enforced: string
}

type Draft = readonly [rule: string, values: readonly (string | number)[] | undefined, by: Protection | string]

const drafts = ({ syscalls, files, tcp, network, http, scopes, limits }: Policy): readonly Draft[] => [
  ...FILE_KINDS.map((kind): Draft => [`files.${kind}`, files?.[kind], 'files']),
  ['files.deny', files?.deny, 'mounts'],
  ['tcp.connect', tcp?.connect, 'tcp'],
  ['tcp.bind', tcp?.bind, 'tcp'],
  ...(['allow', 'deny', 'allowBind', 'denyBind'] as const).map(
    (kind): Draft => [`network.${kind}`, network?.[kind], 'network'],
  ),
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
  ['limits.memory', limits?.memory === undefined ? undefined : [limits.memory], 'the memory cgroup'],
  ['limits.processes', limits?.processes === undefined ? undefined : [limits.processes], 'the pids cgroup'],
  ['limits.openFiles', limits?.openFiles === undefined ? undefined : [limits.openFiles], 'RLIMIT_NOFILE'],
  ['limits.cpus', limits?.cpus === undefined ? undefined : [limits.cpus], 'the cpu cgroup'],
  [
    'limits.maxDuration',
    limits?.maxDuration === undefined ? undefined : [`${limits.maxDuration} s`],
    "the container's monitor",
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
      return texts.map((value) => ({ from: policy.from ?? '', rule, value, enforced }))
    }),
  )
}

/** What of files is not everywhere: told once, not for each path. */
export const listGaps = (confinement: Confinement): readonly string[] =>
  Object.entries(enforcedBy(confinement))
    .filter(([, how]) => how.startsWith('not enforced'))
    .map(([name, how]) => `${name}: ${how}`)
