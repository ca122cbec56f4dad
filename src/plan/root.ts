/** root and linux.rootfsPropagation → the container's root file system, from the bind to the last word on its mount. */

import type { RootfsPropagation, Spec } from '../spec/types.ts'
import { MOUNT_ATTR_RDONLY, MS_REC, PROPAGATION } from './mount-options.ts'
import type { Namespaces } from './namespaces.ts'
import { DIR_FLAGS, OP_FLAGS, type Op, PIVOT_FLAGS, type Plan } from './ops.ts'

const MS_BIND = 0x1000n
const MNT_DETACH = 2

/** Of the host's mounts, as the new namespace sees them; and of the root in the end (linux.rootfsPropagation). */
const PROPAGATIONS: Readonly<Record<RootfsPropagation, { readonly host: bigint; readonly root: bigint }>> = {
  '': { host: PROPAGATION.slave | MS_REC, root: 0n },
  private: { host: PROPAGATION.private | MS_REC, root: PROPAGATION.private },
  rprivate: { host: PROPAGATION.private | MS_REC, root: PROPAGATION.private | MS_REC },
  slave: { host: PROPAGATION.slave | MS_REC, root: PROPAGATION.slave },
  rslave: { host: PROPAGATION.slave | MS_REC, root: PROPAGATION.slave | MS_REC },
  shared: { host: PROPAGATION.shared | MS_REC, root: PROPAGATION.shared },
  rshared: { host: PROPAGATION.shared | MS_REC, root: PROPAGATION.shared | MS_REC },
  // An unbindable root could not be bound: it becomes that when all is in place.
  unbindable: { host: PROPAGATION.private | MS_REC, root: PROPAGATION.unbindable },
  runbindable: { host: PROPAGATION.private | MS_REC, root: PROPAGATION.unbindable | MS_REC },
}

export interface RootInput {
  readonly spec: Spec
  readonly namespaces: Namespaces
  /** Absolute, as is `stateDir`. */
  readonly rootfs: string
  readonly stateDir: string
  readonly noPivot: boolean
  readonly hostRoot?: HostRoot | undefined
}

/** The root is the host's own tree. */
export interface HostRoot {
  /** A directory that it can be mounted on. */
  readonly path: string
  /** Of an overlay of the file system at /; '': the whole tree, as it is. */
  readonly options: string
  /** MOUNT_ATTR_* of it, or of each mount of the tree. */
  readonly attrs: bigint
}

export interface RootPlan {
  /** MS_* of the host's mounts as the container sees them. */
  readonly propagation: bigint
  /** Outside, before the clone; and what takes it back. */
  readonly open: Plan
  readonly undo: Plan
  /** In the cloned process: makes the root and enters it. */
  readonly make: Plan
  readonly enter: Op
  /** When all that lies in it has been made. */
  readonly finish: Plan
  readonly warnings: readonly string[]
}

const PROPAGATION_POINTER = '/linux/rootfsPropagation'
const pointer = '/root/path'

const finish = (spec: Spec, propagation: bigint): Plan => {
  const attrSet = spec.root?.readonly ? MOUNT_ATTR_RDONLY : 0n
  if (attrSet === 0n && propagation === 0n) return []
  return [
    { op: 'remount-root', attrSet, propagation, pointer: attrSet === 0n ? PROPAGATION_POINTER : '/root/readonly' },
  ]
}

/**
 * Without a mount namespace of the container's own, its mounts are the host's: they are made on a bind of the root below the state
 * directory, which nobody else has a use for, so that `delete` can take them down again whatever was mounted before.
 */
const onHost = ({ rootfs, stateDir }: RootInput): Omit<RootPlan, 'propagation' | 'finish'> => {
  const mountPoint = `${stateDir}/root`
  const later = { opFlags: OP_FLAGS.keepGoing, pointer }
  return {
    open: [
      { op: 'mkdir', path: mountPoint, mode: 0o700, flags: DIR_FLAGS.existOk, pointer },
      {
        op: 'mount',
        source: rootfs,
        target: mountPoint,
        type: '',
        flags: MS_BIND | MS_REC | PROPAGATION.private,
        data: '',
        root: '',
        loop: 0,
        pointer,
      },
    ],
    undo: [
      { op: 'umount', path: mountPoint, flags: MNT_DETACH, ...later },
      { op: 'rmdir', path: mountPoint, flags: DIR_FLAGS.missingOk, ...later },
    ],
    make: [{ op: 'open-root', path: mountPoint, pointer }],
    enter: { op: 'pivot', flags: PIVOT_FLAGS.chroot, pointer },
    warnings: [
      "linux.namespaces: without a mount namespace the mounts are made in the host's, and the root is a mere chroot",
    ],
  }
}

/** A mount namespace that is joined is taken over like a new one: its root is swapped too, as runc and crun do. */
const inNamespace = ({ spec, rootfs, noPivot, hostRoot }: RootInput): Omit<RootPlan, 'propagation' | 'finish'> => {
  const { host, root } = PROPAGATIONS[spec.linux?.rootfsPropagation ?? '']
  const shared = (root & PROPAGATION.shared) !== 0n
  return {
    open: [],
    undo: [],
    make: [
      { op: 'propagation', path: '/', flags: host, pointer: PROPAGATION_POINTER },
      hostRoot
        ? { op: 'host-root', ...hostRoot, pointer }
        : { op: 'rootfs', path: rootfs, propagation: shared ? root : 0n, pointer },
    ],
    enter: { op: 'pivot', flags: noPivot ? PIVOT_FLAGS.noPivot : 0, pointer },
    warnings: [],
  }
}

export const planRoot = (input: RootInput): RootPlan => {
  const { spec, namespaces } = input
  const { host, root } = PROPAGATIONS[spec.linux?.rootfsPropagation ?? '']
  return {
    ...(namespaces.has('mount') ? inNamespace(input) : onHost(input)),
    propagation: host,
    finish: finish(spec, root),
  }
}
