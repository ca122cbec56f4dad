/** `limits.maxDuration` of policies: the monitor ends a container that has run for so long. */

import { leastLimits } from '../policy/limits.ts'
import type { Confinement } from '../policy/types.ts'
import { endingPlan } from './ending.ts'
import type { Op } from './ops.ts'

/** For the monitor, behind the clone of the init `key`; the directory that finds all processes comes first. */
export const planDeadline = (
  confinement: Confinement | undefined,
  key: string,
  cgroupPaths: readonly string[],
  named: { readonly id: string; readonly bundle: string },
): Op[] => {
  const { maxDuration } = leastLimits(confinement?.policies ?? [])
  if (maxDuration === undefined) return []
  const plan = endingPlan(cgroupPaths, named, `has run for ${maxDuration} s, as long as its policy allows`)
  return [{ op: 'deadline', key, ms: BigInt(Math.ceil(maxDuration * 1000)), plan, pointer: '/annotations' }]
}
