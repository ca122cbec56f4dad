/** A task whose processes come from a checkpoint: Create made what needs none of them, Start restores them. */

import { join } from 'node:path'
import type { RunStep } from '../../src/controller/types.ts'
import { readImage } from '../../src/criu/image.ts'
import { explained } from '../../src/criu/log.ts'
import { findCriu } from '../../src/criu/program.ts'
import type { Compiled, CreateInput } from '../../src/plan/create.ts'
import type { Plan } from '../../src/plan/ops.ts'
import { compileRestore, RESTORE_LOG } from '../../src/plan/restore.ts'
import { keptPolicies } from '../../src/policy/kept.ts'
import type { NodeFile } from '../../src/policy/source.ts'
import { SIGKILL } from '../../src/spec/signals.ts'
import { containerd } from '../proto/messages.gen.js'
import { type Commit, type Env, timedStep } from './call.ts'
import { compileTask, dropOp, keepGoing, processFiles, processOf, taskDir } from './create.ts'
import { watchOomOp } from './oom.ts'
import { getTask, putTask, type Task, type TaskOptions } from './record.ts'
import { startFailed } from './status.ts'
import { settle } from './wait.ts'

/** CRIU's log, for a container that has no other place for it. */
export const workDir = (stateDir: string, { criuWorkPath }: TaskOptions): string =>
  criuWorkPath ?? join(stateDir, 'criu.work')

export const compile = async (
  input: CreateInput,
  checkpoint: string,
  options: TaskOptions,
  node: NodeFile,
  step: RunStep,
): Promise<Compiled> => {
  const restore = {
    criu: await findCriu(step, options.criuPath, node),
    image: await readImage(step, checkpoint),
    work: workDir(input.stateDir, options),
    options: {},
  }
  return compileRestore({ ...input, restore })
}

export const startRestored = async (
  env: Env,
  id: string,
  task: Task & { readonly checkpoint: string },
  step: RunStep,
): Promise<Commit> => {
  const { bundle, stdio, options, checkpoint } = task
  const confinement = () => keptPolicies(step, taskDir(env, id), task)
  let undo: Plan = []
  try {
    const wish = { id, bundle, stdio, checkpoint, options: async () => options, confinement }
    const { io, compiled, cgroups } = await compileTask(env, wish, step)
    undo = compiled.undo
    const plan = [...io.open, ...compiled.create, ...watchOomOp(id, cgroups), ...processFiles(env, id)]
    const { results, time } = await timedStep(step, 'restore', plan)
    const process = processOf(
      results,
      plan.findIndex(({ op }) => op === 'adopt'),
    )
    return (record) => ({
      record: putTask(record, id, { ...getTask(record, id), process, status: 'running' }),
      answer: containerd.task.StartResponse.encode({ pid: process.pid }).finish(),
      events: [env.events.start(time, id, process.pid)],
    })
  } catch (error) {
    const log = join(workDir(taskDir(env, id), options), RESTORE_LOG)
    const why = startFailed(await explained(step, error, 'restore', log))
    const { time } = await timedStep(step, 'undo', [...keepGoing(undo), dropOp(id)])
    return notRestored(env, id, why, String(time))
  }
}

/** An error is the answer, and yet the task has ended: clients wait for that before they delete it. */
const notRestored =
  (env: Env, id: string, error: Error, time: string): Commit =>
  (record) => {
    const { waiters = [], ...task } = getTask(record, id)
    const exit = { status: 128 + SIGKILL, time }
    return {
      error,
      record: putTask(record, id, { ...task, status: 'stopped', exit }),
      settled: settle(waiters, exit),
      events: [env.events.exit(id, { execId: '', pid: 0, exit, waiters: [] })],
    }
  }
