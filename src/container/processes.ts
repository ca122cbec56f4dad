/** The processes of a container: those in its cgroup and the cgroups below, or those in its pid namespace. */

import type { RunStep } from '../controller/types.ts'
import { OP_FLAGS, type Op, type Plan, READ_FLAGS } from '../plan/ops.ts'
import { readOp } from './inspect.ts'
import type { ContainerState } from './state.ts'
import { parseStat } from './status.ts'

const MAX_PIDS = 16 << 20
const MAX_STAT = 4096

/** Files of cgroups, as opposed to cgroups below. */
const CGROUP_FILE =
  /^(tasks|notify_on_release|release_agent|(cgroup|cpu|cpuacct|cpuset|memory|io|irq|pids|devices|freezer|blkio|hugetlb|net_cls|net_prio|perf_event|rdma|misc|dmem)\..+)$/

/** Pids in the launcher's pid namespace, ascending. */
export const processesOf = async (step: RunStep, state: ContainerState): Promise<number[]> => {
  const pids = await (state.cgroupPaths.length > 0 ? inCgroups(step, state.cgroupPaths) : inPidNamespace(step, state))
  return [...pids].sort((a, b) => a - b)
}

/**
 * A container without a cgroup has a pid namespace of its own: its processes are those in it, and what descends from them, which may be in
 * namespaces below. A parked init is not to be looked at, and alone.
 */
const inPidNamespace = async (step: RunStep, { init }: ContainerState): Promise<Set<number>> => {
  const names = (await step('list processes', [{ op: 'list', path: '/proc', flags: 0 }])).text(0) ?? ''
  const pids = names.split('\0').flatMap((name) => (/^[1-9]\d*$/.test(name) ? [Number(name)] : []))
  const results = await step(
    'pid namespaces',
    pids.flatMap((pid): Op[] => [
      readOp(`/proc/${pid}/stat`, MAX_STAT, OP_FLAGS.tolerate),
      { op: 'readlink', path: `/proc/${pid}/ns/pid`, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate },
    ]),
  )
  const seen = pids.map((pid, index) => ({
    pid,
    stat: parseStat(results.text(index * 2) ?? ''),
    namespace: results.text(index * 2 + 1),
  }))
  const first = seen.find(({ pid, stat }) => pid === init.pid && stat?.startTime === init.startTime)
  if (first === undefined || first.stat?.gone) return new Set()
  const found = new Set([first.pid])
  for (const { pid, namespace } of seen) if (namespace !== undefined && namespace === first.namespace) found.add(pid)
  for (let before = 0; before < found.size; ) {
    before = found.size
    for (const { pid, stat } of seen) if (stat !== undefined && found.has(stat.ppid)) found.add(pid)
  }
  return found
}

const inCgroups = async (step: RunStep, cgroupPaths: readonly string[]): Promise<Set<number>> => {
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
  return pids
}

/** A name that is no cgroup, or one that has just gone, is passed over. */
const cgroupPlan = (dir: string): Plan => [
  readOp(`${dir}/cgroup.procs`, MAX_PIDS, OP_FLAGS.tolerate),
  { op: 'list', path: dir, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate } satisfies Op,
]
