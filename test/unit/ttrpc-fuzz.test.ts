/** Bytes that are no ttrpc, or almost: the decoders refuse them or not, and keep nothing. The same rounds every time. */
import assert from 'node:assert/strict'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import {
  Client,
  decodeRequest,
  decodeResponse,
  encodeFrame,
  encodeRequest,
  encodeResponse,
  FRAME,
  FrameReader,
  MAX_PAYLOAD,
  Server,
} from '../../shim/ttrpc/index.ts'

/** xorshift32. */
const chance = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}
type Random = ReturnType<typeof chance>

const bytesOf = (random: Random, length: number) => Uint8Array.from({ length }, () => random(256))
const textOf = (random: Random) => Buffer.from(bytesOf(random, random(12))).toString()

const mutated = (random: Random, bytes: Uint8Array): Uint8Array => {
  const copy = Uint8Array.from(bytes)
  for (let changes = random(4); changes > 0 && copy.length > 0; changes--) copy[random(copy.length)] = random(256)
  return random(4) === 0 ? copy.subarray(0, random(copy.length + 1)) : copy
}

const request = (random: Random) =>
  encodeRequest({
    service: textOf(random),
    method: textOf(random),
    payload: bytesOf(random, random(40)),
    timeoutNano: BigInt(random(2 ** 32)) << BigInt(random(32)),
    metadata: Array.from({ length: random(4) }, () => ({ key: textOf(random), value: textOf(random) })),
  })
const response = (random: Random) =>
  encodeResponse({
    ...(random(2) === 0 ? {} : { status: { code: random(20), message: textOf(random) } }),
    payload: bytesOf(random, random(40)),
  })

test('decodeRequest and decodeResponse: a message or an Error', () => {
  const random = chance(7)
  let read = 0
  for (let round = 0; round < 20_000; round++) {
    const bytes = mutated(random, round % 2 === 0 ? request(random) : response(random))
    for (const decode of [decodeRequest, decodeResponse])
      try {
        const { payload } = decode(bytes)
        assert.ok(payload.length <= bytes.length)
        read++
      } catch (error) {
        assert.ok(error instanceof Error)
        assert.ok(!(error instanceof assert.AssertionError), error)
      }
  }
  assert.ok(read > 5000 && read < 39_000, 'some are messages, some are none')
})

test('what was encoded is what is decoded', () => {
  const random = chance(11)
  for (let round = 0; round < 5000; round++) {
    const bytes = request(random)
    assert.deepEqual(encodeRequest(decodeRequest(bytes)), bytes)
    const answer = response(random)
    assert.deepEqual(encodeResponse(decodeResponse(answer)), answer)
  }
})

test('groups without end, and lengths beyond the end', () => {
  for (const bytes of [
    new Uint8Array(1 << 20).fill(11),
    Uint8Array.of(10, 0xff, 0xff, 0xff, 0xff, 0x0f),
    new Uint8Array(20).fill(0xff),
  ])
    for (const decode of [decodeRequest, decodeResponse]) assert.throws(() => decode(bytes), Error)
  assert.throws(() => decodeRequest(Uint8Array.of(42, 3, 10, 9, 1)), Error, 'metadata')
  assert.throws(() => decodeResponse(Uint8Array.of(10, 3, 18, 9, 1)), Error, 'a status')
})

test('a FrameReader: the same frames however they are cut, and nothing left behind', () => {
  const random = chance(13)
  for (let round = 0; round < 300; round++) {
    const frames = Array.from({ length: 1 + random(20) }, () => ({
      stream: random(2 ** 32),
      type: random(256),
      flags: random(256),
      payload: bytesOf(random, random(10) === 0 ? random(3000) : random(30)),
    }))
    const bytes = Buffer.concat(frames.map(encodeFrame))
    const reader = new FrameReader()
    const out = []
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + random(random(2) === 0 ? 12 : 2000)
      for (const frame of reader.push(bytes.subarray(at, at + size)))
        out.push('payload' in frame ? { ...frame, payload: Uint8Array.from(frame.payload) } : frame)
      at += size
    }
    assert.deepEqual(out, frames)
    assert.ok(reader.atBoundary)
  }
})

test('a FrameReader and noise: no frame is longer than one may be', () => {
  const random = chance(17)
  for (let round = 0; round < 300; round++) {
    const reader = new FrameReader()
    for (let piece = 0; piece < 20; piece++)
      for (const frame of reader.push(bytesOf(random, random(200))))
        assert.ok('oversize' in frame ? frame.oversize > MAX_PAYLOAD : frame.payload.length <= MAX_PAYLOAD)
  }
})

test('a server and noise: it serves on, and nothing is left of the connection', async () => {
  const random = chance(19)
  const server = new Server(({ payload }) => payload)
  for (let round = 0; round < 500; round++) {
    const [ours, theirs] = duplexPair()
    server.serve(theirs)
    ours.on('error', () => {})
    ours.resume()
    for (let i = 0, stream = 1; i < 10; i++, stream += 2 * random(2)) {
      const frame = encodeFrame({ stream, type: FRAME.request, flags: 0, payload: mutated(random, request(random)) })
      ours.write(random(3) === 0 ? mutated(random, frame) : frame)
    }
    await turn()
    ours.destroy()
    theirs.destroy()
  }
  await turn()
  assert.deepEqual([server.connections, server.active], [0, 0])
})

test('a client and noise: each call has an end', async () => {
  const random = chance(23)
  for (let round = 0; round < 300; round++) {
    const [ours, theirs] = duplexPair()
    theirs.on('error', () => {})
    theirs.resume()
    const client = new Client(ours)
    const calls = Array.from({ length: 5 }, () => client.call('s', 'm', bytesOf(random, 3)))
    const settled = Promise.allSettled(calls)
    for (let i = 0; i < 8; i++) {
      const stream = random(12)
      const type = random(4) === 0 ? random(256) : FRAME.response
      const frame = encodeFrame({ stream, type, flags: 0, payload: mutated(random, response(random)) })
      theirs.write(random(4) === 0 ? mutated(random, frame) : frame)
    }
    await turn()
    client.close()
    theirs.destroy()
    await settled
    assert.equal(client.pending, 0)
  }
})
