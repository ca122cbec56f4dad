/** The server's name in a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3), read before anybody has answered it. */

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const SERVER_NAME = 0
const HOST_NAME = 0
const RECORD_HEADER = 5
const RANDOM = 32
/** A ClientHello may be spread over records; with a post-quantum key it has some 2 kB. */
export const MAX_HELLO = 64 * 1024

/** The first byte of a TLS connection, which no HTTP request begins with. */
export const isTls = (first: number): boolean => first === HANDSHAKE

class Short extends Error {}
class Malformed extends Error {}

class Bytes {
  readonly #data: Buffer
  #at = 0

  constructor(data: Buffer) {
    this.#data = data
  }

  get left(): number {
    return this.#data.length - this.#at
  }

  take(length: number): Buffer {
    if (this.left < length) throw new Short()
    this.#at += length
    return this.#data.subarray(this.#at - length, this.#at)
  }

  number(size: number): number {
    return this.take(size).readUIntBE(0, size)
  }

  /** With its length, of `size` bytes, in front. */
  vector(size: number): Bytes {
    return new Bytes(this.take(this.number(size)))
  }
}

/** What of the handshake has come: the contents of its records. */
const handshakeOf = (data: Buffer): Buffer => {
  const records = new Bytes(data)
  const parts: Buffer[] = []
  while (records.left > 0) {
    if (records.left < RECORD_HEADER) break
    if (records.number(1) !== HANDSHAKE) throw new Malformed()
    records.take(2)
    const length = records.number(2)
    parts.push(records.take(Math.min(length, records.left)))
  }
  return Buffer.concat(parts)
}

const serverName = (hello: Bytes): string | undefined => {
  hello.take(2 + RANDOM)
  hello.vector(1)
  hello.vector(2)
  hello.vector(1)
  if (hello.left === 0) return undefined
  const extensions = hello.vector(2)
  while (extensions.left > 0) {
    const type = extensions.number(2)
    const body = extensions.vector(2)
    if (type !== SERVER_NAME) continue
    const names = body.vector(2)
    while (names.left > 0) {
      const kind = names.number(1)
      const name = names.vector(2)
      if (kind === HOST_NAME) return name.take(name.left).toString('latin1')
    }
  }
  return undefined
}

/** `more`: the ClientHello is not whole yet. `name` is undefined where it has none. */
export type Hello =
  | { readonly kind: 'more' | 'malformed' }
  | { readonly kind: 'hello'; readonly name: string | undefined }

export const readHello = (data: Buffer): Hello => {
  let body: Bytes
  try {
    const message = new Bytes(handshakeOf(data))
    if (message.number(1) !== CLIENT_HELLO) return { kind: 'malformed' }
    body = message.vector(3)
  } catch (error) {
    if (error instanceof Short) return { kind: data.length < MAX_HELLO ? 'more' : 'malformed' }
    return { kind: 'malformed' }
  }
  try {
    return { kind: 'hello', name: serverName(body) }
  } catch {
    return { kind: 'malformed' }
  }
}
