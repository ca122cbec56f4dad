/** Moves the shim itself into the cgroup that was asked for: what it uses is then accounted, and limited, there. */

import { join } from 'node:path'
import type { RunStep } from '../../src/controller/types.ts'
import { BerthError } from '../../src/errors.ts'
import type { HostFacts } from '../../src/plan/facts.ts'
import { type Op, READ_FLAGS } from '../../src/plan/ops.ts'

/** In each hierarchy that has this cgroup; it is the administrator's to make. */
export const joinShimCgroup = async (pid: number, path: string, facts: HostFacts, step: RunStep): Promise<void> => {
  const { v1, v2 } = facts.cgroup
  const files = [...v1, ...(v2 === undefined ? [] : [v2])].map(({ mountPoint }) =>
    join(mountPoint, path, 'cgroup.procs'),
  )
  const look = files.map((file): Op => ({ op: 'stat', path: file, flags: READ_FLAGS.missingOk }))
  const found = await step('shim cgroup', look)
  const there = files.filter((_, index) => found.bytes(index) !== undefined)
  if (there.length === 0)
    throw new BerthError('invalid', `ShimCgroup: this host has no cgroup "${path}": make it first`)
  await step(
    'join shim cgroup',
    there.map((file): Op => ({ op: 'write', path: file, data: [String(pid)], flags: 0, mode: 0 })),
  )
}
