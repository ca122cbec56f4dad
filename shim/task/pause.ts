/** Pause and Resume: the freezer of the container's cgroup. */

import type { RunStep } from '../../src/controller/types.ts'
import { BerthError } from '../../src/errors.ts'
import type { Op } from '../../src/plan/ops.ts'
import type { containerd } from '../proto/messages.gen.js'
import { type Method, timedStep } from './call.ts'
import { type CgroupDirs, cgroupDir, getTask, putTask } from './record.ts'
import { wrongState } from './status.ts'

/** Looks at the state before it is given up: a process in an uninterruptible sleep can't be frozen. */
const TRIES = 100
const answer = new Uint8Array(0)

export const pause: Method<containerd.task.PauseRequest> = async (env, { id }, step) => {
  const { status, cgroups } = getTask(env.record(), id)
  if (status !== 'running') throw wrongState.pause(status)
  await freeze(cgroups, step)
  const { time } = await timedStep(step, 'paused', [])
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
  const { time } = await timedStep(step, 'thaw', [freezer(cgroups).thaw])
  return (record) => {
    const task = getTask(record, id)
    const change = task.status === 'paused' ? { record: putTask(record, id, { ...task, status: 'running' }) } : {}
    return { ...change, answer, events: [env.events.resumed(time, id)] }
  }
}

const freezer = (cgroups: CgroupDirs) => {
  const path = cgroupDir(cgroups, 'freezer')
  if (path === undefined) throw new BerthError('unsupported', 'pause: this host has no cgroup freezer')
  const write = (name: string, text: string): Op => ({
    op: 'write',
    path: `${path}/${name}`,
    data: [text],
    flags: 0,
    mode: 0,
  })
  const read = (name: string): Op => ({ op: 'read', path: `${path}/${name}`, max: 4096, flags: 0 })
  return cgroups.version === 2
    ? {
        freeze: write('cgroup.freeze', '1'),
        thaw: write('cgroup.freeze', '0'),
        look: read('cgroup.events'),
        frozen: /^frozen 1$/m,
      }
    : {
        freeze: write('freezer.state', 'FROZEN'),
        thaw: write('freezer.state', 'THAWED'),
        look: read('freezer.state'),
        frozen: /^FROZEN$/m,
      }
}

const freeze = async (cgroups: CgroupDirs, step: RunStep): Promise<void> => {
  const { freeze: close, thaw, look, frozen } = freezer(cgroups)
  for (let attempt = 0; attempt < TRIES; attempt++) {
    // v1 looks at each process only when it is written: one that forked meanwhile needs another write.
    const results = await step(`freeze ${attempt}`, [close, look])
    if (frozen.test(results.text(1) ?? '')) return
  }
  await step('thaw', [thaw])
  throw new BerthError('failed', 'pause: the container can not be frozen')
}
