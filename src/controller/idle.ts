/** When a controller goes: after some idle time, or once it has grown too large. */

import { getHeapStatistics } from 'node:v8'

/** Above this it leaves at the next quiet moment; above twice this at any: what is unanswered is replayed elsewhere. */
export const MEMORY_BOUND = 256 * 1024 * 1024

/** Memory of the heap and of buffers. (process.memoryUsage reads /proc, which a confined controller does not see.) */
export const memoryInUse = (): number => {
  const { total_physical_size, malloced_memory, external_memory } = getHeapStatistics()
  return total_physical_size + malloced_memory + external_memory
}

export interface IdleOptions {
  readonly idleMs: number
  readonly busy: () => number
  readonly leave: (why: string) => void
  readonly memory?: () => number
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
    else if (quiet) this.#timer = setTimeout(() => this.#options.leave('idle'), this.#options.idleMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
