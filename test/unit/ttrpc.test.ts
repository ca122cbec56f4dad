import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Client } from '../../shim/ttrpc/client.ts'
import { encodeFrame, FRAME, FrameReader, HEADER_SIZE, MAX_PAYLOAD, type Received } from '../../shim/ttrpc/frame.ts'
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from '../../shim/ttrpc/message.ts'
import { serve } from '../../shim/ttrpc/server.ts'
import { RpcError } from '../../shim/ttrpc/status.ts'

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

describe('client and server', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ttrpc-'))
  const path = join(dir, 'sock')
  let server: Awaited<ReturnType<typeof serve>>
  before(async () => {
    server = await serve(path, async ({ service, method, payload, metadata }) => {
      if (method === 'fail') throw new RpcError(9, `no ${service}`)
      if (method === 'never') return new Promise(() => {})
      if (method === 'metadata') return Buffer.from(JSON.stringify(metadata))
      // Later calls are answered sooner.
      await new Promise((resolve) => setTimeout(resolve, 20 - (payload[0] ?? 0)))
      return payload
    })
  })
  after(() => {
    server.close()
    rmSync(dir, { recursive: true })
  })

  test('calls run at the same time and get their own answers', async () => {
    const client = await Client.connect(`unix://${path}`)
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => client.call('s', 'echo', Uint8Array.of(i))))
    assert.deepEqual(
      answers.map(([first]) => first),
      Array.from({ length: 20 }, (_, i) => i),
    )
    client.close()
  })

  test('errors, metadata, a time limit, and the end of the connection', async () => {
    const client = await Client.connect(path)
    const none = new Uint8Array()
    await assert.rejects(client.call('s', 'fail', none), { code: 9, message: 'no s' })
    const metadata = await client.call('s', 'metadata', none, { metadata: { 'containerd-namespace-ttrpc': 'ns' } })
    assert.deepEqual(JSON.parse(Buffer.from(metadata).toString()), [{ key: 'containerd-namespace-ttrpc', value: 'ns' }])
    await assert.rejects(client.call('s', 'never', none, { timeoutMs: 10 }), { code: 4 })
    const pending = client.call('s', 'never', none)
    client.close()
    await assert.rejects(pending, { code: 14 })
    await assert.rejects(client.call('s', 'echo', none), { code: 14 })
  })

  test('an even or repeated stream, and a payload that is too long', async () => {
    const socket = connect(path)
    const request = encodeRequest({ service: 's', method: 'echo', payload: new Uint8Array() })
    const send = (stream: number) =>
      socket.write(encodeFrame({ stream, type: FRAME.request, flags: 0, payload: request }))
    send(2)
    send(3)
    send(1)
    socket.write(header(MAX_PAYLOAD + 1, 5))
    const reader = new FrameReader()
    const codes = new Map<number, number>()
    for await (const chunk of socket) {
      for (const received of reader.push(chunk as Buffer)) {
        codes.set(received.stream, 'payload' in received ? (decodeResponse(received.payload).status?.code ?? 0) : -1)
      }
      if (codes.size === 4) break
    }
    assert.deepEqual([...codes].sort(), [
      [1, 3],
      [2, 3],
      [3, 0],
      [5, 8],
    ])
  })
})
