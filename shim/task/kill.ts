/** Kill: signals one process, or all of a container. */

import { BerthError } from '../../src/errors.ts'
import { thawPlan } from '../../src/plan/ending.ts'
import { KILL_FLAGS, type Op } from '../../src/plan/ops.ts'
import { SIGKILL } from '../../src/spec/signals.ts'
import type { containerd } from '../proto/messages.gen.js'
import type { Method } from './call.ts'
import { type CgroupDirs, getProcess, getTask } from './record.ts'
import { wrongState } from './status.ts'

const ESRCH = 3
const answer = new Uint8Array(0)

/** Signals every process of the container. One directory is enough: each process is in every hierarchy's. */
export const killAllOp = ({ all }: CgroupDirs, signal: number): Op[] => {
  const [path] = all
  return path === undefined ? [] : [{ op: 'kill-cgroup', path, signal, flags: KILL_FLAGS.missingOk }]
}

export const kill: Method<containerd.task.KillRequest> = async (env, { id, execId, signal, all }, step) => {
  const task = getTask(env.record(), id)
  const target = getProcess(env.record(), id, execId)
  if (target.process?.pid === 0) throw wrongState.notCreated()
  // Not for an exec: the others would run on with it.
  const thaw = task.status === 'paused' && signal === SIGKILL && execId === '' ? thawPlan(task.cgroups.all) : []
  if (all && execId === '') {
    // After init's end too: in a shared pid namespace the others may live on.
    await step('kill', [...killAllOp(task.cgroups, signal), ...thaw], answer)
    return () => ({ answer })
  }
  if (target.exit !== undefined) throw wrongState.finished()
  if (target.process === undefined) throw wrongState.notCreated()
  const { pid, start } = target.process
  try {
    await step('kill', [{ op: 'kill', pid, start: BigInt(start), signal, flags: 0 }, ...thaw], answer)
  } catch (error) {
    if (error instanceof BerthError && error.errno === ESRCH) throw wrongState.finished()
    throw error
  }
  return () => ({ answer })
}
