/** One of several byte streams that share a connection. */

import { Duplex } from 'node:stream'

interface Carrier {
  /** Sends bytes of this stream, and says when the next are welcome. */
  readonly send: (bytes: Uint8Array, sent: () => void) => void
  /** Nobody writes to it, or reads it, any more. */
  readonly ended: () => void
}

export class Channel extends Duplex {
  readonly #carrier: Carrier

  constructor(carrier: Carrier) {
    super()
    this.#carrier = carrier
  }

  /** Bytes that came for this stream. */
  receive(bytes: Uint8Array): void {
    if (!this.destroyed) this.push(bytes)
  }

  override _read(): void {}

  override _write(bytes: Uint8Array, _encoding: string, written: () => void): void {
    this.#carrier.send(bytes, written)
  }

  override _final(finished: () => void): void {
    this.#carrier.ended()
    finished()
  }

  override _destroy(error: Error | null, destroyed: (error: Error | null) => void): void {
    this.#carrier.ended()
    destroyed(error)
  }
}
