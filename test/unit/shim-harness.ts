/** Stands in for a monitor and the host: runs steps against a few made-up files, keeps the journal, applies commits. */

import { containerd } from '../../shim/proto/messages.gen.js'
import { shimWith } from '../../shim/shim.ts'
import type { Compiler } from '../../shim/task/compile.ts'
import { decodeRecord, type ShimRecord } from '../../shim/task/record.ts'
import { decodeResponse, encodeRequest, payloadOf } from '../../shim/ttrpc/message.ts'
import { resultsOf } from '../../src/controller/results.ts'
import type { Change, MonitorRequest, Results, Shim } from '../../src/controller/types.ts'
import { BerthError } from '../../src/errors.ts'
import type { HostFacts } from '../../src/plan/facts.ts'
import { fillHoles, startPlan } from '../../src/plan/lifecycle.ts'
import type { Op, Plan } from '../../src/plan/ops.ts'
import { managerOf } from '../../src/plan/systemd.ts'
import { planUpdate } from '../../src/plan/update.ts'
import { checkLimits, limitProcess, limitSpec } from '../../src/policy/limits.ts'
import { confinementOf, nodeOp } from '../../src/policy/source.ts'
import { loadProcess, loadSpec } from '../../src/spec/load.ts'

const hierarchy = (controllers: string[]) => ({
  controllers,
  name: '',
  mountPoint: `/cg/${controllers.join(',')}`,
  label: controllers.join(','),
  own: '/',
})
const FACTS = {
  cgroup: {
    mode: 'hybrid',
    v1: [['freezer'], ['memory'], ['pids'], ['cpu', 'cpuacct']].map(hierarchy),
    v2Controllers: [],
  },
} as unknown as HostFacts

export const BUNDLE = '/bundle/c1'

/** What `compileCreate` got, and plans that are like the real ones in what the shim looks at. */
const fakeCompiler = (compiled: unknown[]): Compiler => ({
  factsPlan: [{ op: 'read', path: '/proc/self/mountinfo', max: 1, flags: 1 }],
  readFacts: () => FACTS,
  loadSpec,
  loadProcess,
  nodeOp,
  confinementOf,
  limitSpec,
  limitProcess,
  checkLimits,
  planUpdate,
  managerOf,
  startPlan,
  fillHoles,
  compileCreate: (input) => {
    compiled.push(input)
    const { id, key } = input
    return {
      check: [],
      create: [cloneOp(key), { op: 'resume', key, until: 2, slot: 0xffffffff }, ...input.afterTerminal],
      start: [
        { op: 'resume', key, until: 3, slot: 0xffffffff },
        ...(input.spec.hooks?.poststart ? [{ op: 'rmdir', path: '/hook', flags: 0 } as const] : []),
      ],
      undo: [{ op: 'rmdir', path: `/cg/pids/${id}`, flags: 0 }],
      poststop: [],
      cgroupPaths: ['/cg/unified', '/cg/freezer', '/cg/memory', '/cg/pids', '/cg/cpu,cpuacct'].map(
        (at) => `${at}/${id}`,
      ),
      cgroups: [],
      rootfs: `${BUNDLE}/rootfs`,
      warnings: [],
      gaps: [],
    }
  },
  compileExec: (input) => {
    compiled.push(input)
    return [cloneOp(input.key), ...input.afterTerminal, { op: 'resume', key: input.key, until: 3, slot: 0xffffffff }]
  },
})

const cloneOp = (key: string): Op => ({
  op: 'clone',
  key,
  flags: 0n,
  cgroups: [],
  uidMap: '',
  gidMap: '',
  uidMapper: '',
  gidMapper: '',
  setgroups: '',
  timeOffsets: '',
  join: [],
  plan: [],
})

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes
}

/** Runs operations: files are a map, the clock and the pids count up. */
export class World {
  readonly files = new Map<string, string>()
  readonly log: Op[] = []
  now = 1_700_000_000_000_000_000n
  nextPid = 100
  /** Makes the next operation of this name fail. */
  readonly fail = new Map<string, { errno: number; message: string; subject?: string }>()

  run(plan: Plan): Results {
    const results = new Map<number, Uint8Array>()
    for (const [index, op] of plan.entries()) {
      this.log.push(op)
      const failure = this.fail.get(op.op)
      if (failure !== undefined) {
        this.fail.delete(op.op)
        throw new BerthError('failed', failure.message, {
          op: op.op,
          errno: failure.errno,
          subject: failure.subject ?? '',
        })
      }
      const result = this.#one(op)
      if (result !== undefined) results.set(index, result)
    }
    return resultsOf({ error: undefined, results })
  }

  #one(op: Op): Uint8Array | undefined {
    if (op.op === 'clock') return u64(this.now++)
    if (op.op === 'clone') return Buffer.concat([u32(this.nextPid++), u64(5000n)])
    if (op.op === 'read') {
      const text = this.files.get(op.path)
      return text === undefined ? undefined : Buffer.from(text)
    }
    if (op.op === 'list') return Buffer.from(this.files.get(`${op.path}/`) ?? '')
    return undefined
  }
}

const CONFIG = {
  ociVersion: '1.1.0',
  process: { cwd: '/', args: ['true'], user: { uid: 0, gid: 0 } },
  root: { path: 'rootfs' },
  linux: { namespaces: [{ type: 'pid' }, { type: 'mount' }] },
}
export const PROCESS = Buffer.from(JSON.stringify(CONFIG.process))

interface Decoder<R> {
  decode(payload: Uint8Array): R
}
interface Encoder<P> {
  encode(message: P): { finish(): Uint8Array }
}

/** One monitor with its journal. `dieAfter`: the controller is gone after so many steps of a request, and another takes over. */
export class Harness {
  readonly world = new World()
  readonly compiled: unknown[] = []
  readonly journal = new Map<string, Results | Error>()
  readonly answers = new Map<bigint, Uint8Array>()
  readonly acknowledged: bigint[] = []
  readonly events: { topic: string; event: Uint8Array; time: bigint }[] = []
  readonly commits: Change[] = []
  /** Steps, by name, whose outcome comes only once this is done. */
  readonly slow = new Map<string, Promise<void>>()
  left = false
  dieAfter = Number.POSITIVE_INFINITY
  #record: Uint8Array = new Uint8Array(0)
  #shim: Shim
  #nextId = 1n
  #serial = 1n

  constructor() {
    this.#shim = this.#attach()
    this.setConfig({})
  }

  setConfig(more: object): void {
    this.world.files.set(`${BUNDLE}/config.json`, JSON.stringify({ ...CONFIG, ...more }))
  }

  get record(): ShimRecord {
    return decodeRecord(this.#record)
  }

  /** Sends a call and returns its id; the answer, if there is one, is in `answers` once the promise is done. */
  async send<P>(method: string, type: Encoder<P>, message: P, connection = 1n): Promise<bigint> {
    const payload = type.encode(message).finish()
    const id = this.#nextId++
    await this.deliver({
      kind: 'ttrpc',
      id,
      connection,
      time: this.world.now++,
      message: encodeRequest({ service: 'containerd.task.v2.Task', method, payload }),
    })
    return id
  }

  /** Calls a method and decodes its answer; an answer with a status is thrown. */
  async call<P, R>(method: string, request: Encoder<P>, message: P, response?: Decoder<R>): Promise<R> {
    const payload = this.answer(await this.send(method, request, message))
    return response === undefined ? (undefined as R) : response.decode(payload)
  }

  answer(id: bigint): Uint8Array {
    const answer = this.answers.get(id)
    if (answer === undefined) throw new Error(`request ${id} has no answer`)
    return payloadOf(decodeResponse(answer))
  }

  exit(key: string, pid: number, waitStatus: number, oom = false): Promise<void> {
    const serial = this.#serial++
    const time = this.world.now++
    return this.deliver({ kind: 'exit', id: this.#nextId++, serial, key, pid, waitStatus, time, oom })
  }

  oom(key: string): Promise<void> {
    return this.deliver({ kind: 'oom', id: this.#nextId++, serial: this.#serial++, key })
  }

  disconnect(connection: bigint): Promise<void> {
    return this.deliver({ kind: 'disconnected', id: this.#nextId++, connection })
  }

  async deliver(request: MonitorRequest): Promise<void> {
    let committed = false
    for (let life = 0; !committed; life++) {
      // The second controller lives long enough.
      let left = life === 0 ? this.dieAfter : Number.POSITIVE_INFINITY
      const gone = Promise.withResolvers<void>()
      const step = (name: string, plan: Plan): Promise<Results> => {
        const outcome = this.#runOnce(`${request.id} ${name} ${describe(plan)}`, plan)
        if (left-- <= 0) {
          gone.resolve()
          return new Promise(() => {})
        }
        return (this.slow.get(name) ?? Promise.resolve()).then(() => {
          if (outcome instanceof Error) throw outcome
          return outcome
        })
      }
      const commit = (compute: () => Change) => {
        if (committed) throw new Error('committed twice')
        const change = compute()
        committed = true
        this.#apply(change)
      }
      await Promise.race([this.#shim.handle(request, step, commit), gone.promise])
      if (!committed && life > 0) throw new Error('ended without a commit')
      if (!committed) this.#shim = this.#attach()
    }
  }

  #attach(): Shim {
    const context = { namespace: 'ns', stateDir: '/state', pid: '42', id: 'c1' }
    return shimWith({ context, record: () => this.#record }, fakeCompiler(this.compiled))
  }

  #runOnce(key: string, plan: Plan): Results | Error {
    const known = this.journal.get(key)
    if (known !== undefined) return known
    let outcome: Results | Error
    try {
      outcome = this.world.run(plan)
    } catch (error) {
      outcome = error as Error
    }
    this.journal.set(key, outcome)
    return outcome
  }

  #apply(change: Change): void {
    this.commits.push(change)
    if (change.record !== undefined) this.#record = change.record
    for (const { id, payload } of change.answers ?? []) this.answers.set(id, payload)
    this.acknowledged.push(...(change.acknowledged ?? []))
    this.left ||= change.leave ?? false
    for (const payload of change.events ?? []) {
      const { envelope } = containerd.events.ForwardRequest.decode(payload)
      const seconds = BigInt(envelope?.timestamp?.seconds?.toString() ?? '0')
      this.events.push({
        topic: envelope?.topic ?? '',
        event: envelope?.event?.value ?? new Uint8Array(0),
        time: seconds * 1_000_000_000n + BigInt(envelope?.timestamp?.nanos ?? 0),
      })
    }
  }

  get topics(): string[] {
    return this.events.map(({ topic }) => topic)
  }
}

const describe = (plan: Plan): string =>
  JSON.stringify(plan, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))
