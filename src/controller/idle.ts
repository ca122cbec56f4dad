/** What a controller does while nobody asks: it gives memory back, then goes; and it goes once it has grown too large. */

import { getHeapStatistics } from 'node:v8'

/** Above this it leaves at the next quiet moment; above twice this at any: what is unanswered is replayed elsewhere. */
export const MEMORY_BOUND = 256 * 1024 * 1024

/** Memory of the heap and of buffers. (process.memoryUsage reads /proc, which a confined controller does not see.) */
export const memoryInUse = (): number => {
  const { total_physical_size, malloced_memory, external_memory } = getHeapStatistics()
  return total_physical_size + malloced_memory + external_memory
}

/** Quiet for this long, and the garbage of the last requests is worth collecting. */
const COMPACT_MS = 1000

/** Collects all garbage and returns what it took to the kernel; Node is started with --expose-gc for that. */
export const compact = (): void => {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}

export interface IdleOptions {
  readonly idleMs: number
  readonly busy: () => number
  readonly leave: (why: string) => void
  readonly memory?: () => number
  readonly compact?: () => void
}

export class Idle {
  readonly #options: IdleOptions
  readonly #memory: () => number
  #timer: NodeJS.Timeout | undefined

  constructor(options: IdleOptions) {
    this.#options = options
    this.#memory = options.memory ?? memoryInUse
    this.changed()
  }

  /** Something began or ended. */
  changed(): void {
    clearTimeout(this.#timer)
    const quiet = this.#options.busy() === 0
    const memory = this.#memory()
    if (memory > MEMORY_BOUND * (quiet ? 1 : 2)) this.#options.leave(`${Math.round(memory / 1048576)} MiB in use`)
    else if (quiet) this.#rest()
  }

  #rest(): void {
    const { idleMs, leave } = this.#options
    if (idleMs <= COMPACT_MS) {
      this.#timer = setTimeout(() => leave('idle'), idleMs)
      return
    }
    this.#timer = setTimeout(() => {
      ;(this.#options.compact ?? compact)()
      this.#timer = setTimeout(() => leave('idle'), idleMs - COMPACT_MS)
    }, COMPACT_MS)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
