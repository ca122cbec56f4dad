/** Stats: the figures of the container's cgroup, in the form of the host's kind of hierarchy. */

import { OP_FLAGS, READ_FLAGS } from '../../src/plan/ops.ts'
import { encodeV1, V1_FILES, V1_TYPE } from '../metrics/v1.ts'
import { encodeV2, V2_FILES, V2_TYPE } from '../metrics/v2.ts'
import { containerd } from '../proto/messages.gen.js'
import type { Method } from './call.ts'
import { type CgroupDirs, cgroupDir, getTask } from './record.ts'

const MAX = 1 << 20

/** The files to read: path and name. */
const files = (cgroups: CgroupDirs): { readonly path: string; readonly name: string }[] => {
  if (cgroups.version === 2) return V2_FILES.map((name) => ({ path: `${cgroups.all[0]}/${name}`, name }))
  return V1_FILES.flatMap(([controller, name]) => {
    const dir = cgroupDir(cgroups, controller)
    return dir === undefined ? [] : [{ path: `${dir}/${name}`, name }]
  })
}

export const stats: Method<containerd.task.StatsRequest> = async (env, { id }, step) => {
  const { cgroups } = getTask(env.record(), id)
  const wanted = files(cgroups)
  const results = await step(
    'stats',
    // Tolerated: kernels and controllers differ in what they have, and some refuse to be read (EOPNOTSUPP).
    wanted.map(({ path }) => ({ op: 'read', path, max: MAX, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate })),
  )
  const texts = new Map(wanted.map(({ name }, index) => [name, results.text(index)]))
  const file = (name: string) => texts.get(name)
  const any =
    cgroups.version === 2 ? { typeUrl: V2_TYPE, value: encodeV2(file) } : { typeUrl: V1_TYPE, value: encodeV1(file) }
  const answer = containerd.task.StatsResponse.encode({ stats: any }).finish()
  return (record) => {
    getTask(record, id)
    return { answer }
  }
}
