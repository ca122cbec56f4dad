/** linux.namespaces → clone flags for new ones, and what enters those that are there. */

import { BerthError } from '../errors.ts'
import type { IdMapping, Namespace, NamespaceType, Spec } from '../spec/types.ts'
import type { HostFacts } from './facts.ts'
import type { Op, Plan } from './ops.ts'

/** linux/sched.h */
export const CLONE_FLAGS: Readonly<Record<NamespaceType, number>> = {
  time: 0x80,
  mount: 0x20000,
  cgroup: 0x2000000,
  uts: 0x4000000,
  ipc: 0x8000000,
  user: 0x10000000,
  pid: 0x20000000,
  network: 0x40000000,
}

/** Names below /proc/PID/ns. */
export const NS_FILES: Readonly<Record<NamespaceType, string>> = {
  time: 'time',
  mount: 'mnt',
  cgroup: 'cgroup',
  uts: 'uts',
  ipc: 'ipc',
  user: 'user',
  pid: 'pid',
  network: 'net',
}

/** The slots that namespaces are opened in, one for each type. */
export const NAMESPACE_SLOTS = 40
/** The slot of a container's root directory. */
export const ROOT_SLOT = 48
/** Entered by the process itself, in this order; all others by its maker, for the clone. */
const ENTERED_BY_ITSELF: readonly NamespaceType[] = ['user', 'mount']
const CAP_SYS_ADMIN = 1n << 21n

export interface JoinTarget {
  readonly type: NamespaceType
  readonly path: string
  readonly pointer: string
}

export interface JoinPlan {
  /** Outside: opens the namespaces. */
  readonly open: Plan
  /** Slots for the clone's `join`. */
  readonly join: readonly number[]
  /** Outside, after the clone: an open namespace lives on. */
  readonly close: Plan
  /** In the cloned process. */
  readonly enter: Plan
}

/**
 * How to enter namespaces. Whoever has the privilege enters all others before the user namespace: they may belong to one above it. Who
 * lacks it gains it by entering the user namespace, so that it has to come first, in a process between (`between`).
 */
export const joinNamespaces = (targets: readonly JoinTarget[], between: boolean): JoinPlan => {
  const itself = ENTERED_BY_ITSELF.filter((type) => !(type === 'user' && between))
  const slots = targets.map((target, index) => ({ ...target, slot: NAMESPACE_SLOTS + index }))
  return {
    open: slots.map(
      ({ type, path, pointer, slot }): Op => ({ op: 'open-namespace', path, nstype: CLONE_FLAGS[type], slot, pointer }),
    ),
    close: slots.map(({ slot, pointer }): Op => ({ op: 'close', slot, pointer })),
    join: slots.flatMap(({ type, slot }) => (itself.includes(type) ? [] : [slot])),
    enter: itself.flatMap((type) =>
      slots
        .filter((target) => target.type === type)
        .map(({ slot, pointer }): Op => ({ op: 'setns', slot, nstype: CLONE_FLAGS[type], pointer })),
    ),
  }
}

/**
 * The same by the pidfd of a process that is in all of them: what it takes no name for, and no descriptor that could be of another's. Not where a
 * user namespace may be the own one, which nobody can enter.
 */
export const joinProcess = (types: readonly NamespaceType[], slot: number, pointer: string): JoinPlan => {
  const others = types.filter((type) => type !== 'pid' && type !== 'user')
  const nstype = others.reduce((flags, type) => flags | CLONE_FLAGS[type], 0)
  return {
    open: types.includes('pid') ? [{ op: 'join-pid', slot, pointer }] : [],
    join: [],
    close: [],
    enter: [
      ...(nstype === 0 ? [] : [{ op: 'setns', slot, nstype, pointer } as const]),
      ...(types.includes('user') ? [{ op: 'setns', slot, nstype: CLONE_FLAGS.user, pointer } as const] : []),
    ],
  }
}

/** Whether a process needs another's privilege to enter namespaces: that of the user namespace's root. */
export const lacksPrivilege = (facts: HostFacts): boolean => (facts.permitted & CAP_SYS_ADMIN) === 0n

/** The namespaces of a container, looked up by type. */
export class Namespaces {
  readonly #byType: ReadonlyMap<NamespaceType, Namespace>
  readonly targets: readonly JoinTarget[]

  constructor(spec: Spec) {
    const list = spec.linux?.namespaces ?? []
    this.#byType = new Map(list.map((namespace) => [namespace.type, namespace]))
    this.targets = list.flatMap(({ type, path }, index) =>
      path ? [{ type, path, pointer: `/linux/namespaces/${index}/path` }] : [],
    )
  }

  /** Types that the container does not share with the host (as far as config.json tells). */
  get types(): NamespaceType[] {
    return [...this.#byType.keys()]
  }

  has(type: NamespaceType): boolean {
    return this.#byType.has(type)
  }

  isNew(type: NamespaceType): boolean {
    const namespace = this.#byType.get(type)
    return namespace !== undefined && !namespace.path
  }

  /** Where `joinNamespaces` puts one that is joined. */
  slot(type: NamespaceType): number {
    return NAMESPACE_SLOTS + this.targets.findIndex((target) => target.type === type)
  }

  isJoined(type: NamespaceType): boolean {
    return this.has(type) && !this.isNew(type)
  }
}

export interface NamespacePlan extends JoinPlan {
  readonly flags: bigint
  /** CLONE_NEW* of those that the process makes itself while its cgroups are made, and of those it makes once it is in these; 0: none. */
  readonly apart: number
  readonly placed: number
  readonly uidMap: string
  readonly gidMap: string
  readonly timeOffsets: string
}

/** Mappings as /proc/PID/uid_map takes them. */
export const mapText = (mappings: readonly IdMapping[] = []): string =>
  mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join('')

const timeOffsets = (spec: Spec): string =>
  (['monotonic', 'boottime'] as const)
    .flatMap((clock) => {
      const offset = spec.linux?.timeOffsets?.[clock]
      return offset ? [`${clock} ${offset.secs ?? 0n} ${offset.nanosecs ?? 0}\n`] : []
    })
    .join('')

/** What no order of system calls could do: mounts take privilege in the user namespace that the mount namespace belongs to. */
const checkMountNamespace = (namespaces: Namespaces): void => {
  if (!namespaces.has('user') || namespaces.isNew('mount')) return
  // One that is joined may belong to the user namespace that is joined too.
  if (namespaces.isJoined('mount') && namespaces.isJoined('user')) return
  throw new BerthError(
    'invalid',
    `linux.namespaces: a user namespace needs a new mount namespace: in ${namespaces.has('mount') ? 'one that is joined' : "the host's"} its root may mount nothing`,
    { pointer: '/linux/namespaces' },
  )
}

/** These are made by the process itself where that is at the same time as something else: a network takes the kernel longer than all others. */
const APART: readonly NamespaceType[] = ['network', 'ipc', 'uts']

/** `apart`: there is something to be done at the same time. */
export const planNamespaces = (spec: Spec, namespaces: Namespaces, facts: HostFacts, apart: boolean): NamespacePlan => {
  checkMountNamespace(namespaces)
  const types = namespaces.types.filter((type) => namespaces.isNew(type))
  const newUser = namespaces.isNew('user')
  if (newUser && !spec.linux?.uidMappings?.length)
    throw new BerthError('invalid', 'linux.uidMappings: a new user namespace needs a mapping', {
      pointer: '/linux/uidMappings',
    })
  // New namespaces have to belong to the user namespace that is joined: whoever makes them has to be in it.
  const between = namespaces.isJoined('user') && (types.length > 0 || lacksPrivilege(facts))
  const join = joinNamespaces(namespaces.targets, between)
  const mask = (list: readonly NamespaceType[]) => list.reduce((flags, type) => flags | CLONE_FLAGS[type], 0)
  // The root of the mqueue file system belongs to whoever makes the ipc namespace: the container's root, which the process is
  // only once its ids are mapped.
  const later: readonly NamespaceType[] = newUser ? types.filter((type) => type === 'ipc') : []
  const made = apart ? types.filter((type) => APART.includes(type)) : []
  // Its root is the cgroup that the process is in by then.
  const placed = apart ? types.filter((type) => type === 'cgroup') : []
  const itself = [...later, ...made, ...placed]
  return {
    open: join.open,
    close: join.close,
    join: join.join,
    enter: [
      ...join.enter,
      ...(later.length > 0 ? [{ op: 'unshare', flags: mask(later), pointer: '/linux/namespaces' } as const] : []),
    ],
    flags: BigInt(mask(types.filter((type) => !itself.includes(type)))),
    apart: mask(made),
    placed: mask(placed),
    uidMap: newUser ? mapText(spec.linux?.uidMappings) : '',
    gidMap: newUser ? mapText(spec.linux?.gidMappings) : '',
    timeOffsets: timeOffsets(spec),
  }
}
