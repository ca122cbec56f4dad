/** Start: lets a parked init go, or makes the process of an exec. */

import { inUndivided } from '../../src/container/divided.ts'
import type { RunStep } from '../../src/controller/types.ts'
import { KILL_FLAGS, NO_SLOT, type Plan, REPORTS } from '../../src/plan/ops.ts'
import { TERMINAL_SLOT } from '../../src/plan/terminal.ts'
import { SIGKILL } from '../../src/spec/signals.ts'
import { undoLoggers } from '../logger.ts'
import { containerd } from '../proto/messages.gen.js'
import { pipeOwner, stdinPlan, stdioPlan } from '../stdio.ts'
import { type Commit, type Env, type Method, type Step, timedStep } from './call.ts'
import { dropOp, loggedOf, readConfig, taskDir } from './create.ts'
import { knownConfig } from './known.ts'
import {
  type Exec,
  findExec,
  findTask,
  getExec,
  getTask,
  keyOf,
  putExec,
  putTask,
  type Running,
  type Task,
} from './record.ts'
import { execFailed, startFailed, wrongState } from './status.ts'
import { settle } from './wait.ts'

type Request = containerd.task.StartRequest

const answer = (pid: number): Uint8Array => containerd.task.StartResponse.encode({ pid }).finish()

export const start: Method<Request> = (env, request, step) =>
  request.execId === '' ? startInit(env, request.id, step) : startExec(env, request.id, request.execId, step)

const startInit = async (env: Env, id: string, step: Step): Promise<Commit> => {
  const task = getTask(env.record(), id)
  if (task.status !== 'created') throw wrongState.start(task.status)
  const { checkpoint } = task
  if (checkpoint !== undefined)
    return (await import('./restore.ts')).startRestored(env, id, { ...task, checkpoint }, step)
  const { pid } = task.process
  try {
    const plan = [...stdinPlan(keyOf(id, ''), task.stdio, task.stdinClosed), ...(await startPlan(env, id, task, step))]
    const { time } = await timedStep(step, 'start', plan, answer(pid))
    return (record) => {
      const { stdinClosed: _, ...now } = getTask(record, id)
      return {
        record: putTask(record, id, { ...now, status: 'running' }),
        answer: answer(pid),
        events: [env.events.start(time, id, pid)],
      }
    }
  } catch (error) {
    // A failed start (a hook's, or execve's) must leave a task that ends: clients wait for its exit before they delete it.
    await step('kill', [killOp(task.process)]).catch(() => undefined)
    throw startFailed(error)
  }
}

const killOp = ({ pid, start }: Running) =>
  ({ op: 'kill', pid, start: BigInt(start), signal: SIGKILL, flags: KILL_FLAGS.missingOk }) as const

const startPlan = async (env: Env, id: string, task: Task, step: RunStep): Promise<Plan> => {
  if (!task.hooks) return [{ op: 'resume', key: keyOf(id, ''), until: REPORTS.exec, slot: NO_SLOT }]
  const { bundle, process, stdio } = task
  const { spec } = await readConfig(env, bundle, stdio.terminal, step)
  const plan = env.compiler.startPlan(spec, id, bundle, keyOf(id, ''))
  return env.compiler.fillHoles(plan, { pid: process.pid, startTime: BigInt(process.start) })
}

const startExec = async (env: Env, id: string, execId: string, step: RunStep): Promise<Commit> => {
  const task = getTask(env.record(), id)
  const exec = getExec(task, execId)
  if (exec.status !== 'added') throw wrongState.start(exec.status === 'running' ? 'running' : 'stopped')
  if (task.exit !== undefined || task.pending !== undefined) throw wrongState.initNotRunning(id)
  // A frozen cgroup would hold the process before its execve, and this request with it.
  if (task.status === 'paused') return notStarted(id, execId, wrongState.execPaused())
  try {
    const { process, time, io } = await runExec(env, id, execId, task, exec, step)
    return (record) => {
      const { spec: _, stdinClosed: _closed, size: _size, ...now } = getExec(getTask(record, id), execId)
      const output = { ...(io.pumped ? { pumped: true } : {}), ...(io.logged ? { logged: true } : {}) }
      const started: Exec = { ...now, status: 'running', process, ...output }
      return {
        record: putExec(record, id, execId, started),
        answer: answer(process.pid),
        events: [env.events.execStarted(time, id, execId, process.pid)],
      }
    }
  } catch (error) {
    const undo = [dropOp(keyOf(id, execId)), undoLoggers(taskDir(env, id), execId)]
    await step('undo', undo).catch(() => undefined)
    return notStarted(id, execId, execFailed(error))
  }
}

/** An error is the answer, and yet the record changes: Waits for a process that never was have to end. */
const notStarted =
  (id: string, execId: string, error: Error): Commit =>
  (record) => {
    const task = findTask(record, id)
    const exec = task && findExec(task, execId)
    if (exec === undefined) return { error }
    const { spec: _, waiters = [], ...rest } = exec
    return {
      error,
      record: putExec(record, id, execId, { ...rest, status: 'failed' }),
      settled: settle(waiters, undefined),
    }
  }

const runExec = async (env: Env, id: string, execId: string, task: Task, exec: Exec, step: RunStep) => {
  const { spec, facts, arch, confinement } = await knownConfig(env, id, task, step)
  const key = keyOf(id, execId)
  const { stdio, stdinClosed, size } = exec
  const loaded = env.compiler.loadProcess(new TextEncoder().encode(exec.spec)).process
  const io = stdioPlan({
    key,
    stdio,
    direct: false,
    options: task.options,
    logged: loggedOf(env, id, execId),
    owner: pipeOwner(spec, loaded.user),
    terminalSlot: TERMINAL_SLOT,
    ...(stdinClosed ? { stdinClosed } : {}),
    ...(size === undefined ? {} : { size }),
  })
  return await inUndivided(step, facts, task.process.pid, task.cgroups.all, async (cgroupPaths, name) => {
    const compiled = env.compiler.compileExec({
      id,
      bundle: task.bundle,
      stateDir: taskDir(env, id),
      key,
      process: env.compiler.limitProcess({ ...loaded, terminal: stdio.terminal }, confinement),
      confinement,
      init: { pid: task.process.pid, start: BigInt(task.process.start) },
      spec,
      cgroupPaths,
      facts,
      stdio: io.slots,
      preserveFds: 0,
      afterTerminal: io.afterTerminal,
      arch,
    })
    const plan = [...io.open, ...stdinPlan(key, stdio, stdinClosed), ...compiled]
    const clone = plan.findIndex((op) => op.op === 'clone' && op.key === key)
    const { results, time } = await timedStep(step, name, plan)
    return { process: { pid: results.u32(clone), start: String(results.u64(clone, 4)) }, time, io }
  })
}
