/** What of a policy takes something that not every kernel has. */

import { BerthError } from '../errors.ts'
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

export type Protection = keyof typeof PROTECTIONS

const NAMES = Object.keys(PROTECTIONS) as readonly Protection[]

/** Whether the kernel has what a protection takes. */
export const enforceable = (protection: Protection, landlock: number): boolean =>
  landlock >= PROTECTIONS[protection].abi

/** What a policy asks for. A deny is made of mounts, which only Landlock keeps in their place. */
export const wanted = (policy: Policy): readonly Protection[] => {
  const { files, tcp, scopes } = policy
  const asked: Readonly<Record<Protection, boolean>> = {
    files: hasFileLists(policy) || (files?.deny?.length ?? 0) > 0,
    'files.truncate': hasFileLists(policy),
    'files.ioctl': hasFileLists(policy),
    tcp: tcp?.connect !== undefined || tcp?.bind !== undefined,
    abstractSockets: scopes?.abstractSockets === true,
    signals: scopes?.signals === true,
  }
  return NAMES.filter((name) => asked[name])
}

const lack = (protection: Protection, landlock: number): string => {
  const { abi, since } = PROTECTIONS[protection]
  const has = landlock === 0 ? 'this host has no Landlock' : `this host has ABI ${landlock}`
  return `needs Landlock ABI ${abi} (Linux ${since}), ${has}`
}

/** What is required and can't be enforced here. */
export const unenforceable = ({ policies, landlock }: Confinement): readonly string[] =>
  policies.flatMap((policy) =>
    wanted(policy)
      .filter((protection) => !enforceable(protection, landlock) && !policy.bestEffort?.includes(protection))
      .map(
        (protection) =>
          `"${protection}" can not be enforced: it ${lack(protection, landlock)}; where the policy names it in bestEffort it is left out`,
      ),
  )

/** Refuses such a policy: nothing is silently weaker. */
export const checkEnforceable = (confinement: Confinement): void => {
  for (const problem of unenforceable(confinement)) throw new BerthError('unsupported', `policy: ${problem}`)
}

/** What enforces each protection that is asked for, or why nothing does. */
export const enforcedBy = ({ policies, landlock }: Confinement): Readonly<Partial<Record<Protection, string>>> => {
  const asked = new Set(policies.flatMap(wanted))
  return Object.fromEntries(
    NAMES.filter((name) => asked.has(name)).map((name) => [
      name,
      enforceable(name, landlock) ? `Landlock ABI ${landlock}` : `not enforced: ${lack(name, landlock)}`,
    ]),
  )
}

/** The value of the annotation io.berth.enforced. */
export const enforcedText = (confinement: Confinement): string => {
  const parts = Object.entries(enforcedBy(confinement)).map(([name, how]) => `${name}: ${how}`)
  if (confinement.policies.some(({ files }) => files?.deny?.length)) parts.push('files.deny: mounts')
  if (confinement.policies.some(({ limits }) => limits !== undefined)) parts.push('limits: cgroups, rlimits')
  return parts.join('; ')
}
