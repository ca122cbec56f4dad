/** What a controller does while nobody asks: it gives memory back, then goes; and it goes once it has grown too large. */

/** Above this it leaves at the next quiet moment; above twice this at any: what is unanswered is replayed elsewhere. */
export const MEMORY_BOUND = 256 * 1024 * 1024

/** Quiet for this long, and the garbage of the last requests is worth collecting. */
const COMPACT_MS = 1000

/** What is looked at, and how it is made less: src/controller/memory.ts, which is loaded once the first request has been seen to. */
export interface Memory {
  readonly memoryInUse: () => number
  readonly compact: () => void
}

export interface IdleOptions {
  readonly idleMs: number
  readonly busy: () => number
  /** How many want it to stay, though it be idle. */
  readonly held?: () => number
  readonly leave: (why: string) => void
}

export class Idle {
  readonly #options: IdleOptions
  #memory: Memory | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: IdleOptions) {
    this.#options = options
    this.changed()
  }

  watch(memory: Memory): void {
    this.#memory = memory
  }

  /** Something began or ended. */
  changed(): void {
    clearTimeout(this.#timer)
    const quiet = this.#options.busy() === 0
    const memory = this.#memory?.memoryInUse() ?? 0
    if (memory > MEMORY_BOUND * (quiet ? 1 : 2)) this.#options.leave(`${Math.round(memory / 1048576)} MiB in use`)
    else if (quiet) this.#rest()
  }

  #rest(): void {
    const { idleMs } = this.#options
    if (idleMs <= COMPACT_MS) {
      this.#timer = setTimeout(() => this.#over(), idleMs)
      return
    }
    this.#timer = setTimeout(() => {
      this.#memory?.compact()
      this.#timer = setTimeout(() => this.#over(), idleMs - COMPACT_MS)
    }, COMPACT_MS)
  }

  /** Who holds it says so when that is over. */
  #over(): void {
    const { held = () => 0, leave } = this.#options
    if (held() === 0) leave('idle')
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
