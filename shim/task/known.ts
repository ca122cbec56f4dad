/**
 * What an exec is compiled from, beside its own process: the container's configuration and policies, and the host. None of it changes while the
 * container lives, so it is read at its first exec, and kept for the containers that were asked for last.
 */

import type { RunStep } from '../../src/controller/types.ts'
import { keptPolicies } from '../../src/policy/kept.ts'
import type { Confinement } from '../../src/policy/types.ts'
import type { Env } from './call.ts'
import { readConfig, taskDir } from './create.ts'
import type { Task } from './record.ts'

export type Known = Omit<Awaited<ReturnType<typeof readConfig>>, 'node'> & {
  readonly confinement: Confinement | undefined
}

/** A configuration with its seccomp profile may take a few hundred kilobytes. */
const MAX = 16

export const knownConfig = async (env: Env, id: string, task: Task, step: RunStep): Promise<Known> => {
  // The init's start time tells it from another container of this id.
  const key = `${env.stateDir}/${id}\0${task.process.pid}\0${task.process.start}`
  const lastUsed = env.known
  const known = lastUsed.get(key) ?? (await read(env, id, task, step))
  // The order of a Map is that of insertion.
  lastUsed.delete(key)
  lastUsed.set(key, known)
  const [oldest] = lastUsed.keys()
  if (lastUsed.size > MAX && oldest !== undefined) lastUsed.delete(oldest)
  return known
}

const read = async (env: Env, id: string, task: Task, step: RunStep): Promise<Known> => {
  const { spec, facts, arch } = await readConfig(env, task.bundle, task.stdio.terminal, step)
  return { spec, facts, arch, confinement: await keptPolicies(step, taskDir(env, id), task) }
}
