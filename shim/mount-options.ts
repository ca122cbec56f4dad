/** Options of a mount in the words of fstab, as containerd sends them. */

import { BerthError } from '../src/errors.ts'

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

export interface MountOptions {
  readonly flags: bigint
  readonly data: readonly string[]
  /** The source is an image, to be put on a loop device. */
  readonly loop: boolean
  /** Of the loop device: past the page cache. */
  readonly direct: boolean
  /** Lines of uid_map and gid_map. */
  readonly map?: { readonly uid: string; readonly gid: string }
}

/** `name` is what an error calls the mount. */
export const parseOptions = (options: readonly string[], name: string): MountOptions => {
  let flags = 0n
  let loop = false
  const data: string[] = []
  const maps: { uid?: string; gid?: string } = {}
  for (const option of options) {
    if (option.startsWith('X-containerd.'))
      throw new BerthError('unsupported', `${name}: option "${option}" is for containerd's mount manager`)
    const word = Object.hasOwn(WORDS, option) ? WORDS[option] : undefined
    if (word !== undefined) flags = (flags & ~(word.clear ?? 0n)) | (word.set ?? 0n)
    else if (option === 'loop') loop = true
    else if (option.startsWith('uidmap=')) maps.uid = mapLines(option, name)
    else if (option.startsWith('gidmap=')) maps.gid = mapLines(option, name)
    else data.push(option)
  }
  const { uid, gid } = maps
  if ((uid === undefined) !== (gid === undefined))
    throw new BerthError('invalid', `${name}: uidmap and gidmap have to be given together`)
  const direct = loop && data.includes('direct-io')
  return {
    flags,
    loop,
    direct,
    data: direct ? data.filter((option) => option !== 'direct-io') : data,
    ...(uid === undefined || gid === undefined ? {} : { map: { uid, gid } }),
  }
}

const MAX_ID = 0xffffffffn

/** `uidmap=0:1000:10,10:2000:5` as the lines that the kernel takes. */
const mapLines = (option: string, name: string): string =>
  option
    .slice(option.indexOf('=') + 1)
    .split(',')
    .map((range) => {
      const parts = range.split(':')
      const valid = parts.length === 3 && parts.every((part) => /^\d{1,10}$/.test(part) && BigInt(part) <= MAX_ID)
      if (!valid || BigInt(parts[2] ?? 0) === 0n)
        throw new BerthError('invalid', `${name}: "${option}" has no ranges of the form CONTAINER-ID:HOST-ID:SIZE`)
      return `${parts.join(' ')}\n`
    })
    .join('')
