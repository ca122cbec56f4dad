/** The gRPC front between a client of gRPC and a server of ttrpc. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { after, before, describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { type CallOptions, Client, credentials, type requestCallback } from '@grpc/grpc-js'
import { serveGrpc } from '../../shim/grpc/front.ts'
import { Code, MAX_PAYLOAD, RpcError, Server } from '../../shim/ttrpc/index.ts'

const asTheyAre = (bytes: Uint8Array) => Buffer.from(bytes)

describe('gRPC', () => {
  const dir = mkdtempSync(join(tmpdir(), 'grpc-'))
  const path = join(dir, 'sock')
  const monitor = new Server(async ({ service, method, payload }, { signal }) => {
    if (method === 'Kill') throw new RpcError(Code.notFound, 'process already finished: not found')
    if (method === 'Wait') return await new Promise((_, reject) => signal.addEventListener('abort', reject))
    if (method === 'Start') return Buffer.from(service)
    for (let i = payload[0] ?? 0; i < 20; i++) await turn()
    return payload
  })
  const sockets: Socket[] = []
  const listener = createServer((socket) => {
    sockets.push(socket)
    const [ours, theirs] = duplexPair()
    monitor.serve(ours)
    socket.on('close', () => ours.destroy())
    serveGrpc({ wire: socket, calls: theirs })
  })
  let client: Client
  const call = (method: string, payload: Uint8Array, options: CallOptions = {}, service = 'containerd.task.v3.Task') =>
    new Promise<Uint8Array>((resolve, reject) => {
      const answered: requestCallback<Buffer> = (error, value) =>
        error ? reject(error) : resolve(value ?? Buffer.of())
      client.makeUnaryRequest(`/${service}/${method}`, asTheyAre, asTheyAre, payload, options, answered)
    })

  before(async () => {
    listener.listen(path)
    await once(listener, 'listening')
    client = new Client(`unix:${path}`, credentials.createInsecure())
  })
  after(() => {
    client.close()
    listener.close()
    monitor.close()
    rmSync(dir, { recursive: true })
  })

  test('calls pass unread, many at a time, under both names of the service', async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => call('State', Uint8Array.of(i % 20, i))))
    assert.deepEqual(
      answers.map((answer) => answer[1]),
      answers.map((_, i) => i),
    )
    for (const service of ['containerd.task.v2.Task', 'containerd.task.v3.Task'])
      assert.equal(Buffer.from(await call('Start', Buffer.of(), {}, service)).toString(), service)
    assert.equal((await call('State', Buffer.of())).length, 0)
  })

  test('errors keep their code and text', async () => {
    await assert.rejects(call('Kill', Buffer.of()), { code: 5, details: 'process already finished: not found' })
    await assert.rejects(call('Nonsense', Buffer.of()), { code: 12 })
    await assert.rejects(call('State', new Uint8Array(MAX_PAYLOAD)), { code: 8 })
  })

  test('a caller that gives up leaves nothing, and the connection goes on', async () => {
    await assert.rejects(call('Wait', Buffer.of(), { deadline: Date.now() + 50 }), { code: 4 })
    assert.equal(Buffer.from(await call('State', Buffer.of(19, 1))).toString('hex'), '1301')
  })

  test('the end of its connection is the end of its calls', async () => {
    const waiting = call('Wait', Buffer.of())
    await call('State', Buffer.of(19))
    assert.ok(monitor.active > 0)
    for (const socket of sockets) socket.destroy()
    await assert.rejects(waiting, { code: 14 })
    while (monitor.connections > 0) await turn()
    assert.equal(monitor.active, 0)
  })
})
