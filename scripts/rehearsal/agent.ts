/** Stands in for launchers and monitors: asks a controller for what it is asked for first on a host, and does as it says on one that is made up. */
import type { Duplex } from 'node:stream'
import { containerd } from '../../shim/proto/messages.gen.js'
import { decodeResponse, encodeRequest } from '../../shim/ttrpc/message.ts'
import {
  type Commit,
  decodeCommandAnswer,
  decodeControllerMessage,
  encodeAgentMessage,
  encodeCommand,
  FrameReader,
  PROTOCOL,
  REQUEST_KINDS,
  ROLES,
} from '../../src/controller/wire.ts'
import { ByteWriter } from '../../src/plan/bytes.ts'
import { stringifyJson } from '../../src/spec/json.ts'
import { decodePlan } from './decode.ts'
import type { Host } from './host.ts'

const NOW = 1_700_000_000_000_000_000n
const v2 = containerd.task

const stdioOf = (id: string) => ({ stdout: `/run/${id}-stdout`, stderr: `/run/${id}-stderr` })

export class Agent {
  readonly #stream: Duplex
  readonly #host: Host
  readonly #waiting = new Map<bigint, PromiseWithResolvers<Commit>>()
  #next = 1n

  constructor(stream: Duplex, host: Host) {
    this.#stream = stream
    this.#host = host
    const frames = new FrameReader()
    stream.on('error', () => {}) // 'close' follows
    stream.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the controller has closed the connection'))
    })
    stream.on('data', (chunk: Buffer) => {
      for (const frame of frames.push(new Uint8Array(chunk))) this.#take(decodeControllerMessage(frame))
    })
  }

  #take(message: ReturnType<typeof decodeControllerMessage>): void {
    if (message.type === 'step') {
      const { id, name } = message
      this.#send({ type: 'outcome', id, step: name, outcome: this.#host.run(decodePlan(message.plan)) })
    } else if (message.type === 'commit') {
      this.#waiting.get(message.id)?.resolve(message)
      this.#waiting.delete(message.id)
    }
  }

  #send(message: Parameters<typeof encodeAgentMessage>[0]): void {
    this.#stream.write(encodeAgentMessage(message))
  }

  #hello(role: number, build: string, context: readonly string[]): void {
    this.#send({ type: 'hello', protocol: PROTOCOL, build, role, seq: 0n, record: new Uint8Array(), context })
  }

  #request(kind: number, body: Uint8Array): Promise<Commit> {
    const id = this.#next++
    const done = Promise.withResolvers<Commit>()
    this.#waiting.set(id, done)
    this.#send({ type: 'request', id, kind, strikes: 0, body })
    return done.promise
  }

  async #call(method: string, payload: Uint8Array): Promise<void> {
    const message = encodeRequest({ service: 'containerd.task.v2.Task', method, payload })
    const { answers } = await this.#request(
      REQUEST_KINDS.ttrpc,
      new ByteWriter().u64(1n).u64(NOW).bytes(message).finish(),
    )
    const { status } = decodeResponse(answers[0]?.payload ?? new Uint8Array())
    if (status?.code) throw new Error(`${method}: ${status.message}`)
  }

  async #exit(key: string, pid: number): Promise<void> {
    const body = new ByteWriter().u64(BigInt(pid)).str(key).u32(pid).u32(0).u64(NOW).u32(0)
    await this.#request(REQUEST_KINDS.exit, body.finish())
  }

  async create(build: string, id: string, bundle: string): Promise<void> {
    this.#hello(ROLES.monitor, build, ['namespace=k8s.io', 'stateDir=/run/berth/.shim/0/k8s.io', 'pid=42', `id=${id}`])
    const rootfs = [{ type: 'overlay', source: 'overlay', options: ['workdir=/w', 'upperdir=/u', 'lowerdir=/l'] }]
    await this.#call('Create', v2.CreateRequest.encode({ id, bundle, rootfs, ...stdioOf(id) }).finish())
  }

  /** A task and an exec in it, from Create to Shutdown. */
  async task(build: string, id: string, bundle: string, process: object): Promise<void> {
    await this.create(build, id, bundle)
    const named = { id, execId: '' }
    const further = { id, execId: 'e' }
    await this.#call('Start', v2.StartRequest.encode(named).finish())
    await this.#call('State', v2.StateRequest.encode(named).finish())
    const spec = {
      typeUrl: 'types.containerd.io/opencontainers/runtime-spec/1/Process',
      value: Buffer.from(stringifyJson(process)),
    }
    await this.#call('Exec', v2.ExecRequest.encode({ ...further, ...stdioOf(id), spec }).finish())
    await this.#call('Start', v2.StartRequest.encode(further).finish())
    await this.#exit(`${id}/e`, 101)
    await this.#call('Delete', v2.DeleteRequest.encode(further).finish())
    await this.#call('Kill', v2.KillRequest.encode({ id, signal: 9, all: true }).finish())
    const wait = this.#call('Wait', v2.WaitRequest.encode(named).finish())
    await this.#exit(id, 100)
    await wait
    await this.#call('Delete', v2.DeleteRequest.encode(named).finish())
    await this.#call('Shutdown', v2.ShutdownRequest.encode({ id }).finish())
  }

  /** A command line. */
  async command(build: string, argv: readonly string[]): Promise<void> {
    this.#hello(ROLES.launcher, build, [])
    const nobody = { uid: 0, gid: 0, pid: 41, rows: 0, cols: 0, listenFds: 0, round: 0 }
    const where = { cwd: '/', env: { PATH: '/bin' }, runDir: '/run/berth', ttys: [false, false, false] as const }
    const body = encodeCommand({ argv, ...nobody, ...where, attempt: new Uint8Array() })
    const { answers } = await this.#request(REQUEST_KINDS.command, body)
    const { exitCode, stderr } = decodeCommandAnswer(answers[0]?.payload ?? new Uint8Array())
    if (exitCode !== 0) throw new Error(`${argv.join(' ')}: ${Buffer.from(stderr)}`)
  }
}
