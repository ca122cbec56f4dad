import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import {
  decodeRequest,
  decodeResponse,
  encodeFrame,
  encodeRequest,
  encodeResponse,
  FRAME,
  FrameReader,
  HEADER_SIZE,
  MAX_PAYLOAD,
  type Received,
  type RpcError,
} from '../../shim/ttrpc/index.ts'

const frame = (stream: number, length: number, type: number = FRAME.request) => ({
  stream,
  type,
  flags: 0,
  payload: new Uint8Array(length).fill(stream),
})
const header = (length: number, stream: number) => {
  const bytes = Buffer.alloc(HEADER_SIZE)
  bytes.writeUInt32BE(length)
  bytes.writeUInt32BE(stream, 4)
  bytes[8] = FRAME.request
  return bytes
}
const plain = (received: Received) =>
  'payload' in received ? { ...received, payload: Uint8Array.from(received.payload) } : received

describe('frames', () => {
  test('the header is big endian', () => {
    assert.deepEqual(
      [...encodeFrame({ stream: 3, type: 2, flags: 4, payload: Uint8Array.of(9) })],
      [0, 0, 0, 1, 0, 0, 0, 3, 2, 4, 9],
    )
  })

  test('come out the same however they were cut', () => {
    const frames = [frame(1, 0), frame(3, 1), frame(5, 300), frame(7, 0)]
    const bytes = Buffer.concat(frames.map(encodeFrame))
    for (const size of [1, 2, 9, 10, 11, 299, bytes.length]) {
      const reader = new FrameReader()
      const out: Received[] = []
      for (let at = 0; at < bytes.length; at += size) {
        for (const received of reader.push(bytes.subarray(at, at + size))) out.push(plain(received))
      }
      assert.deepEqual(out, frames, `pieces of ${size}`)
      assert.ok(reader.atBoundary)
    }
  })

  test('an oversize payload is skipped, and told', () => {
    for (const size of [7, 65_536, 1 << 23]) {
      const bytes = Buffer.concat([header(MAX_PAYLOAD + 5, 1), Buffer.alloc(MAX_PAYLOAD + 5), encodeFrame(frame(3, 2))])
      const reader = new FrameReader()
      const out: Received[] = []
      for (let at = 0; at < bytes.length; at += size) out.push(...reader.push(bytes.subarray(at, at + size)))
      assert.deepEqual(out.map(plain), [{ stream: 1, type: FRAME.request, oversize: MAX_PAYLOAD + 5 }, frame(3, 2)])
      if (size === 7) break
    }
  })

  test('the largest payload passes, one byte more does not', () => {
    const largest = encodeFrame(frame(1, MAX_PAYLOAD))
    assert.deepEqual(
      [...new FrameReader().push(largest)].map((received) => 'payload' in received),
      [true],
    )
    assert.throws(
      () => encodeFrame(frame(1, MAX_PAYLOAD + 1)),
      (error: RpcError) => error.code === 8,
    )
  })

  test('a cut frame is not at a boundary', () => {
    const reader = new FrameReader()
    assert.deepEqual([...reader.push(header(5, 1))], [])
    assert.equal(reader.atBoundary, false)
  })
})

describe('messages', () => {
  test('a request survives', () => {
    const request = {
      service: 'containerd.task.v2.Task',
      method: 'State',
      payload: Uint8Array.of(1, 2, 3),
      timeoutNano: 9_007_199_254_740_993n,
      metadata: [
        { key: 'a', value: 'b' },
        { key: '', value: '' },
      ],
    }
    const decoded = decodeRequest(encodeRequest(request))
    assert.deepEqual({ ...decoded, payload: Uint8Array.from(decoded.payload) }, request)
  })

  test('unknown fields are skipped, and what is cut is refused', () => {
    const bytes = encodeRequest({ service: 's', method: 'm', payload: Uint8Array.of(1) })
    assert.equal(decodeRequest(Buffer.concat([bytes, Buffer.from([0x7a, 1, 0x41])])).method, 'm')
    assert.throws(() => decodeRequest(bytes.subarray(0, bytes.length - 1)))
  })

  test('an empty answer takes no byte; an error has its code', () => {
    assert.equal(encodeResponse({ payload: new Uint8Array() }).length, 0)
    const status = { code: 5, message: 'container not created: not found' }
    assert.deepEqual(decodeResponse(encodeResponse({ status, payload: new Uint8Array() })).status, status)
  })
})

test('the module stands by itself', () => {
  const dir = join(import.meta.dirname, '../../shim/ttrpc')
  for (const file of globSync('*.ts', { cwd: dir })) {
    const text = readFileSync(join(dir, file), 'utf8')
    for (const [, from = ''] of text.matchAll(/\bfrom '([^']+)'/g))
      assert.match(from, /^\.\/|^node:(net|stream)$|^protobufjs\/minimal\.js$/, file)
  }
})
