/** What a controller does while nobody asks: it gives memory back, then goes; and it goes once it has grown too large. */

/** Above this it leaves at the next quiet moment; above twice this at any: what is unanswered is replayed elsewhere. */
export const MEMORY_BOUND = 256 * 1024 * 1024

/** Its memory is looked at once so often: to do so takes a tenth of what a small request takes. */
const CHANGES = 32

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
  /** Until it is seen whether anything has changed meanwhile; of one that rests, until it goes. */
  #timer: NodeJS.Timeout | undefined
  /** The next change has to start that timer: it rests, or has been busy for long. */
  #awaitsChange = false
  #changes = 0
  #isLarge = false

  constructor(options: IdleOptions) {
    this.#options = options
    this.#look()
  }

  watch(memory: Memory): void {
    this.#memory = memory
  }

  /** Something began or ended: several times a request, so no more is done about it than has to be. */
  changed(): void {
    this.#changes++
    if (this.#awaitsChange) this.#look()
    if (this.#isLarge || this.#changes % CHANGES === 0) this.#weigh()
  }

  #look(): void {
    const { idleMs, busy } = this.#options
    const before = this.#changes
    clearTimeout(this.#timer)
    this.#awaitsChange = false
    this.#timer = setTimeout(
      () => {
        if (this.#changes !== before) return this.#look()
        this.#awaitsChange = true
        if (busy() === 0) this.#rest()
      },
      Math.min(COMPACT_MS, idleMs),
    )
  }

  #weigh(): void {
    const memory = this.#memory?.memoryInUse() ?? 0
    this.#isLarge = memory > MEMORY_BOUND
    if (this.#isLarge && (memory > 2 * MEMORY_BOUND || this.#options.busy() === 0))
      this.#options.leave(`${Math.round(memory / 1048576)} MiB in use`)
  }

  #rest(): void {
    const { idleMs } = this.#options
    if (idleMs <= COMPACT_MS) {
      this.#over()
      return
    }
    this.#timer = setTimeout(() => this.#over(), idleMs - COMPACT_MS)
    this.#memory?.compact()
    this.#weigh()
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
