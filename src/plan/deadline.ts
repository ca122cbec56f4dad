/** `limits.maxDuration` of policies: the monitor ends a container that has run for so long. */

import { leastLimits } from '../policy/limits.ts'
import type { Confinement } from '../policy/types.ts'
import { KILL_FLAGS, OP_FLAGS, type Op, type Plan, WRITE_FLAGS } from './ops.ts'

const SIGKILL = 9

/** A frozen task of a v1 freezer does not even take SIGKILL. */
export const thawPlan = (cgroupPaths: readonly string[]): Plan =>
  cgroupPaths.flatMap((dir): Op[] => [
    {
      op: 'write',
      path: `${dir}/freezer.state`,
      data: ['THAWED'],
      flags: WRITE_FLAGS.missingOk,
      mode: 0,
      opFlags: OP_FLAGS.tolerate,
    },
    {
      op: 'write',
      path: `${dir}/cgroup.freeze`,
      data: ['0'],
      flags: WRITE_FLAGS.missingOk,
      mode: 0,
      opFlags: OP_FLAGS.tolerate,
    },
  ])

/** For the monitor, behind the clone of the init `key`; the directory that finds all processes comes first. */
export const planDeadline = (
  confinement: Confinement | undefined,
  key: string,
  cgroupPaths: readonly string[],
  { id, bundle }: { readonly id: string; readonly bundle: string },
): Op[] => {
  const { maxDuration } = leastLimits(confinement?.policies ?? [])
  if (maxDuration === undefined) return []
  const kill = cgroupPaths.slice(0, 1).map(
    (path): Op => ({
      op: 'kill-cgroup',
      path,
      signal: SIGKILL,
      flags: KILL_FLAGS.missingOk,
      opFlags: OP_FLAGS.tolerate,
    }),
  )
  // Containerd's log, under containerd.
  const message = `berth: ${id} has run for ${maxDuration} s, as long as its policy allows: killed`
  const log: Op = { op: 'log', path: `${bundle}/log`, message, opFlags: OP_FLAGS.tolerate }
  const plan = [...kill, ...thawPlan(cgroupPaths), log]
  return [{ op: 'deadline', key, ms: BigInt(Math.ceil(maxDuration * 1000)), plan, pointer: '/annotations' }]
}
