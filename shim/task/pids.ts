/** Pids: every process in the container's cgroup and those below it. */

import type { RunStep } from '../../src/controller/types.ts'
import { containerd } from '../proto/messages.gen.js'
import { readBelow } from './below.ts'
import type { Method } from './call.ts'
import { type CgroupDirs, cgroupDir, getTask, type Task } from './record.ts'

export const pids: Method<containerd.task.PidsRequest> = async (env, { id }, step) => {
  const task = getTask(env.record(), id)
  const found = await cgroupPids(task.cgroups, step)
  const execs = execPids(task)
  const processes = found.map((pid) => {
    const execId = execs.get(pid)
    return execId === undefined ? { pid } : { pid, info: details(execId) }
  })
  const answer = containerd.task.PidsResponse.encode({ processes }).finish()
  return (record) => {
    getTask(record, id)
    return { answer }
  }
}

const details = (execId: string) => ({
  typeUrl: 'containerd.runc.v1.ProcessDetails',
  value: containerd.options.ProcessDetails.encode({ execId }).finish(),
})

const execPids = ({ execs }: Task): Map<number, string> =>
  new Map(Object.entries(execs).flatMap(([execId, { process }]) => (process ? [[process.pid, execId] as const] : [])))

/** The hierarchy that containers are least likely to move around in. */
const leaf = (cgroups: CgroupDirs): string | undefined =>
  cgroupDir(cgroups, 'pids') ?? cgroupDir(cgroups, 'memory') ?? cgroups.all[0]

const cgroupPids = async (cgroups: CgroupDirs, step: RunStep): Promise<number[]> => {
  const top = leaf(cgroups)
  const texts = top === undefined ? [] : await readBelow(step, 'level', top, 'cgroup.procs')
  const found = new Set(texts.flatMap((text) => text.split('\n').filter((line) => line !== '')).map(Number))
  return [...found].sort((a, b) => a - b)
}
