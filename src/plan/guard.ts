/**
 * What of a policy a process keeps, not the kernel, must not end before the container does (trap 18): its monitor, and who helps. A guard sees to
 * that, and the monitor to the guard.
 */

import { posix } from 'node:path'
import { httpPolicies } from '../policy/http-policy.ts'
import { judgesOf } from '../policy/judges.ts'
import { leastLimits } from '../policy/limits.ts'
import type { Confinement } from '../policy/types.ts'
import { endingPlan } from './ending.ts'
import { OP_FLAGS, type Plan } from './ops.ts'
import { limitsOutput } from './output-limit.ts'

/** It ends with the container: only one that is stuck is helped along. */
const END_MS = 2000

export interface GuardInput {
  readonly id: string
  readonly bundle: string
  readonly stateDir: string
  readonly key: string
  readonly confinement?: Confinement | undefined
}

export interface GuardPlan {
  /** Outside, once the container is parked. */
  readonly create: Plan
  /** Once its processes have been killed: the last that the guard does is to write how that ended. */
  readonly undo: Plan
}

const isNeeded = (confinement: Confinement | undefined): boolean =>
  leastLimits(confinement?.policies ?? []).maxDuration !== undefined ||
  limitsOutput(confinement) ||
  httpPolicies(confinement?.policies).length > 0 ||
  judgesOf(confinement).length > 0

/** `helpers`: slots of its ends of socket pairs. */
export const planGuard = (input: GuardInput, cgroupPaths: readonly string[], helpers: readonly number[]): GuardPlan => {
  const { key, stateDir, confinement } = input
  if (!isNeeded(confinement)) return { create: [], undo: [] }
  const record = posix.join(stateDir, 'guard')
  const plan = endingPlan(cgroupPaths, input, 'goes beyond its policy, or has lost what enforces that')
  return {
    create: [
      { op: 'guard', key, helpers, record, exitFile: posix.join(stateDir, 'exit.json'), plan, pointer: '/annotations' },
    ],
    undo: [{ op: 'end-spawned', path: record, eofMs: END_MS, termMs: 0, opFlags: OP_FLAGS.keepGoing }],
  }
}
