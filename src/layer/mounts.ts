/** What becomes of the host's mounts where a command has the host's tree for its root. */

import type { MountInfo } from '../cgroup/mountinfo.ts'

/** The paths that a process finds, topmost mount of each: what is mounted over is not among them. In the order of their depth. */
export const visibleMounts = (mounts: readonly MountInfo[]): readonly MountInfo[] => {
  const children = Map.groupBy(
    mounts.filter(({ id, parent }) => id !== parent),
    ({ parent }) => parent,
  )
  const ids = new Set(mounts.map(({ id }) => id))
  const found: MountInfo[] = []
  /** The mounts on this one that are nearest to it: what lies below another's mount point is covered by that one. */
  const visit = (mount: MountInfo): void => {
    const on = children.get(mount.id) ?? []
    const over = on.find(({ mountPoint }) => mountPoint === mount.mountPoint)
    if (over) {
      visit(over)
      return
    }
    found.push(mount)
    for (const child of on) if (!on.some((other) => isBelow(child.mountPoint, other.mountPoint))) visit(child)
  }
  const top = mounts.find(({ parent, mountPoint }) => mountPoint === '/' && !ids.has(parent))
  if (top) visit(top)
  return found.toSorted((a, b) => depth(a.mountPoint) - depth(b.mountPoint) || (a.mountPoint < b.mountPoint ? -1 : 1))
}

const depth = (path: string): number => (path === '/' ? 0 : path.split('/').length - 1)

/** Truly below. */
export const isBelow = (path: string, directory: string): boolean =>
  path !== directory && path.startsWith(directory === '/' ? '/' : `${directory}/`)
export const isWithin = (path: string, directory: string): boolean => path === directory || isBelow(path, directory)

/** Made anew for the command. */
const FRESH = ['/proc', '/sys', '/dev']
/** They show things of the kernel's, and hold no files. */
const OF_THE_KERNEL = new Set(
  'autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts devtmpfs efivarfs fusectl hugetlbfs mqueue nsfs pidfs proc pstore ramfs resctrl rpc_pipefs securityfs selinuxfs sysfs tracefs'.split(
    ' ',
  ),
)
/** An overlay can't lie on these (fs/overlayfs, ovl_dentry_weird): names are compared otherwise, or change by themselves. */
const NO_LOWER = new Set('adfs affs cifs exfat hfs hfsplus isofs msdos ntfs ntfs3 smb3 vfat'.split(' '))
/** What mount options and lists of layers give a meaning to. */
const SPECIAL = /[,:"\\]/

export type Fate =
  /** An overlay on it takes the changes. */
  | 'layer'
  /** The same, but nothing can be changed in it. */
  | 'still'
  /** Shown read-only as it is. */
  | 'bind'

export interface Shown {
  readonly mountPoint: string
  readonly fate: Fate
  /** noexec, nodev … that hold for it already. */
  readonly options: readonly string[]
}

export interface Wish {
  /** What changes are taken of. */
  readonly writable: string
  /** Whose mounts are berth's own. */
  readonly runDir: string
  /** Mount points of directories. */
  readonly directories: ReadonlySet<string>
  /** Those of sockets and FIFOs. */
  readonly doors: ReadonlySet<string>
}

const KEPT = ['noexec', 'nosymfollow']

/**
 * The mounts that the command is shown, `/` first. Those of other containers, and of the kernel, are left out; sockets and FIFOs too: a mount that
 * is read-only keeps nobody from those at their other end, and what is below them in the layer leads to nobody.
 */
export const shownMounts = (
  mounts: readonly MountInfo[],
  { writable, runDir, directories, doors }: Wish,
): readonly Shown[] =>
  visibleMounts(mounts).flatMap(({ mountPoint, type, options }): Shown[] => {
    const foreign = (type === 'overlay' && mountPoint !== '/') || isWithin(mountPoint, runDir)
    if (foreign || doors.has(mountPoint) || OF_THE_KERNEL.has(type) || FRESH.some((path) => isWithin(mountPoint, path)))
      return []
    const kept = options.filter((option) => KEPT.includes(option))
    if (!directories.has(mountPoint) || NO_LOWER.has(type) || SPECIAL.test(mountPoint))
      return [{ mountPoint, fate: 'bind', options: kept }]
    const takes = !options.includes('ro') && isWithin(mountPoint, writable)
    return [{ mountPoint, fate: takes ? 'layer' : 'still', options: kept }]
  })
