/** linux.namespaces → clone flags for new ones, and what enters those that are there. */

import { BerthError } from '../errors.ts'
import type { IdMapping, Namespace, NamespaceType, Spec } from '../spec/types.ts'
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
const O_RDONLY = 0

/** The user namespace first: the others may belong to it, and entering them takes capabilities in their owner. The mounts last. */
const ENTER_ORDER: readonly NamespaceType[] = ['user', 'ipc', 'uts', 'network', 'cgroup', 'mount']
/** Entered for children only. */
const FOR_CHILDREN: readonly NamespaceType[] = ['pid', 'time']

export interface JoinTarget {
  readonly type: NamespaceType
  readonly path: string
  readonly pointer: string
}

export interface JoinPlan {
  /** Outside: opens the namespaces. */
  readonly open: Plan
  /** Slots for `clone.join`. */
  readonly join: readonly number[]
  /** In the cloned process. */
  readonly enter: Plan
}

/** How to enter namespaces. */
export const joinNamespaces = (targets: readonly JoinTarget[]): JoinPlan => {
  const slots = new Map(targets.map((target, index) => [target.type, NAMESPACE_SLOTS + index]))
  const pointers = new Map(targets.map(({ type, pointer }) => [type, pointer]))
  return {
    open: targets.map(
      ({ path, pointer }, index): Op => ({
        op: 'open',
        path,
        oflags: O_RDONLY,
        mode: 0,
        slot: NAMESPACE_SLOTS + index,
        pointer,
      }),
    ),
    join: FOR_CHILDREN.flatMap((type) => slots.get(type) ?? []),
    enter: ENTER_ORDER.flatMap((type): Op[] => {
      const slot = slots.get(type)
      if (slot === undefined) return []
      return [{ op: 'setns', slot, nstype: CLONE_FLAGS[type], pointer: pointers.get(type) ?? '/linux/namespaces' }]
    }),
  }
}

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

export const planNamespaces = (spec: Spec, namespaces: Namespaces): NamespacePlan => {
  if (!namespaces.isNew('mount'))
    throw new BerthError(
      'unsupported',
      "linux.namespaces: a mount namespace of the container's own is needed: without it, its mounts would be the host's",
      { pointer: '/linux/namespaces' },
    )
  const types = namespaces.types.filter((type) => namespaces.isNew(type))
  const newUser = namespaces.isNew('user')
  if (newUser && !spec.linux?.uidMappings?.length)
    throw new BerthError('invalid', 'linux.uidMappings: a new user namespace needs a mapping', {
      pointer: '/linux/uidMappings',
    })
  const other = namespaces.targets.find(({ type }) => ENTER_ORDER.includes(type))
  // Once in a user namespace of its own the process has no say in those that belong to the host.
  if (newUser && other)
    throw new BerthError(
      'unsupported',
      `linux.namespaces: a ${other.type} namespace that is joined, beside a new user namespace`,
      {
        pointer: other.pointer,
      },
    )
  const join = joinNamespaces(namespaces.targets)
  const base = {
    open: join.open,
    join: join.join,
    uidMap: newUser ? mapText(spec.linux?.uidMappings) : '',
    gidMap: newUser ? mapText(spec.linux?.gidMappings) : '',
    timeOffsets: timeOffsets(spec),
  }
  const mask = (list: readonly NamespaceType[]) => list.reduce((flags, type) => flags | CLONE_FLAGS[type], 0)
  const unshare = (list: readonly NamespaceType[]): Op[] =>
    list.length > 0 ? [{ op: 'unshare', flags: mask(list), pointer: '/linux/namespaces' }] : []
  if (!namespaces.isJoined('user')) {
    // The root of the mqueue file system belongs to whoever makes the ipc namespace: the container's root, which the process is
    // only once its ids are mapped.
    const later: readonly NamespaceType[] = newUser ? types.filter((type) => type === 'ipc') : []
    const flags = mask(types.filter((type) => !later.includes(type)))
    return { ...base, flags: BigInt(flags), enter: [...join.enter, ...unshare(later)] }
  }

  // New namespaces have to belong to the user namespace that is joined: they are made after that, which a new pid or time
  // namespace can't be (both hold for children only).
  const children = types.find((type) => FOR_CHILDREN.includes(type))
  if (children)
    throw new BerthError(
      'unsupported',
      `linux.namespaces: a new ${children} namespace in a user namespace that is joined`,
      {
        pointer: '/linux/namespaces',
      },
    )
  const [user, ...others] = join.enter
  return {
    ...base,
    flags: 0n,
    enter: [...(user ? [user] : []), ...unshare(types), ...others],
  }
}
