/** The copy-on-write layer of a command on the host's root: its directories, and the operations that make them and take them away. */

import { DIR_FLAGS, OP_FLAGS, type Op, type Plan } from '../plan/ops.ts'

/** One overlay: what it lies on, and where its changes are. */
export interface Overlay {
  /** A directory of the host's, absolute. */
  readonly lower: string
  readonly upper: string
  readonly work: string
}

const MNT_DETACH = 2
const MS_NOSUID = 2n
const MS_NODEV = 4n

/** Below a container's state directory. */
const placeOf = (stateDir: string): string => `${stateDir}/layer`
export const rootOf = (stateDir: string): string => `${stateDir}/root`

export const overlayOf = (stateDir: string, index: number, lower: string): Overlay => {
  const dir = `${placeOf(stateDir)}/${index}`
  return { lower, upper: `${dir}/upper`, work: `${dir}/work` }
}

/** Of a new overlay; `user`: in a user namespace, where the kernel notes down in other attributes what it has to. */
export const overlayOptions = ({ lower, upper, work }: Overlay, user: boolean): string[] => [
  `lowerdir=${lower}`,
  `upperdir=${upper}`,
  `workdir=${work}`,
  // What is in the layer is whole: it can be looked at, and applied, without the overlay.
  ...(user ? ['userxattr'] : ['redirect_dir=off', 'index=off', 'metacopy=off']),
]

/**
 * Outside, before the process is cloned. A tmpfs of its own holds the changes, as an overlay can't keep them in what it lies on; an
 * ordinary user, who can't mount one here, has them in the run directory.
 */
export const makeLayer = (stateDir: string, overlays: readonly Overlay[], user: boolean): Plan => {
  const make = (path: string): Op => ({ op: 'mkdir', path, mode: 0o700, flags: 0 })
  return [
    make(rootOf(stateDir)),
    make(placeOf(stateDir)),
    ...(user
      ? []
      : [
          {
            op: 'mount',
            source: 'berth-layer',
            target: placeOf(stateDir),
            type: 'tmpfs',
            flags: MS_NOSUID | MS_NODEV,
            data: 'mode=700',
            root: '',
            loop: 0,
          } as const,
        ]),
    ...overlays.flatMap(
      ({ lower, upper, work }): Plan => [
        make(upper.slice(0, upper.lastIndexOf('/'))),
        make(upper),
        make(work),
        // The top of an overlay is what its upper directory is.
        { op: 'layer-attributes', upper: lower, root: upper, path: '' },
      ],
    ),
  ]
}

/** What is on it goes with the container's directory, or with the mount. */
export const removeLayer = (stateDir: string): Plan => [
  { op: 'umount', path: placeOf(stateDir), flags: MNT_DETACH, opFlags: OP_FLAGS.keepGoing },
  { op: 'rmdir', path: rootOf(stateDir), flags: DIR_FLAGS.missingOk, opFlags: OP_FLAGS.keepGoing },
]
