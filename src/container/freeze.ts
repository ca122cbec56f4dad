/** `pause` and `resume`: the freezer of the container's cgroup. */

import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { factsPlan, readFacts } from '../plan/facts.ts'
import { freezePlan, freezerDir } from '../plan/lifecycle.ts'
import type { ContainerState } from './state.ts'
import type { Status } from './status.ts'

/** Texts as runc's: engines show them. */
export const pauseContainer = async (step: RunStep, state: ContainerState, status: Status): Promise<void> => {
  if (status !== 'running' && status !== 'created')
    throw new BerthError(
      'state',
      `container "${state.id}" cannot be paused: it is not running or created but ${status}`,
    )
  await freeze(step, state, true)
}

export const resumeContainer = async (step: RunStep, state: ContainerState, status: Status): Promise<void> => {
  if (status !== 'paused')
    throw new BerthError('state', `container "${state.id}" cannot be resumed: it is not paused but ${status}`)
  await freeze(step, state, false)
}

const freeze = async (step: RunStep, { cgroupPaths }: ContainerState, frozen: boolean): Promise<void> => {
  const facts = readFacts(await step('facts', factsPlan))
  await step(frozen ? 'freeze' : 'thaw', freezePlan(freezerDir(cgroupPaths, facts.cgroup), frozen))
}
