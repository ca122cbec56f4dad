/** Delete: forgets a process that has ended, and with init all of the container. */

import type { RunStep } from '../../src/controller/types.ts'
import type { Plan } from '../../src/plan/ops.ts'
import { SIGKILL } from '../../src/spec/signals.ts'
import { endLogger, readOut } from '../logger.ts'
import { containerd } from '../proto/messages.gen.js'
import { kept, loggedPipes } from '../stdio.ts'
import { exitedAt } from '../time.ts'
import { type Commit, type Env, type Method, type Step, timedStep } from './call.ts'
import { dropOp, taskDir, undoOp } from './create.ts'
import {
  type Ended,
  type Exit,
  findTask,
  getExec,
  getTask,
  keyOf,
  removeExec,
  removeTask,
  type Task,
} from './record.ts'
import { wrongState } from './status.ts'
import { settle } from './wait.ts'

/** How long a client that does not read its output may hold up a Delete, as with runc's shim: init's are the container's last words. */
const DRAIN_MS = { init: 10_000, exec: 2000 } as const

const answerOf = (pid: number, exit: Exit | undefined): Uint8Array =>
  containerd.task.DeleteResponse.encode({ pid, exitStatus: exit?.status ?? 0, ...exitedAt(exit) }).finish()

export const del: Method<containerd.task.DeleteRequest> = (env, { id, execId }, step) =>
  execId === '' ? deleteTask(env, id, step) : deleteExec(env, id, execId, step)

/** What the process has written goes where it is to go, and what the monitor keeps for the process is closed. */
const letGo = (key: string, output: Output, timeoutMs: number): Plan => [...letOut(key, output, timeoutMs), dropOp(key)]

interface Output {
  readonly pumped?: boolean
  readonly logged?: boolean
}

const letOut = (key: string, { pumped, logged }: Output, timeoutMs: number): Plan => {
  const pumps = kept.outputPumps(key)
  return [
    ...(pumped ? ([{ op: 'drain', name: pumps, timeoutMs }] as const) : []),
    // Some read one output to its end before the other.
    ...(logged ? [dropOp(pumps), ...readOut(loggedPipes(key))] : []),
  ]
}

const deleteExec = async (env: Env, id: string, execId: string, step: RunStep): Promise<Commit> => {
  const exec = getExec(getTask(env.record(), id), execId)
  const { status, process, logged } = exec
  if (status === 'running') throw wrongState.delete('running')
  const key = keyOf(id, execId)
  const before = process === undefined ? [] : letOut(key, exec, DRAIN_MS.exec)
  const end = process !== undefined && logged ? [dropOp(key), endLogger(taskDir(env, id), execId)] : []
  // Where it has nothing to wait for it takes no step.
  if (before.length > 0 || end.length > 0) await step('delete', [...before, ...end])
  return (record) => {
    const { exit, waiters = [] } = getExec(getTask(record, id), execId)
    return {
      record: removeExec(record, id, execId),
      answer: answerOf(process?.pid ?? 0, exit),
      settled: settle(waiters, exit),
      drops: [key],
    }
  }
}

/** What still lives in the container goes first, so that its pipes end; but a logging program has more time than the undo plan gives it. */
const removal = (env: Env, id: string, task: Task): Plan =>
  task.logged
    ? [...letGo(id, task, DRAIN_MS.init), endLogger(taskDir(env, id), ''), undoOp(env, id)]
    : [undoOp(env, id), ...letGo(id, task, DRAIN_MS.init)]

const deleteTask = async (env: Env, id: string, step: Step): Promise<Commit> => {
  const task = getTask(env.record(), id)
  if (task.status === 'running' || task.status === 'paused') throw wrongState.delete(task.status)
  const { pid } = task.process
  // Where the end is known, so is the answer.
  const known = task.exit && answerOf(pid, task.exit)
  const { time } = await timedStep(step, 'delete', removal(env, id, task), known)
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
