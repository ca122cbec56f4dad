/** One agent's connection: hello, requests, the handlers that answer them, commits. */

import { MalformedError } from '../plan/bytes.ts'
import type { Channel } from './channel.ts'
import type { Link } from './link.ts'
import { Steps } from './steps.ts'
import type {
  Change,
  CommandAnswer,
  ControllerStatus,
  CreateShim,
  MonitorRequest,
  RunCommand,
  RunStep,
  ServeFront,
  Shim,
} from './types.ts'
import {
  type AgentMessage,
  decodeAgentMessage,
  decodeCommand,
  decodeMonitorRequest,
  encodeCommandAnswer,
  encodeControllerMessage,
  type Frame,
  FrameReader,
  type FrontBytes,
  PROTOCOL,
  pairs,
  REQUEST_KINDS,
  ROLES,
} from './wire.ts'

/** What a session needs of its process. */
export interface Services {
  readonly build: string
  /** Loaded at their first use: a session needs one of them. */
  readonly commands: () => Promise<RunCommand>
  readonly shims: () => Promise<CreateShim>
  readonly fronts: () => Promise<ServeFront>
  readonly log: (line: string) => void
}

/** What a session's commands may ask of the controller that it belongs to. */
export interface Host {
  readonly status: () => ControllerStatus
  readonly stop: () => void
  /** Done when it is stopped. */
  readonly stopped: Promise<void>
  /** `busy`, `held` or what was asked may have changed. */
  readonly changed: () => void
}

type Hello = Extract<AgentMessage, { type: 'hello' }>
type Request = Extract<AgentMessage, { type: 'request' }>

/** A request whose handler runs, or whose commit of a record may still be refused. */
interface Running {
  readonly request: Request
  readonly steps: Steps
  /** How many steps had been sent on this connection when it committed; undefined before. */
  committedAt: number | undefined
  /** It waits for nothing but the controller's end. */
  holds: boolean
}

/** Frames of one agent that are seen to before other agents have their turn: what a pod's clients ask without end comes by thousands at a time. */
const TURN = 64

type Front = Readonly<Record<FrontBytes['type'], Channel>>

export class Session {
  readonly #stream: Link
  readonly #services: Services
  readonly #host: Host
  readonly #frames = new FrameReader()
  readonly #running = new Map<bigint, Running>()
  /** Steps sent and not settled, as `id/name`, with their number on this connection. */
  readonly #sent = new Map<string, number>()
  #stepsSent = 0
  #hello: Hello | undefined
  #seq = 0n
  #record: Uint8Array = new Uint8Array()
  #shim: Promise<Shim> | undefined
  /** Of a session that serves a front: nothing else is asked of it. */
  #front: Promise<Front> | undefined
  #closed = false

  constructor(stream: Link, services: Services, host: Host) {
    this.#stream = stream
    this.#services = services
    this.#host = host
    stream.on('data', (chunk: Buffer) => this.#receive(chunk))
    stream.on('error', () => {}) // 'close' follows; whoever was there has gone, and comes back by itself
    stream.on('close', () => this.#end())
  }

  /** Requests that are being handled; a front is one for as long as its client is connected. */
  get busy(): number {
    let count = this.#front === undefined ? 0 : 1
    for (const { committedAt, holds } of this.#running.values()) if (committedAt === undefined && !holds) count++
    return count
  }

  /** Commands that hold the controller. */
  get held(): number {
    let count = 0
    for (const { holds } of this.#running.values()) if (holds) count++
    return count
  }

  /** Requests that began. */
  requests = 0

  /** Hands the agent over: it connects again, to another controller, with everything that is not answered. */
  close(): void {
    this.#stream.end()
  }

  #end(): void {
    if (this.#closed) return
    this.#closed = true
    // Handlers in the middle of a step are abandoned: nothing may refer to them any more.
    this.#running.clear()
    this.#sent.clear()
    this.#shim = undefined
    this.#record = new Uint8Array()
    void this.#front?.then(({ wire, calls }) => {
      wire.destroy()
      calls.destroy()
    })
    this.#front = undefined
    this.#host.changed()
  }

  #refuse(why: string): void {
    this.#services.log(`connection closed: ${why}`)
    this.#end()
    this.#stream.destroy()
  }

  #receive(chunk: Buffer): void {
    // A plain Uint8Array: slice() of a Buffer would not copy.
    const bytes = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length)
    this.#attempt(() => this.#turn(this.#frames.push(bytes)))
  }

  /** Nothing more is read meanwhile, so that order is kept and nothing piles up. */
  #turn(frames: readonly Frame[]): void {
    for (const frame of frames.slice(0, TURN)) {
      if (this.#closed) return
      this.#handle(decodeAgentMessage(frame))
    }
    if (frames.length <= TURN) return
    this.#stream.pause()
    setImmediate(() => {
      this.#attempt(() => this.#turn(frames.slice(TURN)))
      if (frames.length <= 2 * TURN) this.#stream.resume()
    })
  }

  #attempt(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      this.#refuse(error.message)
    }
  }

  #handle(message: AgentMessage): void {
    if (message.type === 'hello') this.#greet(message)
    else if (this.#hello === undefined) this.#refuse(`${message.type} before hello`)
    else if (message.type === 'request') this.#start(this.#hello, message)
    else if (message.type === 'outcome') this.#settle(message.id, message.step, message.outcome)
    else if (message.type === 'refused') this.#again(this.#hello, message)
    else if (this.#front === undefined) this.#refuse(`${message.type} from an agent of role ${this.#hello.role}`)
    else void this.#front.then((front) => front[message.type].receive(message.bytes))
  }

  /** Both sides must be of one build: two halves that drifted apart may skip a protection (S21). */
  #greet(hello: Hello): void {
    const { build } = this.#services
    const why =
      this.#hello !== undefined
        ? 'a second hello'
        : hello.protocol !== PROTOCOL
          ? `agent speaks protocol ${hello.protocol}, not ${PROTOCOL}`
          : hello.build !== build
            ? `agent is of build "${hello.build}", not "${build}"`
            : undefined
    if (why !== undefined) {
      this.#refuse(why)
      return
    }
    this.#hello = hello
    this.#seq = hello.seq
    this.#record = hello.record.slice()
    this.#stream.write(encodeControllerMessage({ type: 'welcome', protocol: PROTOCOL, build }))
    if (hello.role === ROLES.front) this.#serveFront()
  }

  #serveFront(): void {
    this.#front = this.#openFront()
    this.#host.changed()
    Promise.all([this.#services.fronts(), this.#front]).then(
      ([serve, front]) => serve(front),
      (error) => this.#refuse(`gRPC is not to be had: ${error}`),
    )
  }

  /** What a front takes of Node is loaded for one only. */
  async #openFront(): Promise<Front> {
    const { Channel } = await import('./channel.ts')
    const channel = (type: FrontBytes['type']) =>
      new Channel({
        send: (bytes, sent) => this.#stream.write(encodeControllerMessage({ type, bytes }), () => sent()),
        ended: () => this.close(),
      })
    return { wire: channel('wire'), calls: channel('calls') }
  }

  #start(hello: Hello, request: Request): void {
    if (this.#running.has(request.id)) {
      this.#refuse(`request ${request.id} came twice`)
      return
    }
    // A frame's payload may point into a larger chunk, which must not live as long as the request.
    this.#run(hello, { ...request, body: request.body.slice() })
  }

  #run(hello: Hello, request: Request): void {
    const { id, kind } = request
    const steps = new Steps((name, plan, whenDone) => this.#sendStep(id, name, plan, whenDone))
    this.#running.set(id, { request, steps, committedAt: undefined, holds: false })
    this.requests++
    this.#host.changed()
    if (kind === REQUEST_KINDS.command && hello.role === ROLES.launcher) {
      this.#command(request, steps).catch((error) => this.#failed(request, error))
    } else if (hello.role === ROLES.monitor) {
      this.#monitorRequest(decodeMonitorRequest(id, kind, request.body), steps).catch((error) =>
        this.#failed(request, error),
      )
    } else {
      this.#refuse(`a request of kind ${kind} from an agent of role ${hello.role}`)
    }
  }

  async #command(request: Request, steps: Steps): Promise<void> {
    const command = decodeCommand(request.body)
    const runCommand = await this.#services.commands()
    const { status, stop } = this.#host
    const controller = { status, stop, hold: () => this.#hold(request.id) }
    const step: RunStep<CommandAnswer> = (name, plan, whenDone) =>
      steps.run(name, plan, whenDone && encodeCommandAnswer(whenDone))
    const answer = await runCommand({ ...command, build: this.#services.build, controller }, step)
    this.#commit(request.id, { answers: [{ id: request.id, payload: encodeCommandAnswer(answer) }] })
  }

  #hold(id: bigint): Promise<void> {
    const running = this.#running.get(id)
    if (running !== undefined) running.holds = true
    this.#host.changed()
    return this.#host.stopped
  }

  async #monitorRequest(request: MonitorRequest, steps: Steps): Promise<void> {
    this.#shim ??= this.#createShim()
    const shim = await this.#shim
    let committed = false
    await shim.handle(request, steps.run, (compute) => {
      if (committed) throw new Error('a request commits once')
      if (this.#closed) return
      const change = compute()
      committed = true
      this.#commit(request.id, change)
    })
    if (!committed && !this.#closed) throw new Error('the handler ended without a commit')
  }

  async #createShim(): Promise<Shim> {
    const create = await this.#services.shims()
    return create({ context: pairs(this.#hello?.context ?? []), record: () => this.#record })
  }

  #sendStep(id: bigint, name: string, plan: Uint8Array, whenDone?: Uint8Array): void {
    if (this.#closed) return
    this.#sent.set(`${id}/${name}`, this.#stepsSent++)
    this.#stream.write(encodeControllerMessage({ type: 'step', id, name, plan, whenDone }))
  }

  #settle(id: bigint, name: string, outcome: Uint8Array): void {
    const number = this.#sent.get(`${id}/${name}`)
    if (number === undefined) return
    this.#sent.delete(`${id}/${name}`)
    // The agent reads in order: what was committed before this step was sent has been accepted.
    for (const [other, { committedAt }] of this.#running)
      if (committedAt !== undefined && committedAt <= number) this.#running.delete(other)
    this.#running.get(id)?.steps.settle(name, outcome)
  }

  #commit(id: bigint, change: Change): void {
    if (this.#closed) return
    const running = this.#running.get(id)
    if (running === undefined || running.committedAt !== undefined) return
    const { record } = change
    const base = this.#seq
    if (record === undefined) {
      this.#running.delete(id)
    } else {
      // Only a commit of a record can be refused. Until then the record is taken to be what we said.
      running.committedAt = this.#stepsSent
      this.#record = record
      this.#seq = base + 1n
    }
    this.#stream.write(
      encodeControllerMessage({
        type: 'commit',
        id,
        base,
        record,
        leave: change.leave ?? false,
        answers: change.answers ?? [],
        acknowledged: change.acknowledged ?? [],
        events: change.events ?? [],
        drops: change.drops ?? [],
      }),
    )
    this.#host.changed()
  }

  /** A commit rested on a record that another controller had changed: the handler runs again on the record as it is. */
  #again(hello: Hello, refused: Extract<AgentMessage, { type: 'refused' }>): void {
    const running = this.#running.get(refused.id)
    if (running === undefined) {
      this.#refuse(`request ${refused.id} is refused but unknown`)
      return
    }
    this.#seq = refused.seq
    this.#record = refused.record.slice()
    this.#run(hello, running.request)
  }

  /**
   * A handler threw, which none should: a defect. A command gets an error; a monitor keeps its request, counts a strike
   * and, after some, answers it with its fixed error.
   */
  #failed(request: Request, error: unknown): void {
    if (this.#closed) return
    this.#services.log(`request ${request.id} failed: ${error instanceof Error ? error.stack : String(error)}`)
    if (request.kind !== REQUEST_KINDS.command) {
      this.#refuse('a handler failed')
      return
    }
    const reason = error instanceof Error ? error.message : String(error)
    const answer = { exitCode: 1, stdout: '', stderr: `berth: internal error: ${reason}\n` }
    this.#commit(request.id, { answers: [{ id: request.id, payload: encodeCommandAnswer(answer) }] })
  }
}
