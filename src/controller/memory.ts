/** What a controller's memory comes to, and how it is given back. */

import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Memory of the heap and of buffers. (process.memoryUsage reads /proc, which a confined controller does not see.) */
export const memoryInUse = (): number => {
  const { total_physical_size, malloced_memory, external_memory } = getHeapStatistics()
  return total_physical_size + malloced_memory + external_memory
}

/**
 * Collects all garbage and returns what it took to the kernel. With --expose-gc from the start V8 would throw away what comes compiled (boot.ts), so
 * the function is got where it is needed, from a context that is garbage at once, and the flag is taken back for what is loaded later.
 */
export const compact = (): void => {
  setFlagsFromString('--expose-gc')
  const gc: NodeJS.GCFunction = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}
