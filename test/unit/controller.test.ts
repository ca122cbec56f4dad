import assert from 'node:assert/strict'
import { type Duplex, duplexPair } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { failureText, stepError } from '../../src/controller/failure.ts'
import { Idle, MEMORY_BOUND } from '../../src/controller/idle.ts'
import { compact, memoryInUse } from '../../src/controller/memory.ts'
import { type Services, Session } from '../../src/controller/session.ts'
import type {
  CommandRequest,
  ControllerStatus,
  CreateShim,
  RunCommand,
  ServeFront,
} from '../../src/controller/types.ts'
import {
  type AgentMessage,
  type ControllerMessage,
  decodeCommandAnswer,
  decodeControllerMessage,
  encodeAgentMessage,
  encodeCommand,
  FrameReader,
  PROTOCOL,
} from '../../src/controller/wire.ts'
import { BerthError } from '../../src/errors.ts'
import { encodeOutcome } from '../../src/plan/encode.ts'
import type { Plan } from '../../src/plan/ops.ts'

const REQUEST: CommandRequest = {
  argv: [],
  env: {},
  cwd: '/',
  uid: 0,
  gid: 0,
  pid: 1,
  ttys: [false, false, false],
  rows: 0,
  cols: 0,
  listenFds: 0,
  round: 0,
  runDir: '/run/berth',
  attempt: new Uint8Array(),
}
const STATUS: ControllerStatus = {
  pid: 4711,
  build: 'b1',
  uptimeMs: 0,
  sessions: 1,
  holds: 0,
  requests: 1,
  memory: 0,
  memoryBound: MEMORY_BOUND,
  idleMs: 1000,
}
const PLAN: Plan = [{ op: 'clock' }]
const bytes = (...values: number[]) => new Uint8Array(values)
const done = (...results: [number, Uint8Array][]) => encodeOutcome({ error: undefined, results: new Map(results) })

class Agent {
  readonly session: Session
  readonly messages: ControllerMessage[] = []
  readonly log: string[] = []
  closed = false
  readonly #stream: Duplex
  readonly #theirs: Duplex

  constructor({ commands, shims, fronts }: { commands?: RunCommand; shims?: CreateShim; fronts?: ServeFront }) {
    const [ours, theirs] = duplexPair()
    this.#stream = ours
    this.#theirs = theirs
    const services: Services = {
      build: 'b1',
      commands: async () => commands ?? assert.fail('no command is expected'),
      shims: async () => shims ?? assert.fail('no shim is expected'),
      fronts: async () => fronts ?? assert.fail('no front is expected'),
      log: (line) => this.log.push(line),
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.session = new Session(theirs, services, {
      status: () => STATUS,
      stop: () => resolve(),
      stopped: promise,
      changed: () => {},
    })
    const frames = new FrameReader()
    ours.on('data', (chunk: Buffer) =>
      this.messages.push(...frames.push(new Uint8Array(chunk)).map(decodeControllerMessage)),
    )
    const over = () => {
      this.closed = true
      ours.destroy()
    }
    ours.on('end', over).on('close', over)
    theirs.on('close', over)
  }

  async send(...messages: AgentMessage[]): Promise<void> {
    this.#stream.write(Buffer.concat(messages.map(encodeAgentMessage)))
    await settle()
  }

  async hello(role: number, more: Partial<Extract<AgentMessage, { type: 'hello' }>> = {}): Promise<void> {
    await this.send({
      type: 'hello',
      protocol: PROTOCOL,
      build: 'b1',
      role,
      seq: 0n,
      record: bytes(),
      context: [],
      ...more,
    })
  }

  async command(id = 1n): Promise<void> {
    await this.send({ type: 'request', id, kind: 1, strikes: 0, body: encodeCommand(REQUEST) })
  }

  async ttrpc(id: bigint): Promise<void> {
    await this.send({ type: 'request', id, kind: 2, strikes: 0, body: new Uint8Array(20) })
  }

  async outcome(id: bigint, step: string, outcome: Uint8Array): Promise<void> {
    await this.send({ type: 'outcome', id, step, outcome })
  }

  async drop(): Promise<void> {
    this.#theirs.destroy()
    await settle()
  }

  get last(): ControllerMessage | undefined {
    return this.messages.at(-1)
  }

  get answer() {
    const { last } = this
    assert.ok(last?.type === 'commit')
    return decodeCommandAnswer(last.answers[0]?.payload ?? assert.fail('no answer'))
  }
}

const settle = async () => {
  for (let i = 0; i < 10; i++) await turn()
}

test('a command: hello, its step, its answer', async () => {
  const agent = new Agent({
    commands: async (request, step) => {
      const results = await step('one', PLAN)
      return { exitCode: 3, stdout: `${request.cwd} ${results.u64(0)}`, stderr: '' }
    },
  })
  await agent.hello(1)
  assert.deepEqual(agent.messages, [{ type: 'welcome', protocol: PROTOCOL, build: 'b1' }])
  await agent.command()
  assert.equal(agent.last?.type === 'step' && agent.last.name, 'one')
  assert.equal(agent.session.busy, 1)
  await agent.outcome(1n, 'one', done([0, bytes(7, 0, 0, 0, 0, 0, 0, 0)]))
  assert.deepEqual([agent.answer.exitCode, Buffer.from(agent.answer.stdout).toString()], [3, '/ 7'])
  assert.equal(agent.session.busy, 0)
})

test('who asks a lot at once leaves others their turn, and is answered in order', async () => {
  const seen: string[] = []
  const commands: RunCommand = async ({ cwd }) => {
    seen.push(cwd)
    return { exitCode: 0, stdout: '', stderr: '' }
  }
  const ask = (cwd: string, id: number) => {
    const body = encodeCommand({ ...REQUEST, cwd })
    return { type: 'request', id: BigInt(id), kind: 1, strikes: 0, body } as const
  }
  const [greedy, other] = [new Agent({ commands }), new Agent({ commands })]
  await greedy.hello(1)
  await other.hello(1)
  const names = Array.from({ length: 500 }, (_, id) => `/${id}`)
  await Promise.all([greedy.send(...names.map(ask)), other.send(ask('/other', 1))])
  assert.ok(seen.indexOf('/other') < 200, `behind ${seen.indexOf('/other')} of the others'`)
  assert.deepEqual(
    seen.filter((cwd) => cwd !== '/other'),
    names,
  )
  assert.equal(greedy.messages.length, 1 + names.length)
  await greedy.command(1000n)
  assert.equal(greedy.messages.length, 2 + names.length, 'it is read again')
})

test('a failed step rejects with a sentence, the pointer and the cause', async () => {
  let caught: unknown
  const agent = new Agent({
    commands: async (_request, step) => {
      caught = await step('one', [{ op: 'hostname', name: 'x', pointer: '/hostname' }]).catch((error: unknown) => error)
      return { exitCode: 1, stdout: '', stderr: '' }
    },
  })
  await agent.hello(1)
  await agent.command()
  const error = { index: [0], op: 'hostname', syscall: 'sethostname', subject: 'x', errno: 1, detail: '' }
  await agent.outcome(1n, 'one', encodeOutcome({ error, results: new Map() }))
  assert.ok(caught instanceof BerthError)
  assert.equal(caught.message, 'hostname "x": operation not permitted (EPERM in sethostname)')
  assert.deepEqual([caught.kind, caught.pointer, caught.op, caught.errno], ['failed', '/hostname', 'hostname', 1])
})

test('a malformed outcome and a handler that throws become errors of that request only', async () => {
  const agent = new Agent({
    commands: async (_request, step) => {
      await step('one', PLAN)
      return { exitCode: 0, stdout: '', stderr: '' }
    },
  })
  await agent.hello(1)
  await agent.command(1n)
  await agent.outcome(1n, 'one', bytes(9))
  assert.equal(agent.answer.exitCode, 1)
  assert.match(Buffer.from(agent.answer.stderr).toString(), /malformed outcome/)
  assert.equal(agent.log.length, 1)
  await agent.command(2n)
  await agent.outcome(2n, 'one', done())
  assert.equal(agent.answer.exitCode, 0)
  assert.equal(agent.closed, false)
})

test('another build, another protocol, a request before hello, and noise are refused', async () => {
  for (const hello of [{ build: 'b2' }, { protocol: 99 }]) {
    const agent = new Agent({})
    await agent.hello(1, hello)
    assert.deepEqual([agent.closed, agent.messages.length, agent.log.length], [true, 0, 1])
  }
  const early = new Agent({})
  await early.command()
  assert.equal(early.closed, true)
  const twice = new Agent({ commands: () => new Promise(() => {}) })
  await twice.hello(1)
  await twice.command()
  await twice.command()
  assert.equal(twice.closed, true)
  const wrong = new Agent({})
  await wrong.hello(1)
  await wrong.ttrpc(1n)
  assert.equal(wrong.closed, true)
})

test('when the connection ends, handlers are abandoned in the middle', async () => {
  let went = false
  const agent = new Agent({
    commands: async (_request, step) => {
      await step('one', PLAN).finally(() => {
        went = true
      })
      return { exitCode: 0, stdout: '', stderr: '' }
    },
  })
  await agent.hello(1)
  await agent.command()
  await agent.drop()
  assert.equal(went, false)
  assert.equal(agent.session.busy, 0)
})

const counting: CreateShim = (monitor) => ({
  handle: async (request, step, commit) => {
    await step('look', PLAN)
    commit(() => ({ record: bytes((monitor.record()[0] ?? 0) + 1), answers: [{ id: request.id, payload: bytes(1) }] }))
  },
})

test('commits rest on the record as it is, and carry its number', async () => {
  const agent = new Agent({ shims: counting })
  await agent.hello(2, { seq: 5n, record: bytes(40) })
  await agent.ttrpc(1n)
  await agent.ttrpc(2n)
  await agent.outcome(2n, 'look', done())
  await agent.outcome(1n, 'look', done())
  const commits = agent.messages.filter((message) => message.type === 'commit')
  assert.deepEqual(
    commits.map(({ id, base, record }) => [id, base, record]),
    [
      [2n, 5n, bytes(41)],
      [1n, 6n, bytes(42)],
    ],
  )
})

test('a refused commit is computed again on the new record', async () => {
  const agent = new Agent({ shims: counting })
  await agent.hello(2, { seq: 5n, record: bytes(40) })
  await agent.ttrpc(1n)
  await agent.outcome(1n, 'look', done())
  assert.equal(agent.session.busy, 0)
  await agent.send({ type: 'refused', id: 1n, seq: 9n, record: bytes(80) })
  assert.equal(agent.session.busy, 1)
  await agent.outcome(1n, 'look', done())
  assert.ok(agent.last?.type === 'commit')
  assert.deepEqual([agent.last.base, agent.last.record], [9n, bytes(81)])
  // An outcome of a step sent after the commit confirms it: nothing is kept for a refusal any more.
  await agent.ttrpc(2n)
  await agent.outcome(2n, 'look', done())
  await agent.send({ type: 'refused', id: 1n, seq: 11n, record: bytes() })
  assert.equal(agent.closed, true)
})

test('a shim handler that throws, or forgets to commit, costs the connection: the monitor counts and replays', async () => {
  const throwing: CreateShim = () => ({ handle: () => Promise.reject(new Error('a defect')) })
  const silent: CreateShim = () => ({ handle: () => Promise.resolve() })
  for (const shims of [throwing, silent]) {
    const agent = new Agent({ shims })
    await agent.hello(2)
    await agent.ttrpc(1n)
    assert.equal(agent.closed, true)
    assert.equal(agent.messages.filter(({ type }) => type === 'commit').length, 0)
  }
})

test('sentences of failures', () => {
  const record = { index: [], op: 'mount-in', syscall: 'mount', subject: '/proc/sys', errno: 13, detail: '' }
  const texts: [Partial<typeof record>, string][] = [
    [{}, 'mount "/proc/sys": permission denied (EACCES)'],
    [{ syscall: 'fsmount' }, 'mount "/proc/sys": permission denied (EACCES in fsmount)'],
    [{ subject: '', detail: 'more ' }, 'mount: permission denied (EACCES): more'],
    [{ op: 'hook', subject: '/h', errno: 0, detail: 'exit status 1' }, 'hook "/h": exit status 1'],
    [{ errno: 999 }, 'mount "/proc/sys": unknown error (errno 999 in mount)'.replace(' in mount', '')],
    [{ op: 'find-exec', subject: 'sh', errno: 2 }, 'exec: "sh": executable file not found in $PATH'],
    [{ op: 'find-exec', subject: '/x', errno: 2 }, 'exec: "/x": stat /x: no such file or directory'],
    [{ op: 'find-exec', subject: '/x', errno: 13 }, 'exec: "/x": permission denied'],
  ]
  for (const [change, text] of texts) assert.equal(failureText({ ...record, ...change }), text)
  assert.equal(stepError([], { ...record, index: [3] }).pointer, undefined)
})

test('a controller leaves when it is idle, or too large and quiet', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let busy = 0
  let memory = 0
  const left: string[] = []
  const idle = new Idle({ idleMs: 1000, busy: () => busy, leave: (why) => left.push(why) })
  idle.watch({ memoryInUse: () => memory, compact: () => {} })
  context.mock.timers.tick(999)
  busy = 1
  idle.changed()
  context.mock.timers.tick(5000)
  assert.deepEqual(left, [])
  busy = 0
  idle.changed()
  for (let second = 0; second < 3; second++) context.mock.timers.tick(1000)
  assert.deepEqual(left, ['idle'])
  // It is weighed now and then; one that is too large goes with the first change that finds it quiet.
  const changes = (count: number) => {
    for (let i = 0; i < count; i++) idle.changed()
  }
  memory = MEMORY_BOUND + 1
  busy = 1
  changes(50)
  assert.equal(left.length, 1)
  busy = 0
  changes(1)
  assert.equal(left.length, 2)
  memory = 0
  changes(50)
  busy = 1
  memory = MEMORY_BOUND * 2 + 1
  changes(50)
  assert.ok(left.length > 2)
  idle.stop()
})

test('who holds a controller keeps it from leaving, not from resting; it is told when the controller is stopped', async () => {
  const agent = new Agent({
    commands: async ({ argv, controller }) => {
      if (argv.length === 0) await controller?.hold()
      else controller?.stop()
      return { exitCode: 0, stdout: '', stderr: '' }
    },
  })
  await agent.hello(1)
  await agent.command()
  assert.deepEqual([agent.session.busy, agent.session.held, agent.session.requests], [0, 1, 1])
  await agent.send({
    type: 'request',
    id: 2n,
    kind: 1,
    strikes: 0,
    body: encodeCommand({ ...REQUEST, argv: ['stop'] }),
  })
  const answered = agent.messages.flatMap((message) => (message.type === 'commit' ? [message.id] : []))
  assert.deepEqual(answered.sort(), [1n, 2n])
  assert.equal(agent.session.held, 0)
})

test('an idle controller that is held gives memory back, and stays until nobody holds it', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let held = 1
  let compacted = 0
  const left: string[] = []
  const idle = new Idle({ idleMs: 5000, busy: () => 0, held: () => held, leave: (why) => left.push(why) })
  idle.watch({ memoryInUse: () => 0, compact: () => compacted++ })
  context.mock.timers.tick(1000)
  context.mock.timers.tick(10_000)
  assert.deepEqual([compacted, left], [1, []])
  held = 0
  idle.changed()
  context.mock.timers.tick(1000)
  context.mock.timers.tick(4000)
  assert.deepEqual(left, ['idle'])
})

test('memory is given back without --expose-gc', () => {
  assert.equal(globalThis.gc, undefined)
  let garbage: unknown = Array.from({ length: 1e6 }, (_, index) => ({ index }))
  const before = memoryInUse()
  assert.ok(garbage && before > 20 << 20)
  garbage = undefined
  compact()
  assert.ok(memoryInUse() < before - (10 << 20))
  assert.equal(globalThis.gc, undefined)
})

test('a front: two streams over one connection, and a session that is busy for as long', async () => {
  const ends: string[] = []
  const agent = new Agent({
    fronts: ({ wire, calls }) => {
      wire.on('data', (chunk: Uint8Array) => calls.write(chunk))
      calls.on('data', (chunk: Uint8Array) => wire.write(chunk))
      wire.on('close', () => ends.push('wire'))
      calls.on('close', () => ends.push('calls'))
    },
  })
  await agent.hello(3)
  assert.equal(agent.session.busy, 1)
  await agent.send({ type: 'wire', bytes: bytes(1, 2) })
  assert.deepEqual(agent.last, { type: 'calls', bytes: bytes(1, 2) })
  await agent.send({ type: 'calls', bytes: bytes(3) })
  assert.deepEqual(agent.last, { type: 'wire', bytes: bytes(3) })
  await agent.drop()
  assert.deepEqual([agent.session.busy, ends], [0, ['wire', 'calls']])
})

test('a front that closes its client’s stream ends the connection, after what it said', async () => {
  const agent = new Agent({
    fronts: ({ wire }) => {
      wire.end(bytes(9))
    },
  })
  await agent.hello(3)
  await settle()
  assert.deepEqual(agent.last, { type: 'wire', bytes: bytes(9) })
  assert.equal(agent.closed, true)
})

test('bytes of a front from who is none are refused', async () => {
  const agent = new Agent({})
  await agent.hello(2)
  await agent.send({ type: 'wire', bytes: bytes(1) })
  assert.equal(agent.closed, true)
})
