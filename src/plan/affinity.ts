/** CPU lists (cpuset(7), "List format") as the bit masks of sched_setaffinity(2). */

/** More than any kernel is built for: a list can't ask for a mask of any size. */
const MAX_CPUS = 8192

/** The mask of a list such as `0-3,7`, lowest CPU in the lowest bit; undefined where it is none. */
export const parseCpuList = (list: string): Uint8Array | undefined => {
  const mask: number[] = []
  for (const part of list.split(',')) {
    const match = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part)
    if (!match) return undefined
    const first = Number(match[1])
    const last = match[2] === undefined ? first : Number(match[2])
    if (last < first || last >= MAX_CPUS) return undefined
    for (let cpu = first; cpu <= last; cpu++) {
      while (mask.length <= cpu >> 3) mask.push(0)
      mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7))
    }
  }
  // The kernel takes masks of whole words.
  while (mask.length % 8 !== 0) mask.push(0)
  return Uint8Array.from(mask)
}
