/** Signals to a container. */

import type { RunStep } from '../controller/types.ts'
import { thawPlan } from '../plan/ending.ts'
import { KILL_FLAGS, type Op, type Plan } from '../plan/ops.ts'
import { SIGKILL } from '../spec/signals.ts'
import { processesOf } from './processes.ts'
import type { ContainerState } from './state.ts'
import type { Status } from './status.ts'

/** What the image wants to be stopped with (config.md, annotations). */
export const STOP_SIGNAL = 'org.opencontainers.image.stopSignal'

/** To the init. */
export const killPlan = ({ init, cgroupPaths }: ContainerState, status: Status, signal: number): Plan => [
  { op: 'kill', pid: init.pid, start: init.startTime, signal, flags: 0 },
  ...(signal === SIGKILL && status === 'paused' ? thawPlan(cgroupPaths) : []),
]

/** To all processes of the container, however they are found. */
export const killAll = async (step: RunStep, state: ContainerState, status: Status, signal: number): Promise<void> => {
  if (state.cgroupPaths.length > 0) {
    await step('kill', killAllPlan(state, status, signal))
    return
  }
  const { init } = state
  const toInit: Op = { op: 'kill', pid: init.pid, start: init.startTime, signal, flags: KILL_FLAGS.missingOk }
  // A pid namespace ends with its init.
  if (signal === SIGKILL) await step('kill', [toInit])
  else {
    const pids = (await processesOf(step, state)).filter((pid) => pid !== init.pid)
    await step('kill', [
      ...pids.map((pid): Op => ({ op: 'kill', pid, start: 0n, signal, flags: KILL_FLAGS.missingOk })),
      toInit,
    ])
  }
}

/** To each process of the container: those in its cgroups, which is all of them also where the pid namespace is shared. */
const killAllPlan = ({ cgroupPaths }: ContainerState, status: Status, signal: number): Plan => [
  ...cgroupPaths.slice(0, 1).map((path): Op => ({ op: 'kill-cgroup', path, signal, flags: KILL_FLAGS.missingOk })),
  ...(signal === SIGKILL && status === 'paused' ? thawPlan(cgroupPaths) : []),
]
