/** The ttrpc client and server, with each other and with what neither would say. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Duplex, duplexPair } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import {
  Client,
  Code,
  decodeRequest,
  decodeResponse,
  encodeFrame,
  encodeRequest,
  FRAME,
  FrameReader,
  HEADER_SIZE,
  MAX_PAYLOAD,
  methods,
  RpcError,
  Server,
} from '../../shim/ttrpc/index.ts'

const NONE = new Uint8Array()
const never = () => new Promise<never>(() => {})
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

describe('over a socket', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ttrpc-'))
  const path = join(dir, 'sock')
  const aborted: string[] = []
  const server = new Server(
    (request, { signal }) => {
      if (request.method === 'metadata') return Buffer.from(JSON.stringify(request.metadata))
      return methods({
        s: {
          fail: () => {
            throw new RpcError(Code.failedPrecondition, 'no s')
          },
          odd: () => {
            throw new TypeError('not meant')
          },
          never,
          notice: (payload) => {
            signal.addEventListener('abort', () => aborted.push(text(payload)))
            return never()
          },
          echo: (payload) => payload,
          long: () => new Uint8Array(MAX_PAYLOAD + 1),
          // Later calls are answered sooner.
          later: async (payload) => {
            for (let i = payload[0] ?? 0; i < 20; i++) await turn()
            return payload
          },
        },
      })(request, { signal })
    },
    { maxConcurrent: 50 },
  )
  before(() => server.listen(path))
  after(() => {
    server.close()
    rmSync(dir, { recursive: true })
  })
  const connected = async (use: (client: Client) => Promise<void>) => {
    const client = await Client.connect(`unix://${path}`)
    try {
      await use(client)
    } finally {
      client.close()
    }
  }
  const gone = async () => {
    while (server.connections > 0) await turn()
  }

  test('calls run at the same time and get their own answers, in whatever order these come', () =>
    connected(async (client) => {
      const order: number[] = []
      const call = async (i: number) => {
        const [answer] = await client.call('s', 'later', Uint8Array.of(i))
        assert.equal(answer, i)
        order.push(i)
      }
      await Promise.all(Array.from({ length: 20 }, (_, i) => call(i)))
      assert.notDeepEqual(
        order,
        order.toSorted((a, b) => a - b),
      )
    }))

  test('errors, what is not there, and metadata', () =>
    connected(async (client) => {
      await assert.rejects(client.call('s', 'fail', NONE), { code: 9, message: 'no s' })
      await assert.rejects(client.call('s', 'odd', NONE), { code: 2, message: 'not meant' })
      await assert.rejects(client.call('t', 'echo', NONE), { code: 12, message: 'service t' })
      await assert.rejects(client.call('s', 'toString', NONE), { code: 12, message: 'method toString' })
      await assert.rejects(client.call('constructor', 'name', NONE), { code: 12 })
      await assert.rejects(client.call('s', 'long', NONE), { code: 8 })
      await assert.rejects(client.call('s', 'echo', new Uint8Array(MAX_PAYLOAD)), { code: 8 }, 'the message is longer')
      const metadata = await client.call('s', 'metadata', NONE, { metadata: { 'containerd-namespace-ttrpc': 'ns' } })
      assert.deepEqual(JSON.parse(text(metadata)), [{ key: 'containerd-namespace-ttrpc', value: 'ns' }])
    }))

  test('the largest messages pass', () =>
    connected(async (client) => {
      const payload = new Uint8Array(MAX_PAYLOAD - 32).fill(7)
      assert.deepEqual(Buffer.compare(await client.call('s', 'echo', payload), payload), 0)
    }))

  test('a time limit ends a call on both sides', () =>
    connected(async (client) => {
      await assert.rejects(client.call('s', 'notice', Buffer.from('late'), { timeoutMs: 5 }), { code: 4 })
      while (!aborted.includes('late')) await turn()
      assert.deepEqual([client.pending, server.active], [0, 0])
      // A server whose clock is the faster one answers by itself.
      const [ours, theirs] = duplexPair()
      server.serve(theirs)
      ours.write(frameOf(1, { method: 'never', timeoutNano: 1_000_000n }))
      assert.deepEqual(await codes(ours, 1), [[1, 4]])
      ours.destroy()
    }))

  test('a caller that gives up, before and after the call', () =>
    connected(async (client) => {
      await assert.rejects(client.call('s', 'echo', NONE, { signal: AbortSignal.abort() }), { code: 1 })
      const caller = new AbortController()
      const call = client.call('s', 'never', NONE, { signal: caller.signal })
      caller.abort()
      await assert.rejects(call, { code: 1, message: 'never: given up by its caller' })
      assert.equal(client.pending, 0)
      assert.equal(text(await client.call('s', 'echo', Buffer.from('on'))), 'on')
    }))

  test('the end of a connection fails what has no answer, and tells the handlers', async () => {
    await connected(async (client) => {
      const call = client.call('s', 'notice', Buffer.from('closed'))
      await client.call('s', 'echo', NONE)
      client.close()
      await assert.rejects(call, { code: 14 })
      await assert.rejects(client.call('s', 'echo', NONE), { code: 14 })
    })
    await gone()
    assert.ok(aborted.includes('closed'))
    assert.equal(server.active, 0)
  })

  test('more calls than are served at a time are refused, and the connection goes on', () =>
    connected(async (client) => {
      const caller = new AbortController()
      const waiting = Array.from({ length: 50 }, () => client.call('s', 'never', NONE, { signal: caller.signal }))
      await assert.rejects(client.call('s', 'echo', NONE), { code: 8 })
      assert.equal(server.active, 50)
      caller.abort()
      await Promise.allSettled(waiting)
    }))

  test('many connections at once', async () => {
    await gone()
    const clients = await Promise.all(Array.from({ length: 100 }, () => Client.connect(path)))
    const answers = await Promise.all(clients.map((client, i) => client.call('s', 'echo', Buffer.from(`${i}`))))
    assert.deepEqual(
      answers.map(text),
      clients.map((_, i) => `${i}`),
    )
    assert.equal(server.connections, 100)
    for (const client of clients) client.close()
    await gone()
  })

  test('10,000 calls leave nothing behind, those that were given up among them', () =>
    connected(async (client) => {
      const one = async (i: number) => {
        const caller = new AbortController()
        const method = ['echo', 'fail', 'later', 'echo'][i % 4] ?? ''
        const call = client.call('s', method, Uint8Array.of(19), { signal: caller.signal, timeoutMs: 60_000 })
        if (i % 4 === 3) caller.abort()
        await call.catch((error: RpcError) => assert.ok(error.code === (i % 4 === 1 ? 9 : 1)))
      }
      for (let i = 0; i < 10_000; i += 40) await Promise.all(Array.from({ length: 40 }, (_, k) => one(i + k)))
      await client.call('s', 'echo', NONE)
      assert.deepEqual([client.pending, server.active], [0, 0])
    }))

  test('what the server refuses: numbers, lengths, types, and bytes that are no request', async () => {
    const socket = connect(path)
    const echo = { method: 'echo' }
    socket.write(frameOf(2, echo))
    socket.write(frameOf(3, echo))
    socket.write(frameOf(1, echo))
    socket.write(header(MAX_PAYLOAD + 1, 5))
    socket.write(new Uint8Array(MAX_PAYLOAD + 1))
    socket.write(encodeFrame({ stream: 7, type: FRAME.data, flags: 1, payload: NONE }))
    socket.write(encodeFrame({ stream: 9, type: 77, flags: 0, payload: NONE })) // a later version's
    socket.write(encodeFrame({ stream: 11, type: FRAME.request, flags: 0, payload: Uint8Array.of(10, 99, 1) }))
    socket.write(frameOf(13, echo))
    assert.deepEqual(await codes(socket, 7), [
      [1, 3],
      [2, 3],
      [3, 0],
      [5, 8],
      [7, 3],
      [11, 3],
      [13, 0],
    ])
    socket.destroy()
  })
})

describe('a server that', () => {
  test('answers nonsense fails that call only', async () => {
    const [ours, theirs] = duplexPair()
    const client = new Client(ours)
    const calls = [1, 3, 5].map((i) => client.call('s', `m${i}`, NONE))
    const answer = (stream: number, payload: Uint8Array) =>
      theirs.write(encodeFrame({ stream, type: FRAME.response, flags: 0, payload }))
    answer(99, NONE) // never asked
    answer(1, Uint8Array.of(18, 200))
    theirs.write(Buffer.concat([header(MAX_PAYLOAD + 1, 3, FRAME.response), Buffer.alloc(MAX_PAYLOAD + 1)]))
    answer(5, Uint8Array.of(18, 1, 65))
    const settled = await Promise.allSettled(calls)
    assert.deepEqual(
      settled.map((one) => (one.status === 'fulfilled' ? text(one.value) : (one.reason as RpcError).code)),
      [13, 8, 'A'],
    )
    client.close()
  })

  test('goes away fails the calls', async () => {
    const [ours, theirs] = duplexPair()
    const client = new Client(ours)
    const call = client.call('s', 'm', NONE)
    theirs.end()
    await assert.rejects(call, { code: 14 })
    await assert.rejects(client.call('s', 'm', NONE), { code: 14 })
  })
})

test('a client that takes no answers is asked for no more', async () => {
  const [ours, theirs] = duplexPair()
  let served = 0
  const server = new Server(() => {
    served++
    return new Uint8Array(64 << 10)
  })
  server.serve(theirs)
  for (let stream = 1; stream < 2000; stream += 2) {
    ours.write(frameOf(stream, { method: 'm' }))
    await turn()
  }
  assert.ok(served < 100, `${served} requests were served`)
  ours.resume()
  while (served < 1000) await turn()
  server.close()
})

const header = (length: number, stream: number, type: number = FRAME.request) => {
  const bytes = Buffer.alloc(HEADER_SIZE)
  bytes.writeUInt32BE(length)
  bytes.writeUInt32BE(stream, 4)
  bytes[8] = type
  return bytes
}

const frameOf = (stream: number, more: { method: string; timeoutNano?: bigint }) => {
  const payload = encodeRequest({ service: 's', payload: NONE, ...more })
  assert.equal(decodeRequest(payload).method, more.method)
  return encodeFrame({ stream, type: FRAME.request, flags: 0, payload })
}

/** The codes of so many answers, by stream. */
const codes = async (stream: Duplex, count: number): Promise<[number, number][]> => {
  const reader = new FrameReader()
  const found: [number, number][] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const take = (chunk: Uint8Array) => {
    for (const frame of reader.push(chunk))
      found.push([frame.stream, 'payload' in frame ? (decodeResponse(frame.payload).status?.code ?? 0) : -1])
    if (found.length >= count) resolve()
  }
  stream.on('data', take)
  await promise
  stream.off('data', take)
  return found.sort(([a], [b]) => a - b)
}
