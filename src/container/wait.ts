/** Staying with a process of a container until it ends. */

import type { RunStep } from '../controller/types.ts'
import type { ProcessId } from './state.ts'
import { TERMINAL_NAME } from './terminal.ts'

const SLOT = 0

/** Waits for a child of the launcher, serving its terminal where it has one. The exit code a shell would give: 128 + signal. */
export const awaitProcess = async (step: RunStep, { pid }: ProcessId, terminal: boolean): Promise<number> => {
  const results = terminal
    ? await step('terminal', [
        { op: 'take', name: TERMINAL_NAME, slot: SLOT },
        { op: 'run-terminal', slot: SLOT, pid },
      ])
    : await step('await', [{ op: 'await', pid, forward: 1 }])
  return exitCode(results.u32(terminal ? 1 : 0))
}

/** wait(2)'s status as an exit code. */
export const exitCode = (waitStatus: number): number => {
  const signal = waitStatus & 0x7f
  return signal === 0 ? (waitStatus >> 8) & 0xff : 128 + signal
}
