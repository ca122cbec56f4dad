/**
 * Policies → Landlock (landlock(7)). Each policy is a domain of its own: the kernel allows what all of them allow, so that nobody has to work
 * out what two lists of paths have in common, which symlinks and mounts would make a guess.
 */

import { enforceable } from '../policy/protections.ts'
import { type Confinement, FILE_KINDS, hasFileLists, type Policy } from '../policy/types.ts'
import type { Op } from './ops.ts'

/** LANDLOCK_ACCESS_FS_*. */
export const FS = {
  execute: 1 << 0,
  writeFile: 1 << 1,
  readFile: 1 << 2,
  readDir: 1 << 3,
  removeDir: 1 << 4,
  removeFile: 1 << 5,
  makeChar: 1 << 6,
  makeDir: 1 << 7,
  makeReg: 1 << 8,
  makeSock: 1 << 9,
  makeFifo: 1 << 10,
  makeBlock: 1 << 11,
  makeSym: 1 << 12,
  refer: 1 << 13,
  truncate: 1 << 14,
  ioctlDev: 1 << 15,
} as const
const ALL = 0xffff
/** LANDLOCK_ACCESS_NET_*. */
export const TCP = { bind: 1, connect: 2 } as const
/** LANDLOCK_SCOPE_*. */
export const SCOPE = { abstractSockets: 1, signals: 2 } as const

const READ = FS.readFile | FS.readDir
const RIGHTS: Readonly<Record<(typeof FILE_KINDS)[number], number>> = {
  read: READ,
  write: ALL & ~FS.execute,
  execute: READ | FS.execute,
}

/** Rights that this ABI knows; those of before its time it denies (refer) or can't tell. */
export const known = (landlock: number): number => {
  let rights = ALL
  if (landlock < 2) rights &= ~FS.refer
  if (!enforceable('files.truncate', landlock)) rights &= ~FS.truncate
  if (!enforceable('files.ioctl', landlock)) rights &= ~FS.ioctlDev
  return rights
}

interface Rules {
  readonly paths: readonly string[]
  readonly rights: readonly number[]
}
const NO_RULES: Rules = { paths: [], rights: [] }

const fileRules = ({ files }: Policy, handled: number): Rules => {
  const rules = FILE_KINDS.flatMap((kind) =>
    (files?.[kind] ?? []).map((path) => [path, RIGHTS[kind] & handled] as const),
  )
  return { paths: rules.map(([path]) => path), rights: rules.map(([, rights]) => rights) }
}

/** The lists that a policy gives and that can be enforced; `checkEnforceable` has seen that no other is required. */
const domain = (policy: Policy, landlock: number, slot: number): Op | undefined => {
  const can = (protection: Parameters<typeof enforceable>[0]) => enforceable(protection, landlock)
  const fs = hasFileLists(policy) && can('files') ? known(landlock) : 0
  const lists = can('tcp') ? (policy.tcp ?? {}) : {}
  const ports = (['bind', 'connect'] as const).flatMap((kind) =>
    (lists[kind] ?? []).map((port) => [port, TCP[kind]] as const),
  )
  const net = (lists.bind ? TCP.bind : 0) | (lists.connect ? TCP.connect : 0)
  const scoped = (['abstractSockets', 'signals'] as const)
    .filter((scope) => policy.scopes?.[scope] === true && can(scope))
    .reduce((sum, scope) => sum | SCOPE[scope], 0)
  if (fs === 0 && net === 0 && scoped === 0) return undefined
  return {
    op: 'landlock',
    slot,
    fs: BigInt(fs),
    net: BigInt(net),
    scoped: BigInt(scoped),
    ...(fs === 0 ? NO_RULES : fileRules(policy, fs)),
    ports: ports.map(([port]) => port),
    portRights: ports.map(([, rights]) => rights),
    pointer: '/annotations',
  }
}

/**
 * Nobody in a domain that knows file rights can change mounts, the masks of a deny among them. This one allows everything; making block
 * devices is the right whose check costs least, as that is hardly ever done. Whoever lacks CAP_SYS_ADMIN for good needs none: in a mount
 * namespace of a user namespace of its own, all that it has got is locked (mount_namespaces(7)), and each open would pay for the domain.
 */
const pin = (slot: number): Op => ({
  op: 'landlock',
  slot,
  fs: BigInt(FS.makeBlock),
  net: 0n,
  scoped: 0n,
  paths: ['/'],
  rights: [FS.makeBlock],
  ports: [],
  portRights: [],
  pointer: '/annotations',
})

export interface Domains {
  /** Makes them, while every path in the container can be reached. */
  readonly make: readonly Op[]
  /** Enters them: no mount can be changed any more. */
  readonly enter: readonly Op[]
}

/** `slot`: the first of as many as there are policies, and one more. `mayMount`: mounts could be changed otherwise. */
export const planLandlock = (confinement: Confinement | undefined, slot: number, mayMount: boolean): Domains => {
  const { policies = [], landlock = 0 } = confinement ?? {}
  const made = policies.flatMap((policy, index) => domain(policy, landlock, slot + index) ?? [])
  const pinned = made.some((op) => op.op === 'landlock' && op.fs !== 0n)
  const denies = mayMount && policies.some(({ files }) => files?.deny?.length)
  const make = denies && !pinned && enforceable('files', landlock) ? [...made, pin(slot + policies.length)] : made
  const enter = make.flatMap((op) =>
    op.op === 'landlock' ? [{ op: 'landlock-enter', slot: op.slot, pointer: '/annotations' } as const] : [],
  )
  return { make, enter }
}

/** What no process of the container is to see. */
export const deniedPaths = (confinement: Confinement | undefined): readonly string[] => [
  ...new Set((confinement?.policies ?? []).flatMap(({ files }) => files?.deny ?? [])),
]
