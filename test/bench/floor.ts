/** The kernel's own time, by floor.c. */
import type { Samples } from './samples.ts'

/** What floor.c measures. */
export const FLOORS = ['create', 'start', 'life', 'delete', 'exec', 'spawn'] as const

/** Its line of JSON: milliseconds, of `kernel`. */
export const addFloor = (samples: Samples, line: string): void => {
  const measured = JSON.parse(line)
  for (const kind of FLOORS) samples.add('kernel', kind, measured[kind].p50)
}
