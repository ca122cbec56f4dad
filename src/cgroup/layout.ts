/** Where the host's cgroup hierarchies are, from /proc/self/mountinfo and /proc/self/cgroup. */

import { type MountInfo, parseMountinfo } from './mountinfo.ts'

/** `legacy`: v1 only; `hybrid`: v1 controllers and a v2 hierarchy without; `unified`: v2 only. */
export type CgroupMode = 'legacy' | 'hybrid' | 'unified'

export interface Hierarchy {
  /** v1 controllers that live here (more than one where they are mounted together); empty for a named hierarchy and v2. */
  readonly controllers: readonly string[]
  /** `systemd` and the like; empty otherwise. */
  readonly name: string
  readonly mountPoint: string
  /** Last component of the mount point: what containers see it as. */
  readonly label: string
  /** The cgroup of this process, below the hierarchy's root. */
  readonly own: string
  /** Rootless: where containers go, below the hierarchy's root (delegation.ts). */
  readonly parent?: string
}

export interface CgroupLayout {
  readonly mode: CgroupMode
  readonly v1: readonly Hierarchy[]
  readonly v2: Hierarchy | undefined
  /** Controllers that the root of the v2 hierarchy offers. */
  readonly v2Controllers: readonly string[]
  /** Rootless: hierarchies that were taken out, and why. */
  readonly refused?: readonly {
    readonly controllers: readonly string[]
    readonly name: string
    readonly why: string
  }[]
}

const CONTROLLERS = new Set([
  'cpu',
  'cpuacct',
  'cpuset',
  'memory',
  'devices',
  'freezer',
  'blkio',
  'pids',
  'hugetlb',
  'net_cls',
  'net_prio',
  'perf_event',
  'rdma',
  'misc',
])

/** Own cgroup by hierarchy: key is the controller list as written there ('' for v2, `name=systemd` …). */
const parseOwn = (text: string): Map<string, string> => {
  const own = new Map<string, string>()
  for (const line of text.split('\n')) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line)
    if (match) own.set(match[1] ?? '', match[2] ?? '/')
  }
  return own
}

const label = (mountPoint: string): string => mountPoint.slice(mountPoint.lastIndexOf('/') + 1)

const v1Hierarchy = (mount: MountInfo, own: Map<string, string>): Hierarchy | undefined => {
  const controllers = mount.superOptions.filter((option) => CONTROLLERS.has(option))
  const name = mount.superOptions.find((option) => option.startsWith('name='))?.slice(5) ?? ''
  if (controllers.length === 0 && name === '') return undefined
  const wanted = name === '' ? new Set(controllers) : new Set([`name=${name}`])
  let path = '/'
  for (const [key, value] of own) if (key.split(',').some((part) => wanted.has(part))) path = value
  return { controllers, name, mountPoint: mount.mountPoint, label: label(mount.mountPoint), own: path }
}

/** The layout of the host; `v2Controllers` is the text of cgroup.controllers at the root of a unified hierarchy. */
export const parseLayout = (mountinfo: string, selfCgroup: string, v2Controllers: string): CgroupLayout => {
  const own = parseOwn(selfCgroup)
  const v1 = new Map<string, Hierarchy>()
  let v2: Hierarchy | undefined
  for (const mount of parseMountinfo(mountinfo)) {
    if (mount.type === 'cgroup') {
      const hierarchy = v1Hierarchy(mount, own)
      if (!hierarchy) continue
      // A hierarchy may be mounted again elsewhere (a container's /sys/fs/cgroup seen from outside): the first one is the host's.
      const key = hierarchy.name || hierarchy.controllers.join(',')
      if (!v1.has(key)) v1.set(key, hierarchy)
    } else if (mount.type === 'cgroup2' && !v2) {
      v2 = {
        controllers: [],
        name: '',
        mountPoint: mount.mountPoint,
        label: label(mount.mountPoint),
        own: own.get('') ?? '/',
      }
    }
  }
  const hierarchies = [...v1.values()]
  const hasControllers = hierarchies.some((hierarchy) => hierarchy.controllers.length > 0)
  const mode = v2 ? (hasControllers ? 'hybrid' : 'unified') : 'legacy'
  return {
    mode,
    v1: hierarchies,
    v2,
    v2Controllers: v2Controllers.split(/\s+/).filter((name) => name !== ''),
  }
}

/** The one hierarchy that has neither a name nor controllers of v1. */
export const isV2 = ({ name, controllers }: Pick<Hierarchy, 'name' | 'controllers'>): boolean =>
  name === '' && controllers.length === 0

/** The v1 hierarchy that has this controller. */
export const hierarchyOf = (layout: CgroupLayout, controller: string): Hierarchy | undefined =>
  layout.v1.find((hierarchy) => hierarchy.controllers.includes(controller))
