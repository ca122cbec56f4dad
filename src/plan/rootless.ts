/** What is different where it is not the host's root who makes a container: ids, groups, and what is refused with the way out. */

import { BerthError } from '../errors.ts'
import type { IdMapping, Spec } from '../spec/types.ts'
import type { HostFacts } from './facts.ts'
import type { Namespaces } from './namespaces.ts'

const CAP_SETGID = 1n << 6n
const CAP_SETUID = 1n << 7n

/** Programs of Debian's uidmap and the like: setuid root, so looked for in no other place. */
const MAPPERS = { uid: '/usr/bin/newuidmap', gid: '/usr/bin/newgidmap' } as const

/** One id, the caller's own: all that the kernel lets a user without privilege map (user_namespaces(7)). */
const isOwn = (mappings: readonly IdMapping[] = [], id: number): boolean =>
  mappings.length === 1 && mappings[0]?.size === 1 && mappings[0].hostID === id

export interface IdMappers {
  /** '': the map is written directly. */
  readonly uidMapper: string
  readonly gidMapper: string
}

export const idMappers = (spec: Spec, { permitted, caller }: HostFacts): IdMappers => {
  const { uidMappings, gidMappings } = spec.linux ?? {}
  const uidDirect = (permitted & CAP_SETUID) !== 0n || isOwn(uidMappings, caller.uid)
  const gidDirect = (permitted & CAP_SETGID) !== 0n || isOwn(gidMappings, caller.gid)
  return { uidMapper: uidDirect ? '' : MAPPERS.uid, gidMapper: gidDirect ? '' : MAPPERS.gid }
}

/** A gid map written without CAP_SETGID has setgroups(2) switched off for good (user_namespaces(7)), in namespaces below too. */
export const deniesSetgroups = (spec: Spec, namespaces: Namespaces, facts: HostFacts): boolean => {
  if (namespaces.isJoined('user')) return false
  if (facts.caller.setgroupsDenied) return true
  return namespaces.isNew('user') && (facts.permitted & CAP_SETGID) === 0n && idMappers(spec, facts).gidMapper === ''
}

const invalid = (pointer: string, why: string): BerthError => new BerthError('invalid', why, { pointer })

/** Loading has said so already where there is no mapping at all. */
const isMapped = (mappings: readonly IdMapping[] = [], id: number): boolean =>
  mappings.length === 0 || mappings.some(({ containerID, size }) => id >= containerID && id - containerID < size)

/** The process and what its mounts belong to have to be someone inside. */
const checkMapped = ({ process, mounts = [], linux }: Spec): void => {
  const { uidMappings, gidMappings } = linux ?? {}
  const lacks = (kind: 'uid' | 'gid', id: number): boolean => !isMapped(kind === 'uid' ? uidMappings : gidMappings, id)
  for (const kind of ['uid', 'gid'] as const) {
    const id = process?.user[kind]
    if (id !== undefined && lacks(kind, id))
      throw invalid(`/process/user/${kind}`, `process.user.${kind}: ${id} is not in linux.${kind}Mappings`)
  }
  for (const [index, { type, options = [] }] of mounts.entries())
    for (const [at, option] of options.entries()) {
      const match = type === 'tmpfs' || type === 'devpts' ? /^(uid|gid)=(\d+)$/.exec(option) : null
      const kind = match?.[1] as 'uid' | 'gid' | undefined
      if (kind !== undefined && lacks(kind, Number(match?.[2])))
        throw invalid(
          `/mounts/${index}/options/${at}`,
          `mounts[${index}].options: ${option} is not in linux.${kind}Mappings: map it or leave the option out`,
        )
    }
}

/** What can be told beforehand. */
export const checkIdentity = (spec: Spec, namespaces: Namespaces, facts: HostFacts): void => {
  if (facts.caller.uid !== 0 && (facts.permitted & CAP_SETUID) === 0n && !namespaces.has('user'))
    throw new BerthError(
      'invalid',
      `linux.namespaces: uid ${facts.caller.uid} needs a user namespace, with uidMappings and gidMappings (see berth spec --rootless)`,
      { pointer: '/linux/namespaces' },
    )
  if (namespaces.isNew('user')) checkMapped(spec)
}

/** Why there are no user namespaces, where a sysctl says so; `text` reads a file of /proc/sys, undefined where it is missing. */
export const USERNS_SYSCTLS = [
  'user/max_user_namespaces',
  'kernel/unprivileged_userns_clone',
  'kernel/apparmor_restrict_unprivileged_userns',
] as const

export const usernsRefusal = (values: readonly (string | undefined)[]): string | undefined => {
  const [max, allowed, apparmor] = values.map((text) => text?.trim())
  if (max === '0')
    return 'there are none here as user.max_user_namespaces is 0: sysctl -w user.max_user_namespaces=15000'
  if (allowed === '0')
    return 'only root may make one here as kernel.unprivileged_userns_clone is 0: sysctl -w kernel.unprivileged_userns_clone=1'
  if (apparmor === '1')
    return 'AppArmor restricts them here as kernel.apparmor_restrict_unprivileged_userns is 1: give berth a profile with "userns," or set that to 0'
  return undefined
}
