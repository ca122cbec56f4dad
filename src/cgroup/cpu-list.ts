/** Lists of CPUs and of memory nodes (cpuset(7), "List format"). */

/** More than any kernel is built for: a list can't ask for memory of any size. */
const MAX_CPUS = 8192

/** The numbers of a list such as `0-3,7`, as they come; undefined where it is none. */
export const parseCpuList = (list: string): number[] | undefined => {
  const cpus: number[] = []
  for (const part of list.split(',')) {
    const match = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part)
    if (!match) return undefined
    const first = Number(match[1])
    const last = match[2] === undefined ? first : Number(match[2])
    if (last < first || last >= MAX_CPUS || cpus.length > MAX_CPUS) return undefined
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu)
  }
  return cpus
}
