/**
 * What no client of the task API would say, to the real monitor: each time an error or a closed connection, while another client's task goes
 * on undisturbed, and the monitor has afterwards the memory and the descriptors that it had before.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, globSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { encodeFrame, encodeRequest, FRAME, MAX_PAYLOAD } from '../../shim/ttrpc/index.ts'
import { notHere } from '../harness/bundle.ts'
import { nothingLeft, snapshot, until } from '../harness/host.ts'
import { closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { frameHeader, Raw, requestFrame } from '../harness/raw.ts'
import { Daemon } from '../harness/shim.ts'

const v2 = containerd.task
const NONE = new Uint8Array()
const stateOf = (id: string) => v2.StateRequest.encode({ id }).finish()
const MIB = 1 << 20

describe('bad input', { skip: notHere }, () => {
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  let pristine: Set<string>
  let task: Task
  let path: string
  let monitor: number
  let early: { descriptors: number; kb: number }
  const open: Raw[] = []

  const raw = async () => {
    const connection = await Raw.open(path)
    open.push(connection)
    return connection
  }
  const descriptors = () => readdirSync(`/proc/${monitor}/fd`).length
  const privateKb = () =>
    Number(/Private_Dirty: +(\d+)/.exec(readFileSync(`/proc/${monitor}/smaps_rollup`, 'utf8'))?.[1])
  /** The task is as it was, and its client is answered at once. */
  const undisturbed = async () => {
    const begin = performance.now()
    const { status } = v2.StateResponse.decode(await task.call('State', stateOf('victim')))
    assert.equal(status, v2.Status.RUNNING)
    assert.ok(performance.now() - begin < 2000)
  }

  before(async () => {
    pristine = snapshot()
    daemon = new Daemon()
    image = new Image()
    events = eventsSocket(daemon)
    task = await Task.start(daemon, 'victim', image.config(['/bin/sleep', '1000']))
    path = await daemon.start('victim')
    await task.create(image)
    await task.call('Start', v2.StartRequest.encode({ id: 'victim' }).finish())
    const request = v2.ConnectRequest.encode({ id: 'victim' }).finish()
    monitor = v2.ConnectResponse.decode(await task.call('Connect', request)).shimPid
  })
  after(async () => {
    try {
      await task.call('Kill', v2.KillRequest.encode({ id: 'victim', signal: 9 }).finish())
      await task.call('Wait', v2.WaitRequest.encode({ id: 'victim' }).finish())
      await task.call('Delete', v2.DeleteRequest.encode({ id: 'victim' }).finish())
      await task.call('Shutdown', v2.ShutdownRequest.encode({ id: 'victim' }).finish())
    } finally {
      closeClients()
      await daemon.delete('victim')
      events.close()
      daemon[Symbol.dispose]()
      image[Symbol.dispose]()
    }
    await nothingLeft(pristine)
  })
  beforeEach(() => {
    early = { descriptors: descriptors(), kb: privateKb() }
  })
  afterEach(async () => {
    await undisturbed()
    await Promise.all(open.splice(0).map((connection) => connection.close()))
    await until('descriptors as before', () => descriptors() <= early.descriptors)
    await until(`memory as before`, () => privateKb() <= early.kb + 128)
    await undisturbed()
  })

  it('frames that are refused, and a connection that goes on', async () => {
    const client = (await raw()).listen()
    const frames = [
      requestFrame(4, 'State', stateOf('victim')),
      requestFrame(5, 'State', stateOf('victim')),
      requestFrame(3, 'State', stateOf('victim')),
      encodeFrame({ stream: 7, type: FRAME.data, flags: 1, payload: Uint8Array.of(1, 2, 3) }),
      encodeFrame({ stream: 9, type: FRAME.response, flags: 0, payload: NONE }),
      encodeFrame({ stream: 11, type: 200, flags: 255, payload: NONE }),
      frameHeader(5 * MIB, 13),
      new Uint8Array(5 * MIB),
      encodeFrame({ stream: 15, type: FRAME.request, flags: 255, payload: NONE }),
      requestFrame(0xffffffff, 'State', stateOf('victim')),
      requestFrame(17, 'State', stateOf('victim')),
    ]
    for (const frame of frames) client.socket.write(frame)
    const codes = new Map<number, number | undefined>()
    for (const stream of [3, 4, 5, 7, 13, 15, 17, 0xffffffff]) codes.set(stream, (await client.answer(stream))?.code)
    assert.deepEqual(Object.fromEntries(codes), { 3: 3, 4: 3, 5: 0, 7: 3, 13: 8, 15: 12, 17: 3, 4294967295: 0 })
    assert.equal(client.answers, 0, 'a response and a type of later versions have no answer')
  })

  it('a number that was used once, again', async () => {
    const client = (await raw()).listen()
    client.socket.write(requestFrame(1, 'State', stateOf('victim')))
    assert.equal((await client.answer(1))?.code, 0)
    client.socket.write(requestFrame(1, 'State', stateOf('victim')))
    assert.match((await client.answer(1))?.message ?? '', /StreamID cannot be re-used/)
  })

  it('services, methods and messages that are none', async () => {
    const client = (await raw()).listen()
    const whole = encodeRequest({ service: 'containerd.task.v2.Task', method: 'State', payload: stateOf('victim') })
    const request = (payload: Uint8Array) => (stream: number) =>
      encodeFrame({ stream, type: FRAME.request, flags: 0, payload })
    const call =
      (method: string, payload: Uint8Array, service = 'containerd.task.v2.Task') =>
      (stream: number) =>
        requestFrame(stream, method, payload, service)
    const cases: [name: string, frame: (stream: number) => Uint8Array, code: number, message: RegExp][] = [
      [
        'an unknown service',
        call('State', NONE, 'containerd.task.v9.Task'),
        12,
        /^service containerd\.task\.v9\.Task$/,
      ],
      ['an unknown method', call('Nonsense', NONE), 12, /^method Nonsense$/],
      ['a method of every object', call('hasOwnProperty', NONE), 12, /^method hasOwnProperty$/],
      ['a prototype', call('__proto__', NONE), 12, /^method __proto__$/],
      ['no id', call('State', NONE), 5, /not found/],
      ['an id that is a path', call('State', stateOf('../../etc')), 5, /not found/],
      ['half a Request', request(whole.subarray(0, whole.length >> 1)), 3, /malformed request/],
      [
        'a Request of noise',
        request(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
        3,
        /malformed/,
      ],
      [
        'a StateRequest that is cut off',
        call('State', Uint8Array.of(10, 99, 65)),
        13,
        /^ttrpc: error unmarshalling payload: /,
      ],
      ['an id that is a number', call('State', Uint8Array.of(8, 5)), 5, /not found/],
      ['an id of 64 bits', call('State', Uint8Array.of(9, 1, 2, 3, 4, 5, 6, 7, 8)), 5, /not found/],
      ['an id that is a group', call('State', Uint8Array.of(11, 12)), 5, /not found/],
      ['a wire type that is none', call('State', Uint8Array.of(15, 1)), 13, /^ttrpc: error unmarshalling payload: /],
      [
        'groups without end',
        call('State', new Uint8Array(100_000).fill(11)),
        13,
        /^ttrpc: error unmarshalling payload: /,
      ],
      ['a signal that is a string', call('Kill', Uint8Array.of(10, 6, ...Buffer.from('victim'), 26, 1, 57)), 0, /^$/],
      [
        'an Exec without a process',
        call('Exec', v2.ExecRequest.encode({ id: 'victim', execId: 'e' }).finish()),
        3,
        /./,
      ],
      [
        'a Create of a container that is there',
        call('Create', v2.CreateRequest.encode({ id: 'victim', bundle: '/' }).finish()),
        2,
        /already exists/,
      ],
      ['a Create of nothing', call('Create', NONE), 2, /./],
    ]
    const seen: [string, number | undefined][] = []
    for (const [index, [name, frame, , message]] of cases.entries()) {
      client.socket.write(frame(2 * index + 1))
      const answer = await client.answer(2 * index + 1)
      seen.push([name, answer?.code])
      assert.match(answer?.message ?? '', message, name)
    }
    assert.deepEqual(
      seen,
      cases.map(([name, , code]) => [name, code]),
    )
  })

  it('noise, cut anywhere', async () => {
    let seed = 1
    const random = (below: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      return Math.floor((seed / 2 ** 32) * below)
    }
    const whole = requestFrame(1, 'State', stateOf('victim'))
    for (let round = 0; round < 300; round++) {
      const client = await Raw.open(path)
      const bytes = Uint8Array.from(whole)
      for (let changes = random(4); changes >= 0; changes--) bytes[random(bytes.length)] = random(256)
      client.socket.end(bytes.subarray(0, 1 + random(bytes.length)))
      client.socket.resume()
      await client.isClosed()
    }
  })

  it('other protocols', async () => {
    const http = (await raw()).listen()
    http.socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    assert.equal((await http.answer(Buffer.from('/ HT').readUInt32BE()))?.code, 8)
    // Half of what an HTTP/2 client begins with, and all of it with nonsense behind.
    const half = await raw()
    half.socket.write('PRI * HTTP/2.0\r\n')
    const grpc = await raw()
    grpc.socket.write(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'\xff'.repeat(1000)}`)
    grpc.socket.resume()
    await grpc.isClosed()
    await half.close()
  })

  it('messages that are begun and never ended', async () => {
    const clients = await Promise.all(Array.from({ length: 100 }, raw))
    for (const client of clients) {
      client.listen().socket.write(frameHeader(MAX_PAYLOAD, 1))
      client.socket.write(new Uint8Array(2 * MIB))
    }
    await Promise.all(clients.map(({ socket }) => (socket.writableNeedDrain ? once(socket, 'drain') : undefined)))
    const refused = await Promise.race(clients.map((client) => client.answer(1)))
    assert.equal(refused?.code, 8)
    await until('all is read', () => clients.every(({ socket }) => socket.writableLength === 0))
    assert.ok(privateKb() < early.kb + 64 * 1024, `${privateKb()} kB of what others began`)
  })

  it('a client that asks without end and takes no answer', async () => {
    for (const frames of [
      (from: number) => requestFrame(from, 'State', stateOf('victim')),
      (from: number) => frameHeader(0, from + 1), // refused by the monitor itself
    ]) {
      const client = await raw()
      client.socket.pause()
      let stream = 1
      let sent = 0
      const more = () => {
        for (; !client.socket.writableNeedDrain && sent < 64 * MIB; stream += 2 * 500) {
          const batch = Buffer.concat(Array.from({ length: 500 }, (_, i) => frames(stream + 2 * i)))
          sent += batch.length
          client.socket.write(batch)
        }
      }
      client.socket.on('drain', more)
      more()
      let before = -1
      let stalls = 0
      await until('it is read no further', async () => {
        await undisturbed()
        const written = client.socket.bytesWritten - client.socket.writableLength
        stalls = written === before ? stalls + 1 : 0
        before = written
        return stalls > 20
      })
      assert.ok(sent < 64 * MIB)
      assert.ok(privateKb() < early.kb + 24 * 1024, `${privateKb()} kB for one who does not listen`)
      await client.close()
    }
  })

  it('thousands of connections, one after the other', async () => {
    for (let i = 0; i < 3000; i += 50) {
      const batch = await Promise.all(Array.from({ length: 50 }, () => Raw.open(path)))
      for (const [at, client] of batch.entries())
        if (at % 2 === 0) client.socket.write(requestFrame(1, 'State', stateOf('victim')))
      await Promise.all(batch.map((client) => client.close()))
    }
  })

  it('hundreds that ask to wait, and go: nobody is remembered', async () => {
    const wait = requestFrame(1, 'Wait', v2.WaitRequest.encode({ id: 'victim' }).finish())
    for (let i = 0; i < 20; i++) {
      const clients = await Promise.all(Array.from({ length: 50 }, () => Raw.open(path)))
      for (const { socket } of clients) socket.write(wait, () => socket.destroy())
    }
    await undisturbed()
    const [record = ''] = globSync(`/run/berth/.shim/*/${daemon.namespace}/victim/record`)
    await until('no Wait is in the record', () => !/"waiters":\[\{/.test(readFileSync(record, 'utf8')))
  })

  it('more connections at once than are served: the others wait, and what is connected works on', async () => {
    const clients = await Promise.all(Array.from({ length: 560 }, raw))
    const last = clients.at(-1)?.listen()
    last?.socket.write(requestFrame(1, 'State', stateOf('victim')))
    await undisturbed()
    assert.equal(last?.answers, 0)
    assert.ok(descriptors() < early.descriptors + 520)
    await task.call('Pids', v2.PidsRequest.encode({ id: 'victim' }).finish())
    await Promise.all(clients.slice(0, 100).map((client) => client.close()))
    assert.equal((await last?.answer(1))?.code, 0)
  })

  it('another user', async () => {
    const [socket, dir] = [statSync(path).mode, statSync(dirname(path)).mode]
    chmodSync(path, 0o666)
    chmodSync(dirname(path), 0o711)
    try {
      const script = `
        const socket = require('net').connect(process.argv[1])
        socket.write(Buffer.from(process.argv[2], 'hex'))
        socket.on('error', () => {})
        socket.on('data', () => process.exit(7))
        socket.on('close', () => process.exit(0))`
      const ask = Buffer.from(requestFrame(1, 'State', stateOf('victim'))).toString('hex')
      const child = spawn(process.execPath, ['-e', script, path, ask], {
        uid: 65534,
        gid: 65534,
        stdio: ['ignore', 2, 2],
      })
      const [code] = await once(child, 'close')
      assert.equal(code, 0, 'closed without an answer')
    } finally {
      chmodSync(path, socket & 0o7777)
      chmodSync(dirname(path), dir & 0o7777)
    }
  })
})
