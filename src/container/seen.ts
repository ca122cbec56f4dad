/** A container that is only looked at, whoever has it: the command line, or containerd. */

import type { RunStep } from '../controller/types.ts'
import { keptPolicies } from '../policy/kept.ts'
import type { Confinement } from '../policy/types.ts'
import { inspect, stated } from './inspect.ts'
import { taskOfContainerd } from './of-containerd.ts'
import type { ProcessId } from './state.ts'
import type { Status } from './status.ts'

export interface Seen {
  readonly id: string
  /** containerd's, where it is one of its. */
  readonly namespace?: string
  readonly status: Status
  readonly init: ProcessId
  /** Where its files are. */
  readonly dir: string
  readonly cgroupPaths: readonly string[]
  readonly confinement?: Confinement | undefined
}

export interface Wanted {
  readonly root: string
  readonly runDir: string
  readonly id: string
  /** A task of containerd's in this namespace, and nothing else. */
  readonly namespace: string | undefined
}

/** The command line's own comes first. */
export const see = async (step: RunStep, { root, runDir, id, namespace }: Wanted): Promise<Seen> => {
  const own = namespace === undefined ? await inspect(step, root, id) : undefined
  if (own !== undefined) {
    const { paths, state, status } = stated(own)
    const { init, cgroupPaths, confinement } = state
    return { id, status, init, dir: paths.dir, cgroupPaths, confinement }
  }
  const task = await taskOfContainerd(step, runDir, id, namespace)
  return { ...task, confinement: await keptPolicies(step, task.dir, task) }
}
