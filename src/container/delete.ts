/** `delete`: everything of a container that the host can see goes, and it may be repeated until it has. */

import { ERRNO } from '../controller/errno.ts'
import type { CommandAnswer, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { removePlan } from '../plan/cgroups.ts'
import type { Compiled } from '../plan/create.ts'
import { thawPlan } from '../plan/ending.ts'
import { endHelpers } from '../plan/helpers.ts'
import { fillHoles } from '../plan/lifecycle.ts'
import { DIR_FLAGS, KILL_FLAGS, OP_FLAGS, type Op, type Plan, READ_FLAGS } from '../plan/ops.ts'
import { SIGKILL } from '../spec/signals.ts'
import type { Container } from './inspect.ts'
import type { ContainerPaths } from './layout.ts'
import { recompile } from './recompile.ts'
import type { ContainerState } from './state.ts'

const EXIT_MS = 10_000
/** The monitor leaves on its own right after the init's exit. */
const MONITOR_MS = 2000

/** Removes a container; returns warnings. Without `force` only one that is stopped, or parked (which is as good as stopped). */
export const deleteContainer = async (
  step: RunStep,
  { id, paths, state, status }: Container,
  force: boolean,
): Promise<string[]> => {
  if (!force && status !== 'stopped' && status !== 'created')
    throw new BerthError('state', `cannot delete container ${id} that is not stopped: ${status}`, {
      subject: id,
    })
  if (state === undefined) {
    // A creation that was cut off: what it may have done is in its undo plan.
    await step('delete', [
      { op: 'stored', path: paths.undo, flags: READ_FLAGS.missingOk },
      { op: 'rmtree', path: paths.dir, flags: DIR_FLAGS.missingOk },
    ])
    return []
  }
  const { poststop, undo, warnings } = await compiledPlans(step, paths, state, force)
  await remove(step, paths, endPlan(state, status === 'stopped'), undo)
  warnings.push(...(await runPoststop(step, poststop)))
  return warnings
}

/** The same by who has just made it, whatever it does. `answer`: what its command has to say then, where that is all. */
export const removeCreated = async (
  step: RunStep<CommandAnswer>,
  { paths, state }: { readonly paths: ContainerPaths; readonly state: ContainerState },
  compiled: Pick<Compiled, 'poststop' | 'undo'>,
  answer?: CommandAnswer,
): Promise<string[]> => {
  const poststop = fillHoles(compiled.poststop, state.init)
  const whenDone = poststop.length === 0 ? answer : undefined
  await remove(step, paths, endPlan(state, false), compiled.undo, (name, plan) => step(name, plan, whenDone))
  return runPoststop(step, poststop)
}

/** Each hook, whatever becomes of the others; what failed is warned about (runtime.md, lifecycle). */
export const runPoststop = async (step: RunStep, poststop: Plan): Promise<string[]> => {
  const warnings: string[] = []
  for (const [index, op] of poststop.entries()) {
    try {
      await step(`poststop ${index}`, [op])
    } catch (error) {
      if (!(error instanceof BerthError)) throw error
      warnings.push(`poststop: ${error.message}`)
    }
  }
  return warnings
}

/** Ends the init, and waits for it and its monitor, whose last act is to write exit.json. */
const endPlan = ({ init, monitor, cgroupPaths }: ContainerState, stopped: boolean): Plan => {
  const wait = ({ pid, startTime }: typeof init, timeoutMs: number): Op => ({
    op: 'wait-exit',
    pid,
    start: startTime,
    timeoutMs,
    opFlags: OP_FLAGS.tolerate,
  })
  if (stopped) return [wait(monitor, MONITOR_MS)]
  return [
    {
      op: 'kill',
      pid: init.pid,
      start: init.startTime,
      signal: SIGKILL,
      flags: KILL_FLAGS.missingOk,
      opFlags: OP_FLAGS.tolerate,
    },
    ...thawPlan(cgroupPaths),
    wait(init, EXIT_MS),
    wait(monitor, MONITOR_MS),
  ]
}

/** The directory goes last, and only once all else has gone: it is what a repeated delete finds the rest by. */
const remove = async (
  step: RunStep,
  paths: ContainerPaths,
  before: Plan,
  undo: Plan,
  first: RunStep = step,
): Promise<void> => {
  const last: Op = { op: 'rmtree', path: paths.dir, flags: DIR_FLAGS.missingOk }
  try {
    await first('delete', [...before, { op: 'stored', path: paths.undo, flags: 0 }, last])
  } catch (error) {
    // What was kept is lost, or is no plan any more.
    if (!(error instanceof BerthError) || !isLost(error, paths)) throw error
    await step('delete anew', [...undo, last])
  }
}

const isLost = ({ errno, subject }: BerthError, { undo }: ContainerPaths): boolean =>
  (errno === ERRNO.ENOENT && subject === undo) || (errno === ERRNO.EPROTO && subject === 'plan')

/** `delete --force` has to work also where the configuration can't be read any more; its hooks are lost then. */
const compiledPlans = async (step: RunStep, paths: ContainerPaths, state: ContainerState, force: boolean) => {
  try {
    const { compiled } = await recompile(step, paths, state)
    return { poststop: fillHoles(compiled.poststop, state.init), undo: compiled.undo, warnings: [] as string[] }
  } catch (error) {
    if (!force || !(error instanceof BerthError)) throw error
    const { cgroupPaths } = state
    const undo = [...removePlan(cgroupPaths, [], thawPlan(cgroupPaths)), endHelpers(paths.dir)]
    return { poststop: [], undo, warnings: [`poststop hooks not run: ${error.message}`] }
  }
}
