/** Delete: forgets a process that has ended, and with init all of the container. */

import type { RunStep } from '../../src/controller/types.ts'
import type { Plan } from '../../src/plan/ops.ts'
import { containerd } from '../proto/messages.gen.js'
import { kept } from '../stdio.ts'
import { exitedAt } from '../time.ts'
import { type Commit, type Env, type Method, timedStep } from './call.ts'
import { dropOp, undoOp } from './create.ts'
import { type Ended, type Exit, findTask, getExec, getTask, keyOf, removeExec, removeTask } from './record.ts'
import { wrongState } from './status.ts'
import { settle } from './wait.ts'

/** How long output may still come after the process has ended: a descendant may hold the pipe for ever. */
const DRAIN_MS = 10_000
const SIGKILL = 9

const answerOf = (pid: number, exit: Exit | undefined): Uint8Array =>
  containerd.task.DeleteResponse.encode({ pid, exitStatus: exit?.status ?? 0, ...exitedAt(exit) }).finish()

export const del: Method<containerd.task.DeleteRequest> = (env, { id, execId }, step) =>
  execId === '' ? deleteTask(env, id, step) : deleteExec(env, id, execId, step)

const drain = (key: string): Plan => [{ op: 'drain', name: kept.outputPumps(key), timeoutMs: DRAIN_MS }]

const deleteExec = async (env: Env, id: string, execId: string, step: RunStep): Promise<Commit> => {
  const { status, process, pumped } = getExec(getTask(env.record(), id), execId)
  if (status === 'running') throw wrongState.delete('running')
  const key = keyOf(id, execId)
  if (process !== undefined) await step('delete', [...(pumped ? drain(key) : []), dropOp(key)])
  return (record) => {
    const { exit, waiters = [] } = getExec(getTask(record, id), execId)
    return {
      record: removeExec(record, id, execId),
      answer: answerOf(process?.pid ?? 0, exit),
      settled: settle(waiters, exit),
    }
  }
}

const deleteTask = async (env: Env, id: string, step: RunStep): Promise<Commit> => {
  const task = getTask(env.record(), id)
  if (task.status === 'running' || task.status === 'paused') throw wrongState.delete(task.status)
  const { pid } = task.process
  // What still lives in the container goes first, so that its pipes end.
  const { time } = await timedStep(step, 'delete', [undoOp(env, id), ...(task.pumped ? drain(id) : []), dropOp(id)])
  return (record) => {
    const now = findTask(record, id)
    if (now === undefined) throw wrongState.finished()
    // A parked init was killed by the plan above; the exit that the monitor reports for it finds no task any more.
    const exit = now.exit ?? { status: 128 + SIGKILL, time: String(time) }
    const untold: Ended[] = now.exit === undefined ? [{ execId: '', pid, exit, waiters: [] }] : []
    const execWaiters = Object.values(now.execs).flatMap((exec) => settle(exec.waiters ?? [], exec.exit))
    return {
      record: removeTask(record, id),
      answer: answerOf(pid, exit),
      settled: [...settle(now.waiters ?? [], exit), ...execWaiters],
      events: [...untold.map((ended) => env.events.exit(id, ended)), env.events.delete(time, id, pid, exit)],
    }
  }
}
