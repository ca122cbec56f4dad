/** proc_pid_mountinfo(5). */

import { remembered } from '../remember.ts'

export interface MountInfo {
  readonly id: number
  /** The mount that this one lies on. */
  readonly parent: number
  /** The directory of the file system that is the root of this mount. */
  readonly root: string
  readonly mountPoint: string
  /** Of the mount alone. */
  readonly options: readonly string[]
  readonly type: string
  readonly superOptions: readonly string[]
}

/** The kernel writes space, tab, newline and backslash as octal escapes. */
const unescapeOctal = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

/** The mounts, in the order of the file; lines that are not understood are left out. */
export const parseMountinfo = remembered(4, (text: string): readonly MountInfo[] => {
  const mounts: MountInfo[] = []
  for (const line of text.split('\n')) {
    const fields = line.split(' ')
    // Optional fields (shared:N …) end at a single hyphen.
    const end = fields.indexOf('-', 6)
    const root = fields[3]
    const mountPoint = fields[4]
    const type = fields[end + 1]
    if (end < 0 || root === undefined || mountPoint === undefined || type === undefined) continue
    mounts.push({
      id: Number(fields[0]),
      parent: Number(fields[1]),
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      options: (fields[5] ?? '').split(','),
      type,
      superOptions: (fields[end + 3] ?? '').split(','),
    })
  }
  return mounts
})
