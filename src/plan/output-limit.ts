/** `limits.output` of policies: the monitor counts what a container writes, and ends it beyond that. */

import { BerthError } from '../errors.ts'
import { leastLimits } from '../policy/limits.ts'
import type { Confinement } from '../policy/types.ts'
import type { Op } from './ops.ts'

/** Whether the monitor has to be between a container and who takes its output. */
export const limitsOutput = (confinement: Confinement | undefined): boolean =>
  leastLimits(confinement?.policies ?? []).output !== undefined

/** For the monitor, behind the guard of `key`. `pumps`: the name of those of the container's outputs; undefined where others are the caller's own. */
export const planOutput = (confinement: Confinement | undefined, key: string, pumps: string | undefined): Op[] => {
  const { output } = leastLimits(confinement?.policies ?? [])
  if (output === undefined) return []
  if (pumps === undefined)
    throw new BerthError(
      'unsupported',
      "policy: limits.output: is for containers of containerd: on the command line a container has its caller's own descriptors, and nobody sees what it writes there",
      { pointer: '/annotations' },
    )
  return [{ op: 'meter', name: pumps, key, bytes: BigInt(output), pointer: '/annotations' }]
}
