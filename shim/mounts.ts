/** The root file system's mounts, which containerd describes and the shim makes. */

import { join } from 'node:path'
import { BerthError } from '../src/errors.ts'
import type { Op, Plan } from '../src/plan/ops.ts'
import type { containerd } from './proto/messages.gen.js'

type Mount = containerd.task.Mount.$Properties

/** MS_* of mount(2). */
const MS = {
  RDONLY: 1n,
  NOSUID: 2n,
  NODEV: 4n,
  NOEXEC: 8n,
  SYNCHRONOUS: 16n,
  REMOUNT: 32n,
  MANDLOCK: 64n,
  DIRSYNC: 128n,
  NOATIME: 1024n,
  NODIRATIME: 2048n,
  BIND: 4096n,
  REC: 16384n,
  RELATIME: 1n << 21n,
  STRICTATIME: 1n << 24n,
} as const

/** Option words that are flags: what each sets or clears. Any other word is data for the file system. */
const WORDS: Readonly<Record<string, { readonly set?: bigint; readonly clear?: bigint }>> = {
  async: { clear: MS.SYNCHRONOUS },
  atime: { clear: MS.NOATIME },
  bind: { set: MS.BIND },
  defaults: {},
  dev: { clear: MS.NODEV },
  diratime: { clear: MS.NODIRATIME },
  dirsync: { set: MS.DIRSYNC },
  exec: { clear: MS.NOEXEC },
  mand: { set: MS.MANDLOCK },
  noatime: { set: MS.NOATIME },
  nodev: { set: MS.NODEV },
  nodiratime: { set: MS.NODIRATIME },
  noexec: { set: MS.NOEXEC },
  nomand: { clear: MS.MANDLOCK },
  norelatime: { clear: MS.RELATIME },
  nostrictatime: { clear: MS.STRICTATIME },
  nosuid: { set: MS.NOSUID },
  rbind: { set: MS.BIND | MS.REC },
  relatime: { set: MS.RELATIME },
  remount: { set: MS.REMOUNT },
  ro: { set: MS.RDONLY },
  rw: { clear: MS.RDONLY },
  strictatime: { set: MS.STRICTATIME },
  suid: { clear: MS.NOSUID },
  sync: { set: MS.SYNCHRONOUS },
}
const UNSUPPORTED = /^(loop$|uidmap=|gidmap=)/

/** Mounts everything, in order, at and below `rootfs`. */
export const rootfsPlan = (mounts: readonly Mount[], rootfs: string): Plan =>
  mounts.flatMap((mount) => mountOps(mount, rootfs))

/** Umounts whatever is at and below `rootfs`; UMOUNT_NOFOLLOW. */
export const umountOp = (rootfs: string): Op => ({ op: 'umount', path: rootfs, flags: 8 })

const mountOps = ({ type, source, target, options }: Mount, rootfs: string): Op[] => {
  let flags = 0n
  const data: string[] = []
  for (const option of options ?? []) {
    if (UNSUPPORTED.test(option)) {
      throw new BerthError('unsupported', `root file system mount: option "${option}" is not supported`)
    }
    const word = Object.hasOwn(WORDS, option) ? WORDS[option] : undefined
    if (word === undefined) data.push(option)
    else flags = (flags & ~(word.clear ?? 0n)) | (word.set ?? 0n)
  }
  const what = {
    source: source ?? '',
    target: target ? join(rootfs, target) : rootfs,
    type: type ?? '',
    data: data.join(','),
  }
  const mount: Op = { op: 'mount', ...what, flags }
  // The kernel ignores every other flag of a new bind: they take effect with a remount of it.
  const own = flags & ~(MS.BIND | MS.REC | MS.REMOUNT)
  if ((flags & MS.BIND) === 0n || (flags & MS.REMOUNT) !== 0n || own === 0n) return [mount]
  return [mount, { op: 'mount', ...what, flags: MS.BIND | MS.REMOUNT | own }]
}
