/**
 * Plans for logging programs (binary:// and binary-v2://): each runs beside its container from before that is made until it is deleted, and
 * reads its output from pipes. Who they are is on disk before they run, so that whoever removes the container ends them too.
 */

import { join } from 'node:path'
import { DIR_FLAGS, type Op, type Plan } from '../src/plan/ops.ts'
import type { Logger } from './output.ts'

/** How long one may take until it is ready; the reference sets no limit. */
const READY_MS = 10_000
/** How long what is in its pipes may wait to be read. */
const READ_MS = 10_000
/** One that reads to the end of its pipes ends by itself: SIGTERM would make it lose what it has not written yet. */
const EOF_MS = 500
/** As the reference. */
const TERM_MS = 12_000
/** Where a container is removed because something failed; containerd's `delete` call has 5 s for everything. */
const UNDO_TERM_MS = 1500

const recordsDir = (taskDir: string): string => join(taskDir, 'loggers')
/** No id ends so that one record's name would be another's while that is being written (`…new`). */
const recordOf = (taskDir: string, execId: string): string =>
  join(recordsDir(taskDir), execId === '' ? 'init' : `${execId}.exec`)

/** Whose output it takes. */
export interface Logged {
  readonly taskDir: string
  readonly id: string
  /** Empty for init. */
  readonly execId: string
  readonly namespace: string
}

/** Starts it, with the read ends in these registers. */
export const startLogger = (
  { taskDir, id, execId, namespace }: Logged,
  { path, args, strict }: Logger,
  fds: readonly number[],
): Plan => [
  { op: 'mkdir', path: recordsDir(taskDir), mode: 0o700, flags: DIR_FLAGS.existOk },
  {
    op: 'spawn',
    path,
    args: [path, ...args],
    env: [`CONTAINER_ID=${execId === '' ? id : execId}`, `CONTAINER_NAMESPACE=${namespace}`],
    fds,
    record: recordOf(taskDir, execId),
    byte: strict ? 1 : 0,
    timeoutMs: READY_MS,
  },
]

/** Waits until what is in pipes that are kept under these names has been read. */
export const readOut = (names: readonly string[]): Plan =>
  names.map((name): Op => ({ op: 'wait-read', name, timeoutMs: READ_MS }))

/** Ends that of one process, whose pipes have been closed. */
export const endLogger = (taskDir: string, execId: string): Op => ({
  op: 'end-spawned',
  path: recordOf(taskDir, execId),
  eofMs: EOF_MS,
  termMs: TERM_MS,
})

/** Ends all of a container's, or of one exec, as something failed. */
export const undoLoggers = (taskDir: string, execId?: string): Op => ({
  op: 'end-spawned',
  path: execId === undefined ? recordsDir(taskDir) : recordOf(taskDir, execId),
  eofMs: EOF_MS,
  termMs: UNDO_TERM_MS,
})
