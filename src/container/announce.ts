/** How a caller learns which process it got: a file with its pid, a socket that is sent its pidfd. */

import { type Op, type Plan, type TemplatePart, WRITE_FLAGS } from '../plan/ops.ts'
import type { ProcessId } from './state.ts'

const PIDFD_SLOT = 62
const SOCKET_SLOT = 61

export interface Announcement {
  /** Absolute, both. */
  readonly pidFile: string | undefined
  readonly pidfdSocket: string | undefined
}

/** What comes with the pidfd, as runc has it: whether the process is a container's first one. */
export type PidfdKind = 'standard' | 'setns'

/** For the plan that clones the process. Last, and whole or not at all: an engine takes a pid file that is there for the word that all is well. */
export const announcePid = ({ pidFile }: Announcement): Plan =>
  pidFile === undefined ? [] : [pidFileOp(pidFile, { hole: 'pid' })]

export const announcePidfd = ({ pidfdSocket }: Announcement, kind: PidfdKind, process: ProcessId): Plan =>
  pidfdSocket === undefined ? [] : sendPidfd(pidfdSocket, kind, process)

const pidFileOp = (path: string, pid: TemplatePart): Op => ({
  op: 'write',
  path,
  data: [pid],
  flags: WRITE_FLAGS.create | WRITE_FLAGS.atomic,
  mode: 0o644,
})

const sendPidfd = (path: string, kind: PidfdKind, { pid, startTime }: ProcessId): Plan => [
  { op: 'connect', path, slot: SOCKET_SLOT },
  { op: 'pidfd', pid, start: startTime, slot: PIDFD_SLOT },
  { op: 'send-fd', to: SOCKET_SLOT, fd: PIDFD_SLOT, data: [kind] },
  { op: 'close', slot: PIDFD_SLOT },
  { op: 'close', slot: SOCKET_SLOT },
]
