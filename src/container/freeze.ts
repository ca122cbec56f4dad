/** `pause` and `resume`: the freezer of the container's cgroup. */

import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { factsPlan, readFacts } from '../plan/facts.ts'
import { freezePlan, freezerDir } from '../plan/lifecycle.ts'
import type { ContainerState } from './state.ts'
import type { Status } from './status.ts'

/** Texts as runc's, which people and tests look for. */
export const pauseContainer = async (step: RunStep, state: ContainerState, status: Status): Promise<void> => {
  if (status !== 'running' && status !== 'created')
    throw new BerthError('state', `container not running: "${state.id}" is ${status}`, { subject: state.id })
  await freeze(step, state, true)
}

export const resumeContainer = async (step: RunStep, state: ContainerState, status: Status): Promise<void> => {
  if (status !== 'paused')
    throw new BerthError('state', `container not paused: "${state.id}" is ${status}`, { subject: state.id })
  await freeze(step, state, false)
}

const freeze = async (step: RunStep, { cgroupPaths }: ContainerState, frozen: boolean): Promise<void> => {
  const facts = readFacts(await step('facts', factsPlan))
  await step(frozen ? 'freeze' : 'thaw', freezePlan(freezerDir(cgroupPaths, facts.cgroup), frozen))
}
