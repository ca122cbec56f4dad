/** Starting a container and staying with it. */

import type { CommandRequest, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import type { Created } from './create.ts'
import { notifyPlan } from './notify.ts'
import { startContainer } from './start.ts'
import { awaitProcess } from './wait.ts'

/** Its exit code, 0 where nobody waits for it. A container that can't be started is removed. */
export const startAndWait = async (
  step: RunStep,
  request: CommandRequest,
  { paths, state, compiled, spec, remove }: Created,
  detach: boolean,
): Promise<number> => {
  try {
    const around = await notifyPlan(step, request, paths, state, detach)
    await startContainer(step, paths, state, compiled.start, { around })
  } catch (error) {
    // Another command was quicker: what that has started is not ended here.
    if (!(error instanceof BerthError && error.kind === 'state')) await remove()
    throw error
  }
  return detach ? 0 : await awaitProcess(step, state.init, spec.process?.terminal ?? false)
}
