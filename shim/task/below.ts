/** Files of a container's cgroup and of those that it has made below. */

import type { RunStep } from '../../src/controller/types.ts'
import { OP_FLAGS, type Op, READ_FLAGS } from '../../src/plan/ops.ts'

const MAX = 16 << 20
/** Deeper than any manager nests them; a container that makes more hides them from this only. */
const DEPTH = 16

/** Names of the kernel's own files in a cgroup directory; anything else is taken for a cgroup, and found to be none when it is read. */
const FILE =
  /^((cgroup|cpu|cpuset|cpuacct|memory|io|pids|hugetlb|rdma|misc|devices|freezer|blkio|net_cls|net_prio|perf_event|irq|dmem)\.|tasks$|notify_on_release$|release_agent$)/

/** The texts of `file` in the cgroup and below it, a step a level; `name` begins the steps' names. */
export const readBelow = async (step: RunStep, name: string, top: string, file: string): Promise<string[]> => {
  const texts: string[] = []
  let level = [top]
  for (let depth = 0; level.length > 0 && depth < DEPTH; depth++) {
    // Tolerated: a name that is no directory, a cgroup that has just gone, a threaded one (EOPNOTSUPP).
    const plan = level.flatMap((path): Op[] => [
      { op: 'read', path: `${path}/${file}`, max: MAX, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate },
      { op: 'list', path, flags: 0, opFlags: OP_FLAGS.tolerate },
    ])
    const results = await step(`${name} ${depth}`, plan)
    level = level.flatMap((path, index) => {
      const text = results.text(2 * index)
      if (text !== undefined) texts.push(text)
      const names = (results.text(2 * index + 1) ?? '').split('\0').filter((below) => below !== '' && !FILE.test(below))
      return names.map((below) => `${path}/${below}`)
    })
  }
  return texts
}
