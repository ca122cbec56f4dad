/** Where a container of the command line keeps its files: docs/internals.md, "Files". */

import { posix } from 'node:path'

/** Of a config.json, in bytes. */
export const MAX_CONFIG = 16 << 20

export interface ContainerPaths {
  readonly dir: string
  readonly state: string
  readonly config: string
  readonly undo: string
  /** Plan that removes a container that has ended, for whoever has no controller at hand. */
  readonly delete: string
  readonly socket: string
  readonly exit: string
  /** Held by `start`, which must not run twice at a time. */
  readonly lock: string
  /** Shown to a container whose maker was to be told when it is ready. */
  readonly notify: string
}

/** `id` has passed `checkId`, so it is one component and never `.` or `..`. */
export const containerPaths = (root: string, id: string): ContainerPaths => {
  const dir = posix.join(root, id)
  return {
    dir,
    state: `${dir}/state.json`,
    config: `${dir}/config.json`,
    undo: `${dir}/undo`,
    delete: `${dir}/delete`,
    socket: `${dir}/monitor.sock`,
    exit: `${dir}/exit.json`,
    lock: `${dir}/lock`,
    notify: `${dir}/notify`,
  }
}

/** Held by who applies changes of a layer to the host. */
export const commitLock = (runDir: string): string => posix.join(runDir, '.controller', 'commit.lock')

/** The name under which a monitor holds the container's init. */
export const INIT_KEY = 'init'
