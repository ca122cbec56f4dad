/** What a container has from outside, and CRIU therefore leaves out of its images: mounts, namespaces, standard input and output. */

import { posix } from 'node:path'
import type { CgroupDir } from '../cgroup/path.ts'
import { parseMountOptions } from '../plan/mount-options.ts'
import { cleanDestination, shownCgroups } from '../plan/mounts.ts'
import { Namespaces } from '../plan/namespaces.ts'
import type { Mount, NamespaceType, Spec } from '../spec/types.ts'

/** A mount of the host's in the container. */
export interface HostMount {
  /** Where in the container. */
  readonly at: string
  /** What is there, as a path of the host. */
  readonly source: string
}

export const isBind = ({ type, options = [] }: Mount): boolean => type === 'bind' || parseMountOptions(options).bind

/** The mounts that the configuration takes from the host, the container's cgroups among them. */
export const hostMounts = (
  spec: Spec,
  bundle: string,
  cgroups: readonly CgroupDir[],
  unified: boolean,
): HostMount[] => {
  // A mount of v2 shows all there is, unless a namespace keeps it to the container's own.
  const divided = new Namespaces(spec).has('cgroup')
  return (spec.mounts ?? []).flatMap((mount): HostMount[] => {
    const at = cleanDestination(mount.destination)
    if (isBind(mount)) return [{ at, source: posix.resolve(bundle, mount.source ?? '') }]
    if (mount.type !== 'cgroup' && !(unified && mount.type === 'cgroup2')) return []
    if (unified) return cgroups.map(({ hierarchy, dir }) => ({ at, source: divided ? dir : hierarchy.mountPoint }))
    return shownCgroups(cgroups).map(({ hierarchy, dir }) => ({ at: `${at}/${hierarchy.label}`, source: dir }))
  })
}

const isBelow = (path: string, top: string): boolean => path === top || path.startsWith(top === '/' ? top : `${top}/`)

/** That of the mounts which a path of the container lies on. */
const nearest = <M extends { readonly at: string }>(mounts: readonly M[], path: string): M | undefined =>
  mounts.reduce<M | undefined>(
    (best, mount) => (isBelow(path, mount.at) && mount.at.length >= (best?.at.length ?? 0) ? mount : best),
    undefined,
  )

/**
 * Of the container's mount points those that show the host's: where the configuration binds something, and what that brought along. What
 * is hidden or read-only there is the container's own, or a restored one would see it.
 */
export const outsideMounts = (points: readonly string[], spec: Spec, hosts: readonly HostMount[]): string[] => {
  const { maskedPaths = [], readonlyPaths = [] } = spec.linux ?? {}
  const own = new Set([...maskedPaths, ...readonlyPaths].map(cleanDestination))
  const configured = [
    { at: '/', host: false },
    ...(spec.mounts ?? []).map(({ destination }) => ({ at: cleanDestination(destination), host: false })),
    ...hosts.map(({ at }) => ({ at, host: true })),
  ]
  return [...new Set(points)].filter((point) => !own.has(point) && nearest(configured, point)?.host === true)
}

/** What to mount at a mount point that the image takes from the host; undefined where the configuration has nothing for it. */
export const sourceOf = (point: string, hosts: readonly HostMount[]): string | undefined => {
  const mount = nearest(hosts, point)
  return mount && posix.join(mount.source, point.slice(mount.at.length))
}

/** Namespaces that CRIU can join: their names in its arguments, and those it is told to call them. */
export const JOINABLE: Readonly<Partial<Record<NamespaceType, { readonly file: string; readonly key: string }>>> = {
  network: { file: 'net', key: 'extRootNetNS' },
  pid: { file: 'pid', key: 'extRootPidNS' },
}

export interface Descriptor {
  /** What its link below /proc/PID/fd reads. */
  readonly link: string
  /** Text of /proc/PID/fdinfo/FD. */
  readonly info: string
  readonly inode: bigint
}

/** CRIU's name for a file that lies on none of the container's mounts. */
const OUTSIDE_FILE = /^file\[[0-9a-f]+:[0-9a-f]+\]$/
const PIPE = /^pipe:\[\d+\]$/

/** What a descriptor is known by in the image; `mounts`: ids of the container's. */
export const descriptorName = ({ link, info, inode }: Descriptor, mounts: ReadonlySet<number>): string => {
  const mount = Number(/^mnt_id:\s*(\d+)$/m.exec(info)?.[1])
  if (!link.startsWith('/') || Number.isNaN(mount) || mounts.has(mount)) return link
  return `file[${mount.toString(16)}:${inode.toString(16)}]`
}

export const isOutsideFile = (name: string): boolean => OUTSIDE_FILE.test(name)
/** Whether it has to be given at a restore. */
export const isGiven = (name: string): boolean => isOutsideFile(name) || PIPE.test(name)
