/**
 * Turns for requests: those of one process are handled in the order in which they came (trap 9), those of others at the same time. A turn
 * is taken when the request arrives, before anything is awaited.
 */
export class Turns {
  readonly #last = new Map<string, Promise<void>>()

  /** Runs `work` after everything that holds an earlier turn of `key`. */
  async take<R>(key: string, work: () => Promise<R>): Promise<R> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const before = this.#last.get(key)
    this.#last.set(key, promise)
    try {
      await before
      return await work()
    } finally {
      resolve()
      if (this.#last.get(key) === promise) this.#last.delete(key)
    }
  }

  /** Waits until everything has ended that holds a turn of a key with this beginning now. */
  async settled(prefix: string): Promise<void> {
    const below = [...this.#last].filter(([key]) => key.startsWith(prefix))
    await Promise.all(below.map(([, last]) => last))
  }
}
