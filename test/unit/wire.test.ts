import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type AgentMessage,
  type ControllerMessage,
  decodeAgentMessage,
  decodeCommand,
  decodeCommandAnswer,
  decodeControllerMessage,
  decodeMonitorRequest,
  encodeAgentMessage,
  encodeCommand,
  encodeCommandAnswer,
  encodeControllerMessage,
  type Frame,
  FrameReader,
  MAX_FRAME,
  pairs,
} from '../../src/controller/wire.ts'
import { MalformedError } from '../../src/plan/bytes.ts'

const bytes = (...values: number[]) => new Uint8Array(values)

const fromAgent: AgentMessage[] = [
  { type: 'hello', protocol: 1, build: 'b', role: 2, seq: 7n, record: bytes(1, 2), context: ['id=x', 'pid=3'] },
  { type: 'request', id: 1n, kind: 2, strikes: 0, body: bytes() },
  { type: 'outcome', id: 1n, step: 'config', outcome: bytes(0, 0, 0, 0, 0) },
  { type: 'refused', id: 1n, seq: 8n, record: bytes(9) },
  { type: 'wire', bytes: bytes(1, 2, 3) },
  { type: 'calls', bytes: bytes() },
]

const fromController: ControllerMessage[] = [
  { type: 'welcome', protocol: 1, build: 'b' },
  { type: 'step', id: 3n, name: 'é', plan: bytes(1) },
  { type: 'step', id: 3n, name: 'last', plan: bytes(1), whenDone: bytes(2, 3) },
  { type: 'step', id: 3n, name: 'last', plan: bytes(1), whenDone: bytes() },
  {
    type: 'commit',
    id: 3n,
    base: 7n,
    record: bytes(),
    leave: true,
    answers: [{ id: 3n, payload: bytes(5) }],
    acknowledged: [4n],
    events: [bytes(6), bytes()],
    drops: ['a/b', 'c'],
  },
  {
    type: 'commit',
    id: 4n,
    base: 7n,
    record: undefined,
    leave: false,
    answers: [],
    acknowledged: [],
    events: [],
    drops: [],
  },
  { type: 'wire', bytes: bytes() },
  { type: 'calls', bytes: bytes(4) },
]

const join = (chunks: Uint8Array[]) => new Uint8Array(Buffer.concat(chunks))

test('every message survives the wire, however the stream is cut', () => {
  const stream = join(fromAgent.map(encodeAgentMessage))
  for (let cut = 0; cut <= stream.length; cut++) {
    const reader = new FrameReader()
    const frames = [...reader.push(stream.subarray(0, cut)), ...reader.push(stream.subarray(cut))]
    assert.deepEqual(frames.map(decodeAgentMessage), fromAgent, `cut at ${cut}`)
  }
  const reader = new FrameReader()
  const one: Frame[] = []
  for (const byte of stream) one.push(...reader.push(bytes(byte)))
  assert.deepEqual(one.map(decodeAgentMessage), fromAgent)
  const back = new FrameReader().push(join(fromController.map(encodeControllerMessage)))
  assert.deepEqual(back.map(decodeControllerMessage), fromController)
})

test('a frame is a length, a type and a payload', () => {
  const frame = Buffer.from(encodeControllerMessage({ type: 'welcome', protocol: 1, build: 'ab' }))
  assert.equal(frame.toString('hex'), '0c000000' + '01' + '01000000' + '02000000' + '616200')
})

test('lengths out of bounds are refused', () => {
  const head = (length: number) => new Uint8Array(new Uint32Array([length]).buffer)
  assert.throws(() => new FrameReader().push(head(0)), MalformedError)
  assert.throws(() => new FrameReader().push(head(MAX_FRAME + 1)), MalformedError)
  assert.throws(() => new FrameReader().push(head(0xffffffff)), MalformedError)
  assert.deepEqual(new FrameReader().push(head(MAX_FRAME)), [])
})

test('messages that are cut, too long or of an unknown type are refused', () => {
  for (const message of fromAgent) {
    const [frame] = new FrameReader().push(encodeAgentMessage(message))
    assert.ok(frame)
    for (let length = 0; length < frame.payload.length; length++)
      assert.throws(() => decodeAgentMessage({ ...frame, payload: frame.payload.subarray(0, length) }), MalformedError)
    assert.throws(() => decodeAgentMessage({ ...frame, payload: bytes(...frame.payload, 0) }), MalformedError)
  }
  assert.throws(() => decodeAgentMessage({ type: 9, payload: bytes() }), MalformedError)
  assert.throws(() => decodeControllerMessage({ type: 0, payload: bytes() }), MalformedError)
})

test('commands and their answers', () => {
  const request = {
    argv: ['--root', '/r', 'state', 'x'],
    env: { A: '1=2', B: '' },
    cwd: '/c',
    uid: 1,
    gid: 2,
    pid: 3,
    ttys: [true, false, true],
    rows: 24,
    cols: 80,
    listenFds: 0,
    round: 0,
    runDir: '/run/user/1/berth',
    attempt: new Uint8Array([1, 2]),
  } as const
  assert.deepEqual({ ...decodeCommand(encodeCommand(request)) }, { ...request, env: pairs(['A=1=2', 'B=']) })
  const answer = decodeCommandAnswer(encodeCommandAnswer({ exitCode: 3, stdout: 'é', stderr: bytes(1) }))
  assert.deepEqual(answer, { exitCode: 3, stdout: bytes(0xc3, 0xa9), stderr: bytes(1), again: false })
})

test('an environment is an object without a prototype, the first of a name wins', () => {
  const env = pairs(['__proto__=x', 'A=1', 'A=2', 'none', '=y'])
  assert.deepEqual(Object.entries(env), [
    ['__proto__', 'x'],
    ['A', '1'],
  ])
  assert.equal(env.toString, undefined)
})

test('requests of monitors', () => {
  const u64 = (value: bigint) => [...new Uint8Array(new BigUint64Array([value]).buffer)]
  const u32 = (value: number) => [...new Uint8Array(new Uint32Array([value]).buffer)]
  assert.deepEqual(decodeMonitorRequest(1n, 2, bytes(...u64(5n), ...u64(6n), ...u32(1), 9)), {
    kind: 'ttrpc',
    id: 1n,
    connection: 5n,
    time: 6n,
    message: bytes(9),
  })
  const exit = bytes(...u64(5n), ...u32(1), 0x78, 0, ...u32(7), ...u32(256), ...u64(10n), ...u32(1))
  assert.deepEqual(decodeMonitorRequest(2n, 3, exit), {
    kind: 'exit',
    id: 2n,
    serial: 5n,
    key: 'x',
    pid: 7,
    waitStatus: 256,
    time: 10n,
    oom: true,
  })
  assert.deepEqual(decodeMonitorRequest(3n, 4, bytes(...u64(5n))), { kind: 'disconnected', id: 3n, connection: 5n })
  const oom = bytes(...u64(6n), ...u32(1), 0x78, 0)
  assert.deepEqual(decodeMonitorRequest(4n, 5, oom), { kind: 'oom', id: 4n, serial: 6n, key: 'x' })
  assert.throws(() => decodeMonitorRequest(3n, 1, bytes()), MalformedError)
})
