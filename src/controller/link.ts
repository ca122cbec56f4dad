/**
 * The connection of whoever started this controller, and waits for it. Its first request is read, and its first two steps are sent, before Node's
 * network modules are loaded, which takes as long as compiling a container; that is done while the agent works on the second, which makes one.
 */

import { readSync, writeSync } from 'node:fs'

/** What a session needs of a connection: a part of what a net.Socket is. */
export interface Link {
  on(event: 'data', listener: (chunk: Buffer) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'close', listener: () => void): unknown
  write(bytes: Uint8Array, written?: () => void): unknown
  /** No data until `resume`. */
  pause(): unknown
  resume(): unknown
  end(): unknown
  destroy(): unknown
}

const FIRST_READ = 1 << 16

export class FirstLink implements Link {
  readonly #fd: number
  readonly #listeners: ((link: Link) => void)[] = []
  readonly #onData: ((chunk: Buffer) => void)[] = []
  /** What could not be written at once. */
  readonly #unwritten: (readonly [bytes: Uint8Array, written: (() => void) | undefined])[] = []
  #link: Link | undefined
  #paused = false
  #over: 'end' | 'destroy' | undefined

  /** `fd`: reads and writes wait for a moment, and no longer (native/launcher/controller.c). */
  constructor(fd: number) {
    this.#fd = fd
  }

  on(event: 'data' | 'error' | 'close', listener: (value: never) => void): this {
    const add = (link: Link) => link.on(event as 'data', listener as (chunk: Buffer) => void)
    if (this.#link !== undefined) add(this.#link)
    else this.#listeners.push(add)
    if (event === 'data') this.#onData.push(listener as (chunk: Buffer) => void)
    return this
  }

  /** Takes what has come, or comes within a moment. */
  readEarly(): void {
    if (this.#paused) return
    const chunk = Buffer.allocUnsafeSlow(FIRST_READ)
    const length = attempt(() => readSync(this.#fd, chunk))
    if (length > 0) for (const listener of this.#onData) listener(chunk.subarray(0, length))
  }

  write(bytes: Uint8Array, written?: () => void): void {
    if (this.#link !== undefined) this.#link.write(bytes, written)
    else if (this.#unwritten.length > 0) this.#unwritten.push([bytes, written])
    else {
      const length = attempt(() => writeSync(this.#fd, bytes))
      if (length < bytes.length) this.#unwritten.push([bytes.subarray(length), written])
      else written?.()
    }
  }

  pause(): void {
    if (this.#link !== undefined) this.#link.pause()
    else this.#paused = true
  }

  resume(): void {
    if (this.#link !== undefined) this.#link.resume()
    else this.#paused = false
  }

  end(): void {
    if (this.#link !== undefined) this.#link.end()
    else this.#over ??= 'end'
  }

  destroy(): void {
    if (this.#link !== undefined) this.#link.destroy()
    else this.#over = 'destroy'
  }

  /** From now on it is this one's. */
  become(link: Link): void {
    this.#link = link
    for (const add of this.#listeners) add(link)
    for (const [bytes, written] of this.#unwritten) link.write(bytes, written)
    if (this.#paused) link.pause()
    if (this.#over !== undefined) link[this.#over]()
  }
}

/** Bytes that were moved. Where nothing could be (EAGAIN) or ever will be, the socket that takes over finds out. */
const attempt = (move: () => number): number => {
  try {
    return move()
  } catch {
    return 0
  }
}
