/** Writes the counters of refused requests. */

import { writeSync } from 'node:fs'
import { COUNTER_SIZE } from '../../http-counters.ts'

export class Counters {
  readonly #fd: number
  readonly #counts: bigint[] = []

  constructor(fd: number) {
    this.#fd = fd
  }

  add(counter: number): void {
    const count = (this.#counts[counter] ?? 0n) + 1n
    this.#counts[counter] = count
    const bytes = Buffer.alloc(COUNTER_SIZE)
    bytes.writeBigUInt64LE(count)
    writeSync(this.#fd, bytes, 0, COUNTER_SIZE, counter * COUNTER_SIZE)
  }
}
