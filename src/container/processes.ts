/** The processes of a container: those in its cgroup and the cgroups below. */

import type { RunStep } from '../controller/types.ts'
import { OP_FLAGS, type Op, type Plan, READ_FLAGS } from '../plan/ops.ts'
import { readOp } from './inspect.ts'

const MAX_PIDS = 16 << 20

/** Files of cgroups, as opposed to cgroups below. */
const CGROUP_FILE =
  /^(tasks|notify_on_release|release_agent|(cgroup|cpu|cpuacct|cpuset|memory|io|irq|pids|devices|freezer|blkio|hugetlb|net_cls|net_prio|perf_event|rdma|misc|dmem)\..+)$/

/** Pids in the launcher's pid namespace, ascending. */
export const processesOf = async (step: RunStep, cgroupPaths: readonly string[]): Promise<number[]> => {
  const pids = new Set<number>()
  let level = cgroupPaths.slice(0, 1)
  for (let depth = 0; level.length > 0; depth++) {
    const dirs = level
    const results = await step(`cgroups ${depth}`, dirs.flatMap(cgroupPlan))
    for (const index of dirs.keys())
      for (const pid of (results.text(index * 2) ?? '').split('\n')) if (/^[1-9]\d*$/.test(pid)) pids.add(Number(pid))
    level = dirs.flatMap((dir, index) =>
      (results.text(index * 2 + 1) ?? '')
        .split('\0')
        .filter((name) => name !== '' && !CGROUP_FILE.test(name))
        .map((name) => `${dir}/${name}`),
    )
  }
  return [...pids].sort((a, b) => a - b)
}

/** A name that is no cgroup, or one that has just gone, is passed over. */
const cgroupPlan = (dir: string): Plan => [
  readOp(`${dir}/cgroup.procs`, MAX_PIDS, OP_FLAGS.tolerate),
  { op: 'list', path: dir, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate } satisfies Op,
]
