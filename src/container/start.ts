/** `start`: lets the parked init go. */

import { ERRNO } from '../controller/errno.ts'
import { attemptError } from '../controller/steps.ts'
import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { fillHoles } from '../plan/lifecycle.ts'
import { KILL_FLAGS, OP_FLAGS, type Plan } from '../plan/ops.ts'
import { SIGKILL } from '../spec/signals.ts'
import type { ContainerPaths } from './layout.ts'
import { startPlan } from './prepared.ts'
import type { ContainerState } from './state.ts'
import type { Status } from './status.ts'

/** In runc's words, which people and tests look for. */
const WHY_NOT: Readonly<Record<Exclude<Status, 'created'>, string>> = {
  creating: 'a container that is still being created',
  running: 'an already running container',
  paused: 'a container in the paused state',
  stopped: 'a container that has stopped',
}

export const checkStartable = (id: string, status: Status): void => {
  if (status === 'created') return
  throw new BerthError('state', `cannot start ${WHY_NOT[status]}: "${id}"`, { subject: id })
}

interface StartOptions {
  readonly around?: (plan: Plan) => Plan
  /** The monitor has tried what was prepared (prepared.ts), and this came of it. */
  readonly attempt?: Uint8Array | undefined
}

/**
 * Runs the start plan in the monitor. Any failure ends the container: execve did not happen, or a hook failed.
 */
export const startContainer = async (
  step: RunStep,
  paths: ContainerPaths,
  state: ContainerState,
  start: Plan,
  { around = (plan) => plan, attempt }: StartOptions = {},
): Promise<void> => {
  const { pid, startTime } = state.init
  try {
    if (attempt !== undefined) throw attemptError(startPlan(paths, start), attempt)
    await step('start', [
      { op: 'lock', path: paths.lock },
      ...around([{ op: 'remote', socket: paths.socket, plan: fillHoles(start, state.init) }]),
    ])
  } catch (error) {
    if (error instanceof BerthError && error.op === 'lock')
      throw new BerthError('state', `container "${state.id}" is being started by another command`, { cause: error })
    // Another start was quicker, and what it has let go is not this one's to end.
    if (error instanceof BerthError && error.op === 'resume' && error.errno === ERRNO.EALREADY)
      checkStartable(state.id, 'running')
    await step('stop', [
      { op: 'kill', pid, start: startTime, signal: SIGKILL, flags: KILL_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate },
      { op: 'wait-exit', pid, start: startTime, timeoutMs: 10_000, opFlags: OP_FLAGS.tolerate },
    ])
    throw error
  }
}
