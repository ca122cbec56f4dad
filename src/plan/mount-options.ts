/** The mount options of the runtime specification (config.md, "Linux mount options"), as data: `features` lists this table. */

export const MS_RDONLY = 0x1n
const MS_SYNCHRONOUS = 0x10n
const MS_MANDLOCK = 0x40n
const MS_DIRSYNC = 0x80n
const MS_SILENT = 0x8000n
export const MS_I_VERSION = 0x800000n
const MS_LAZYTIME = 0x2000000n
export const MS_REC = 0x4000n
export const PROPAGATION = {
  unbindable: 0x20000n,
  private: 0x40000n,
  slave: 0x80000n,
  shared: 0x100000n,
} as const

/** linux/mount.h */
export const MOUNT_ATTR_RDONLY = 0x1n
export const MOUNT_ATTR_NOSUID = 0x2n
export const MOUNT_ATTR_NODEV = 0x4n
const MOUNT_ATTR_NOEXEC = 0x8n
/** One field of three values: relatime is 0, and whoever sets another has to clear all of it. */
const MOUNT_ATTR__ATIME = 0x70n
const MOUNT_ATTR_NOATIME = 0x10n
const MOUNT_ATTR_STRICTATIME = 0x20n
const MOUNT_ATTR_NODIRATIME = 0x80n
const MOUNT_ATTR_NOSYMFOLLOW = 0x200000n

type Effect =
  | { readonly kind: 'none' }
  /** Property of the mount; with the prefix `r` the same for the whole tree. */
  | { readonly kind: 'attr'; readonly set?: bigint; readonly clear?: bigint }
  /** Property of the superblock. */
  | { readonly kind: 'sb'; readonly set?: bigint; readonly clear?: bigint }
  | { readonly kind: 'bind'; readonly recursive: boolean }
  | { readonly kind: 'propagation'; readonly flags: bigint }
  | { readonly kind: 'copyUp' }
  | { readonly kind: 'remount' }
  | { readonly kind: 'idmap'; readonly idmap: 'top' | 'tree' }

const attr = (set: bigint, clear = 0n): Effect => ({ kind: 'attr', set, clear })
const attrOff = (clear: bigint): Effect => ({ kind: 'attr', clear })
const sb = (set: bigint): Effect => ({ kind: 'sb', set })
const sbOff = (clear: bigint): Effect => ({ kind: 'sb', clear })
const propagation = (flags: bigint): Effect => ({ kind: 'propagation', flags })

/** Options that take one away, by what the kernel would have to be told; the atime ones are the default. */
const OPPOSITES: Readonly<Record<string, true>> = {
  rw: true,
  suid: true,
  dev: true,
  exec: true,
  diratime: true,
  symfollow: true,
}

/** Those that exist for a whole tree too, with an `r` before them. */
const ATTRIBUTES: Readonly<Record<string, Effect>> = {
  ro: attr(MOUNT_ATTR_RDONLY),
  rw: attrOff(MOUNT_ATTR_RDONLY),
  nosuid: attr(MOUNT_ATTR_NOSUID),
  suid: attrOff(MOUNT_ATTR_NOSUID),
  nodev: attr(MOUNT_ATTR_NODEV),
  dev: attrOff(MOUNT_ATTR_NODEV),
  noexec: attr(MOUNT_ATTR_NOEXEC),
  exec: attrOff(MOUNT_ATTR_NOEXEC),
  nodiratime: attr(MOUNT_ATTR_NODIRATIME),
  diratime: attrOff(MOUNT_ATTR_NODIRATIME),
  noatime: attr(MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
  atime: attrOff(MOUNT_ATTR__ATIME),
  relatime: attrOff(MOUNT_ATTR__ATIME),
  norelatime: { kind: 'none' },
  strictatime: attr(MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
  nostrictatime: attrOff(MOUNT_ATTR__ATIME),
  nosymfollow: attr(MOUNT_ATTR_NOSYMFOLLOW),
  symfollow: attrOff(MOUNT_ATTR_NOSYMFOLLOW),
}

const OTHERS: Readonly<Record<string, Effect>> = {
  async: sbOff(MS_SYNCHRONOUS),
  bind: { kind: 'bind', recursive: false },
  defaults: { kind: 'none' },
  dirsync: sb(MS_DIRSYNC),
  idmap: { kind: 'idmap', idmap: 'top' },
  iversion: sb(MS_I_VERSION),
  lazytime: sb(MS_LAZYTIME),
  loud: sbOff(MS_SILENT),
  mand: sb(MS_MANDLOCK),
  noiversion: sbOff(MS_I_VERSION),
  nolazytime: sbOff(MS_LAZYTIME),
  nomand: sbOff(MS_MANDLOCK),
  private: propagation(PROPAGATION.private),
  rbind: { kind: 'bind', recursive: true },
  remount: { kind: 'remount' },
  ridmap: { kind: 'idmap', idmap: 'tree' },
  rprivate: propagation(PROPAGATION.private | MS_REC),
  rshared: propagation(PROPAGATION.shared | MS_REC),
  rslave: propagation(PROPAGATION.slave | MS_REC),
  runbindable: propagation(PROPAGATION.unbindable | MS_REC),
  shared: propagation(PROPAGATION.shared),
  silent: sb(MS_SILENT),
  slave: propagation(PROPAGATION.slave),
  sync: sb(MS_SYNCHRONOUS),
  tmpcopyup: { kind: 'copyUp' },
  unbindable: propagation(PROPAGATION.unbindable),
}

type Entry = { readonly effect: Effect; readonly tree: boolean }
const TABLE: ReadonlyMap<string, Entry> = new Map<string, Entry>([
  ...Object.entries(ATTRIBUTES).map(([name, effect]) => [name, { effect, tree: false }] as const),
  ...Object.entries(ATTRIBUTES).map(([name, effect]) => [`r${name}`, { effect, tree: true }] as const),
  ...Object.entries(OTHERS).map(([name, effect]) => [name, { effect, tree: false }] as const),
])

/** Every option that has a meaning of its own here; others go to the file system as its data. Sorted. */
export const MOUNT_OPTIONS: readonly string[] = [...TABLE.keys()].sort()

export interface ParsedOptions {
  readonly bind: boolean
  readonly recursive: boolean
  readonly readonly: boolean
  readonly copyUp: boolean
  /** Changes a mount that is there. */
  readonly remount: boolean
  /** Whether ids are mapped, of the mount or of its whole tree. */
  readonly idmap: 'none' | 'top' | 'tree'
  readonly sbFlags: bigint
  readonly attrSet: bigint
  readonly attrClear: bigint
  readonly recAttrSet: bigint
  readonly recAttrClear: bigint
  /** MS_* with MS_REC, or 0. The last one wins. */
  readonly propagation: bigint
  /** What the file system is told. */
  readonly data: string
}

class Flags {
  set = 0n
  clear = 0n
  apply(effect: { readonly set?: bigint; readonly clear?: bigint }): void {
    const { set = 0n, clear = 0n } = effect
    // Later options override earlier ones; clearing stays known, as a bind mount starts out with its source's.
    this.set = (this.set & ~clear) | set
    this.clear = (this.clear & ~set) | clear
  }
}

/** Reads a list of mount options; a later option overrides an earlier one. */
export const parseMountOptions = (options: readonly string[]): ParsedOptions => {
  const top = new Flags()
  const tree = new Flags()
  const superblock = new Flags()
  const data: string[] = []
  let bind = false
  let recursive = false
  let copyUp = false
  let remount = false
  let idmap: ParsedOptions['idmap'] = 'none'
  let last = 0n
  for (const option of options) {
    const known = TABLE.get(option)
    if (!known) {
      if (option !== '') data.push(option)
      continue
    }
    const { effect } = known
    if (effect.kind === 'attr') (known.tree ? tree : top).apply(effect)
    else if (effect.kind === 'sb') superblock.apply(effect)
    else if (effect.kind === 'propagation') last = effect.flags
    else if (effect.kind === 'copyUp') copyUp = true
    else if (effect.kind === 'remount') remount = true
    else if (effect.kind === 'idmap') idmap = effect.idmap
    else if (effect.kind === 'bind') {
      bind = true
      recursive = effect.recursive
    }
  }
  const readonly = (top.set & MOUNT_ATTR_RDONLY) !== 0n
  return {
    bind,
    recursive,
    readonly,
    copyUp,
    remount,
    idmap,
    // mount(2) with MS_RDONLY makes both the mount and the superblock read-only.
    sbFlags: superblock.set | (readonly ? MS_RDONLY : 0n),
    attrSet: top.set,
    attrClear: top.clear,
    recAttrSet: tree.set,
    recAttrClear: tree.clear,
    propagation: last,
    data: data.join(','),
  }
}

/** Flags back as options, for people: of each bit the first name in the table. */
export const describeOptions = (flags: {
  readonly sbFlags?: bigint
  readonly attrSet?: bigint
  readonly attrClear?: bigint
  readonly recAttrSet?: bigint
  readonly recAttrClear?: bigint
  readonly propagation?: bigint
}): string => {
  const names: string[] = []
  const attributes = (set: bigint, clear: bigint, prefix: string) => {
    for (const [name, effect] of Object.entries(ATTRIBUTES)) {
      if (effect.kind !== 'attr') continue
      const { set: sets = 0n, clear: clears = 0n } = effect
      if (sets !== 0n ? (set & sets) !== 0n : name in OPPOSITES && (clear & clears) !== 0n)
        names.push(`${prefix}${name}`)
    }
  }
  attributes(flags.attrSet ?? 0n, flags.attrClear ?? 0n, '')
  attributes(flags.recAttrSet ?? 0n, flags.recAttrClear ?? 0n, 'r')
  for (const [name, effect] of Object.entries(OTHERS)) {
    if (effect.kind === 'sb' && effect.set !== undefined && ((flags.sbFlags ?? 0n) & effect.set) !== 0n)
      names.push(name)
    if (effect.kind === 'propagation' && flags.propagation !== 0n && flags.propagation === effect.flags)
      names.push(name)
  }
  return names.join(',')
}
