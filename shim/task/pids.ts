/**
 * Pids: every process in the container's cgroup and those below it. Of a task that has ended, init's, as State tells it: containerd 1.7 and
 * later ask at their start, and take a shim without any pid for one that never had a task, so that the exit code would be lost.
 */

import type { RunStep } from '../../src/controller/types.ts'
import { containerd } from '../proto/messages.gen.js'
import { readBelow } from './below.ts'
import type { Method } from './call.ts'
import { type CgroupDirs, cgroupDir, getTask, type Task } from './record.ts'

export const pids: Method<containerd.task.PidsRequest> = async (env, { id }, step) => {
  const task = getTask(env.record(), id)
  const found = await cgroupPids(task.cgroups, step)
  const execs = execPids(task)
  const ended = found.length === 0 && task.status === 'stopped'
  const processes = (ended ? [task.process.pid] : found).map((pid) => {
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
