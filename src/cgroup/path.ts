/** linux.cgroupsPath → the container's directory in each hierarchy. */

import { BerthError } from '../errors.ts'
import type { CgroupLayout, Hierarchy } from './layout.ts'

const POINTER = '/linux/cgroupsPath'
/** Where containers go whose configuration leaves the place to us, but not the name. */
export const OWN_PARENT = '/berth'
/** What is ours alone in a place that is not: each level of it would have to be made and removed in each hierarchy, and v1 has a dozen. */
const OWN_NAME = '/berth-'
/** Of a file (NAME_MAX of limits.h). */
const NAME_MAX = 255

/**
 * The container's cgroup as a path below the root of each hierarchy: by default /berth-ID. An absolute path is taken as it is; a relative one
 * lies below /berth. The form of systemd's slices (slice:prefix:name) needs the systemd driver (systemd/unit.ts).
 */
export const cgroupPath = (cgroupsPath: string | undefined, id: string): string => {
  if (cgroupsPath === undefined || cgroupsPath === '') return ownPath(id)
  if (isSystemdPath(cgroupsPath))
    throw new BerthError(
      'unsupported',
      `linux.cgroupsPath: "${cgroupsPath}" is in systemd's form, which needs --systemd-cgroup`,
      { pointer: POINTER },
    )
  const parts = cgroupsPath.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..'))
    throw new BerthError('invalid', `linux.cgroupsPath: "${cgroupsPath}" must not contain ".."`, { pointer: POINTER })
  if (parts.length === 0)
    throw new BerthError('invalid', `linux.cgroupsPath: "${cgroupsPath}" is the root cgroup`, { pointer: POINTER })
  return cgroupsPath.startsWith('/') ? `/${parts.join('/')}` : `${OWN_PARENT}/${parts.join('/')}`
}

const ownPath = (id: string): string =>
  OWN_NAME.length - 1 + id.length > NAME_MAX ? `${OWN_PARENT}/${id}` : `${OWN_NAME}${id}`

/** `slice:prefix:name`, systemd's form. */
export const isSystemdPath = (cgroupsPath: string | undefined): boolean =>
  cgroupsPath !== undefined && /^[^/:]*:[^/:]*:[^/:]+$/.test(cgroupsPath)

export interface CgroupDir {
  readonly hierarchy: Hierarchy
  readonly dir: string
}

const join = (mountPoint: string, path: string): string => (mountPoint === '/' ? path : `${mountPoint}${path}`)

/** Below a parent that is not ours alone a container's name has to say whose it is; there is no level between to tidy up after. */
const below = (parent: string | undefined, path: string): string => {
  const [, relative, own] = /^\/berth(?:\/(.+)|-([^/]+))$/.exec(path) ?? []
  const rest = relative ?? own
  if (parent === undefined || rest === undefined) return path
  const name = `${OWN_NAME}${rest}`
  return parent === '/' ? name : `${parent}${name}`
}

/** The container's directories; the one by which its processes are found and killed comes first (v2 has cgroup.kill). */
export const cgroupDirs = (layout: CgroupLayout, path: string): CgroupDir[] =>
  [...(layout.v2 ? [layout.v2] : []), ...layout.v1].map((hierarchy) => ({
    hierarchy,
    dir: join(hierarchy.mountPoint, below(hierarchy.parent, path)),
  }))

/** Every directory from below the hierarchy's mount point down to the container's own. */
export const levels = ({ hierarchy, dir }: CgroupDir): string[] => {
  const parts = dir.slice(hierarchy.mountPoint.length).split('/').filter(Boolean)
  return parts.map((_, index) => join(hierarchy.mountPoint, `/${parts.slice(0, index + 1).join('/')}`))
}
