/** Pause and Resume: the freezer of the container's cgroup. */

import { BerthError } from '../../src/errors.ts'
import { freezePlan } from '../../src/plan/lifecycle.ts'
import type { Plan } from '../../src/plan/ops.ts'
import type { containerd } from '../proto/messages.gen.js'
import { type Method, timedStep } from './call.ts'
import { type CgroupDirs, cgroupDir, getTask, putTask } from './record.ts'
import { wrongState } from './status.ts'

const answer = new Uint8Array(0)

export const pause: Method<containerd.task.PauseRequest> = async (env, { id }, step) => {
  const { status, cgroups } = getTask(env.record(), id)
  if (status !== 'running') throw wrongState.pause(status)
  const { time } = await timedStep(step, 'freeze', plan(cgroups, true))
  return (record) => {
    const task = getTask(record, id)
    // It may have ended just before the freezer closed.
    if (task.status !== 'running') throw wrongState.pause(task.status)
    return { record: putTask(record, id, { ...task, status: 'paused' }), answer, events: [env.events.paused(time, id)] }
  }
}

export const resume: Method<containerd.task.ResumeRequest> = async (env, { id }, step) => {
  const { status, cgroups } = getTask(env.record(), id)
  if (status !== 'paused') throw wrongState.resume(status)
  const { time } = await timedStep(step, 'thaw', plan(cgroups, false))
  return (record) => {
    const task = getTask(record, id)
    const change = task.status === 'paused' ? { record: putTask(record, id, { ...task, status: 'running' }) } : {}
    return { ...change, answer, events: [env.events.resumed(time, id)] }
  }
}

const plan = (cgroups: CgroupDirs, frozen: boolean): Plan => {
  const dir = cgroupDir(cgroups, 'freezer')
  if (dir === undefined) throw new BerthError('unsupported', 'pause: this host has no cgroup freezer')
  return freezePlan(dir, frozen)
}
