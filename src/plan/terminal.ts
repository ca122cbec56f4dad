/** Standard input, output and error: descriptors that are handed over, or a new terminal. */

import type { Process } from '../spec/types.ts'
import { NO_SLOT, type Op, type Plan, REPORTS } from './ops.ts'

/** The slot that holds the terminal's master when `afterTerminal` runs. */
export const TERMINAL_SLOT = 60

export type StdioSlots = readonly [number, number, number]

/** Inside. `console`: the terminal is also the container's /dev/console. */
export const planStdio = (process: Process, stdio: StdioSlots, console: boolean): Op =>
  process.terminal
    ? {
        op: 'terminal',
        rows: process.consoleSize?.height ?? 0,
        cols: process.consoleSize?.width ?? 0,
        console: console ? 1 : 0,
        pointer: '/process/terminal',
      }
    : { op: 'stdio', in: stdio[0], out: stdio[1], err: stdio[2], pointer: '/process' }

/** Outside: takes the terminal's master when the process reports it. */
export const receiveTerminal = (process: Process, key: string, afterTerminal: Plan): Op[] =>
  process.terminal
    ? [
        { op: 'resume', key, until: REPORTS.sync, slot: TERMINAL_SLOT, pointer: '/process/terminal' },
        ...afterTerminal,
        { op: 'close', slot: TERMINAL_SLOT },
      ]
    : []

/** Outside: lets the process run until it reports `until`. */
export const resume = (key: string, until: keyof typeof REPORTS, pointer: string): Op => ({
  op: 'resume',
  key,
  until: REPORTS[until],
  slot: NO_SLOT,
  pointer,
})
