/** The root file system's mounts, which containerd describes and the shim makes, as containerd's own mount package would. */

import { join } from 'node:path'
import { BerthError } from '../src/errors.ts'
import { DIR_FLAGS, LOOP_FLAGS, MOUNT_FLAGS, type Op, type Plan } from '../src/plan/ops.ts'
import { parseOptions } from './mount-options.ts'
import { overlayLayers } from './overlay.ts'
import type { containerd } from './proto/messages.gen.js'

type Mount = containerd.task.Mount.$Properties

const MS = { recursive: 16384n, private: 1n << 18n } as const
const UMOUNT_NOFOLLOW = 8
/** Registers for what is on its way to a mount point; empty again before anything is cloned. */
const SLOTS = { userns: 53, mount: 54 } as const

/** Mount types that another program mounts, and that program's name. */
const HELPERS: readonly (readonly [prefix: string, program: string])[] = [
  ['fuse.', 'mount.fuse'],
  ['fuse3.', 'mount.fuse3'],
]
/** Where such programs lie; the environment of whoever started the shim has no say in it. */
const HELPER_DIRS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin']

/** Kinds of mounts that containerd turns into others before a shim sees them: a client that sends one has left that out. */
const MANAGED = /^(format|mkdir|mkfs)\//

/** The programs that these mounts need. */
export const helpersOf = (mounts: readonly Mount[]): readonly string[] => [
  ...new Set(mounts.flatMap(({ type }) => helperOf(type ?? '')?.program ?? [])),
]
/** Paths at which a program may be, the first that exists counts. */
export const helperPaths = (program: string): readonly string[] => HELPER_DIRS.map((dir) => join(dir, program))

const helperOf = (type: string) => {
  const [prefix, program] = HELPERS.find(([start]) => type.startsWith(start)) ?? []
  return prefix === undefined || program === undefined ? undefined : { program, type: type.slice(prefix.length) }
}

export interface RootfsInput {
  readonly mounts: readonly Mount[]
  readonly rootfs: string
  /** A directory of the container's own: mount points that nobody else may see are made in it. */
  readonly dir: string
  /** Paths of the programs that `helpersOf` names. */
  readonly helpers: ReadonlyMap<string, string>
}

export interface RootfsPlan {
  readonly make: Plan
  /** What takes it down again. */
  readonly undo: Plan
}

/** Mounts everything, in order, at and below `rootfs`. */
export const rootfsPlan = ({ mounts, rootfs, dir, helpers }: RootfsInput): RootfsPlan => {
  const layers = join(dir, 'layers')
  const make = mounts.flatMap((mount, index) => mountOps(mount, { index, rootfs, layers, helpers }))
  const mapped = make.some((op) => op.op === 'attach' && op.target === layers)
  const own: Op[] = mounts.length === 0 ? [] : [{ op: 'mkdir', path: rootfs, mode: 0o711, flags: DIR_FLAGS.existOk }]
  return { make: [...own, ...make], undo: [umountOp(rootfs), ...(mapped ? [umountOp(layers)] : [])] }
}

/** Umounts whatever is at and below a path. */
export const umountOp = (path: string): Op => ({ op: 'umount', path, flags: UMOUNT_NOFOLLOW })

interface Place {
  readonly index: number
  readonly rootfs: string
  readonly layers: string
  readonly helpers: ReadonlyMap<string, string>
}

const mountOps = (mount: Mount, place: Place): Plan => {
  const type = mount.type ?? ''
  const name = `rootfs[${place.index}]`
  if (MANAGED.test(type))
    throw new BerthError('unsupported', `${name}: mount type "${type}" is for containerd's mount manager`)
  const helper = helperOf(type)
  return helper === undefined ? kernelMount(mount, name, place) : [helperMount(mount, helper, place)]
}

/** `mount.fuse3 SOURCE TARGET -o OPTION… -t TYPE`. */
const helperMount = (mount: Mount, { program, type }: { program: string; type: string }, place: Place): Op => {
  const path = place.helpers.get(program)
  if (path === undefined)
    throw new BerthError(
      'unsupported',
      `rootfs[${place.index}]: mount type "${mount.type}" needs ${program}, which is not installed`,
    )
  if (mount.target)
    throw new BerthError('unsupported', `rootfs[${place.index}]: ${program} can't mount below the root file system`)
  const options = (mount.options ?? []).flatMap((option) => ['-o', option])
  const args = [program, mount.source ?? '', place.rootfs, ...options, '-t', type]
  const env = [`PATH=${HELPER_DIRS.join(':')}`]
  return { op: 'hook', path, args, env, cwd: '/', input: [], timeoutMs: 60_000 }
}

const kernelMount = ({ type = '', source, target, options }: Mount, name: string, { rootfs, layers }: Place): Plan => {
  const { flags, data, loop, direct, map } = parseOptions(options ?? [], name)
  // What is mounted already is an image, with symlinks of its author's.
  const at = target ? { target, root: rootfs } : { target: rootfs, root: '' }
  const overlay = map !== undefined && type === 'overlay' ? overlayLayers(data, layers, name) : undefined
  const mount: Op = {
    op: 'mount',
    source: source ?? '',
    type: type ?? '',
    flags,
    data: (overlay?.data ?? data).join(','),
    loop: loop ? LOOP_FLAGS.attach | (direct ? LOOP_FLAGS.direct : 0) : 0,
    ...at,
  }
  if (map === undefined) return [mount]
  const ids: Op = { op: 'map-ids', uidMap: map.uid, gidMap: map.gid, slot: SLOTS.userns }
  const clone = (path: string): Op => ({
    op: 'mount-source',
    path,
    propagation: MS.private | MS.recursive,
    userns: SLOTS.userns,
    flags: MOUNT_FLAGS.recursive | MOUNT_FLAGS.idmapTree,
    slot: SLOTS.mount,
  })
  const close: Op[] = [
    { op: 'close', slot: SLOTS.mount },
    { op: 'close', slot: SLOTS.userns },
  ]
  if (overlay === undefined) {
    if (target) throw new BerthError('unsupported', `${name}: ids can be mapped at the root of the file system only`)
    return [mount, ids, clone(rootfs), { op: 'attach', slot: SLOTS.mount, ...at }, ...close]
  }
  // An overlay maps no ids itself: its layers are mapped. It keeps them, so that their mount point can go again.
  return [
    { op: 'mkdir', path: layers, mode: 0o700, flags: DIR_FLAGS.existOk },
    ids,
    clone(overlay.common),
    { op: 'attach', slot: SLOTS.mount, target: layers, root: '' },
    ...close,
    mount,
    { op: 'umount', path: layers, flags: UMOUNT_NOFOLLOW },
    { op: 'rmdir', path: layers, flags: 0 },
  ]
}
