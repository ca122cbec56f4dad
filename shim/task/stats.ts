/** Stats: the figures of the container's cgroup, in the form of the host's kind of hierarchy. */

import { readFigures } from '../../src/container/figures.ts'
import { containerd } from '../proto/messages.gen.js'
import type { Method } from './call.ts'
import { cgroupDir, getTask } from './record.ts'

export const stats: Method<containerd.task.StatsRequest> = async (env, { id }, step) => {
  const { cgroups } = getTask(env.record(), id)
  // No create loads them.
  const { TYPE, FILES, encode } = await (cgroups.version === 2
    ? import('../metrics/v2.ts')
    : import('../metrics/v1.ts'))
  const file = await readFigures(step, FILES, (controller) => cgroupDir(cgroups, controller))
  const any = { typeUrl: TYPE, value: encode(file) }
  const answer = containerd.task.StatsResponse.encode({ stats: any }).finish()
  return (record) => {
    getTask(record, id)
    return { answer }
  }
}
