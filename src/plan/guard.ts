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
import { helperRecord } from './helpers.ts'
import type { Plan } from './ops.ts'
import { limitsOutput } from './output-limit.ts'

export interface GuardInput {
  readonly id: string
  readonly bundle: string
  readonly stateDir: string
  readonly key: string
  readonly confinement?: Confinement | undefined
}

const isNeeded = (confinement: Confinement | undefined): boolean =>
  leastLimits(confinement?.policies ?? []).maxDuration !== undefined ||
  limitsOutput(confinement) ||
  httpPolicies(confinement?.policies).length > 0 ||
  judgesOf(confinement).length > 0

/** Outside, once the container is parked. `helpers`: slots of its ends of socket pairs. */
export const planGuard = (input: GuardInput, cgroupPaths: readonly string[], helpers: readonly number[]): Plan => {
  const { key, stateDir, confinement } = input
  if (!isNeeded(confinement)) return []
  return [
    {
      op: 'guard',
      key,
      helpers,
      record: helperRecord(stateDir, 'guard'),
      exitFile: posix.join(stateDir, 'exit.json'),
      plan: endingPlan(cgroupPaths, input, 'goes beyond its policy, or has lost what enforces that'),
      pointer: '/annotations',
    },
  ]
}
