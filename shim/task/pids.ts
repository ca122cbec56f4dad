/** Pids: every process in the container's cgroup and those below it. */

import type { RunStep } from '../../src/controller/types.ts'
import { OP_FLAGS, type Op, READ_FLAGS } from '../../src/plan/ops.ts'
import { containerd } from '../proto/messages.gen.js'
import type { Method } from './call.ts'
import { type CgroupDirs, cgroupDir, getTask, type Task } from './record.ts'

const MAX = 16 << 20
/** Deeper than any manager nests them; a container that makes more hides them from this list only. */
const DEPTH = 16

/** Names of the kernel's own files in a cgroup directory; anything else is taken for a cgroup, and found to be none when it is read. */
const FILE =
  /^((cgroup|cpu|cpuset|cpuacct|memory|io|pids|hugetlb|rdma|misc|devices|freezer|blkio|net_cls|net_prio|perf_event|irq|dmem)\.|tasks$|notify_on_release$|release_agent$)/

export const pids: Method<containerd.task.PidsRequest> = async (env, { id }, step) => {
  const task = getTask(env.record(), id)
  const found = await cgroupPids(task.cgroups, step)
  const execs = execPids(task)
  const processes = found.map((pid) => {
    const execId = execs.get(pid)
    return execId === undefined ? { pid } : { pid, info: details(execId) }
  })
  const answer = containerd.task.PidsResponse.encode({ processes }).finish()
  return (record) => {
    getTask(record, id)
    return { answer }
  }
}

const details = (execId: string) => ({
  typeUrl: 'containerd.runc.v1.ProcessDetails',
  value: containerd.options.ProcessDetails.encode({ execId }).finish(),
})

const execPids = ({ execs }: Task): Map<number, string> =>
  new Map(Object.entries(execs).flatMap(([execId, { process }]) => (process ? [[process.pid, execId] as const] : [])))

/** The hierarchy that containers are least likely to move around in. */
const leaf = (cgroups: CgroupDirs): string | undefined =>
  cgroupDir(cgroups, 'pids') ?? cgroupDir(cgroups, 'memory') ?? cgroups.all[0]

const cgroupPids = async (cgroups: CgroupDirs, step: RunStep): Promise<number[]> => {
  const top = leaf(cgroups)
  const found = new Set<number>()
  let level = top === undefined ? [] : [top]
  for (let depth = 0; level.length > 0 && depth < DEPTH; depth++) {
    // Tolerated: a name that is no directory, a cgroup that has just gone, a threaded one (EOPNOTSUPP).
    const plan = level.flatMap((path): Op[] => [
      { op: 'read', path: `${path}/cgroup.procs`, max: MAX, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate },
      { op: 'list', path, flags: 0, opFlags: OP_FLAGS.tolerate },
    ])
    const results = await step(`level ${depth}`, plan)
    const below: string[] = []
    for (const [index, path] of level.entries()) {
      for (const line of (results.text(2 * index) ?? '').split('\n')) if (line !== '') found.add(Number(line))
      const names = (results.text(2 * index + 1) ?? '').split('\0').filter((name) => name !== '' && !FILE.test(name))
      below.push(...names.map((name) => `${path}/${name}`))
    }
    level = below
  }
  return [...found].sort((a, b) => a - b)
}
