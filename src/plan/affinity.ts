/** Lists of CPUs and memory nodes as the bit masks of sched_setaffinity(2) and set_mempolicy(2). */

import { parseCpuList } from '../cgroup/cpu-list.ts'

/** The mask of a list such as `0-3,7`, lowest CPU in the lowest bit; undefined where it is none. */
export const cpuMask = (list: string): Uint8Array | undefined => {
  const cpus = parseCpuList(list)
  if (cpus === undefined) return undefined
  // The kernel takes masks of whole words.
  const mask = new Uint8Array(((Math.max(...cpus) >> 6) + 1) * 8)
  for (const cpu of cpus) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7))
  return mask
}
