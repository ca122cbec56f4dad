/** Stats: the figures of the container's cgroup, in the form of the host's kind of hierarchy. */

import { readFigures } from '../../src/container/figures.ts'
import { encodeV1, V1_FILES, V1_TYPE } from '../metrics/v1.ts'
import { encodeV2, V2_FILES, V2_TYPE } from '../metrics/v2.ts'
import { containerd } from '../proto/messages.gen.js'
import type { Method } from './call.ts'
import { cgroupDir, getTask } from './record.ts'

export const stats: Method<containerd.task.StatsRequest> = async (env, { id }, step) => {
  const { cgroups } = getTask(env.record(), id)
  const files = cgroups.version === 2 ? V2_FILES : V1_FILES
  const file = await readFigures(step, files, (controller) => cgroupDir(cgroups, controller))
  const any =
    cgroups.version === 2 ? { typeUrl: V2_TYPE, value: encodeV2(file) } : { typeUrl: V1_TYPE, value: encodeV1(file) }
  const answer = containerd.task.StatsResponse.encode({ stats: any }).finish()
  return (record) => {
    getTask(record, id)
    return { answer }
  }
}
