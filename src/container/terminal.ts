/** What becomes of the master of a process's terminal. */

import { BerthError } from '../errors.ts'
import { TERMINAL_SLOT } from '../plan/create.ts'
import type { Plan } from '../plan/ops.ts'

/** The name under which a terminal's master travels to the launcher. */
export const TERMINAL_NAME = 'terminal'

const SOCKET_SLOT = 61

export interface TerminalWish {
  /** The process wants a terminal. */
  readonly terminal: boolean
  /** Nobody stays to serve it. */
  readonly detach: boolean
  /** Absolute; where the master is to be sent. */
  readonly consoleSocket: string | undefined
}

/** The operations that run once the master is in TERMINAL_SLOT. Throws for combinations that make no sense (the ones runc refuses). */
export const afterTerminal = ({ terminal, detach, consoleSocket }: TerminalWish): Plan => {
  if (terminal && detach && consoleSocket === undefined)
    throw new BerthError('invalid', 'a terminal that nobody stays to serve needs --console-socket')
  if (consoleSocket !== undefined && !(terminal && detach))
    throw new BerthError('invalid', '--console-socket needs a process with a terminal that is created detached')
  if (consoleSocket !== undefined)
    return [
      { op: 'connect', path: consoleSocket, slot: SOCKET_SLOT },
      // Receivers show or log the name that comes with the descriptor; they do not open it.
      { op: 'send-fd', to: SOCKET_SLOT, fd: TERMINAL_SLOT, data: ['/dev/ptmx'] },
      { op: 'close', slot: SOCKET_SLOT },
      { op: 'close', slot: TERMINAL_SLOT },
    ]
  return terminal ? [{ op: 'give', slot: TERMINAL_SLOT, name: TERMINAL_NAME }] : []
}
