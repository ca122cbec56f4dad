/** How a container is ended against its will. */

import { SIGKILL } from '../spec/signals.ts'
import { KILL_FLAGS, OP_FLAGS, type Op, type Plan, WRITE_FLAGS } from './ops.ts'

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

/** Kills what is in its cgroups, the first of which finds all processes, and says why to containerd's log, under containerd. */
export const endingPlan = (
  cgroupPaths: readonly string[],
  { id, bundle }: { readonly id: string; readonly bundle: string },
  why: string,
): Plan => [
  ...cgroupPaths.slice(0, 1).map(
    (path): Op => ({
      op: 'kill-cgroup',
      path,
      signal: SIGKILL,
      flags: KILL_FLAGS.missingOk,
      opFlags: OP_FLAGS.tolerate,
    }),
  ),
  ...thawPlan(cgroupPaths),
  { op: 'log', path: `${bundle}/log`, message: `berth: ${id} ${why}: killed`, opFlags: OP_FLAGS.tolerate },
]
