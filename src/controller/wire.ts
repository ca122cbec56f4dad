/** The frames between an agent (launcher or monitor) and the controller: docs/internals.md, "Controller and agent". */

import { ByteReader, ByteWriter, MalformedError } from '../plan/bytes.ts'
import type { CommandAnswer, CommandRequest, MonitorRequest } from './types.ts'

export const PROTOCOL = 1
export const MAX_FRAME = 64 * 1024 * 1024

export const ROLES = { launcher: 1, monitor: 2, front: 3 } as const
export const REQUEST_KINDS = { command: 1, ttrpc: 2, exit: 3, disconnected: 4, oom: 5 } as const

/** Both ways, on the link of a front. */
const OF_FRONT = { wire: 16, calls: 17 } as const
const FROM_AGENT = { hello: 1, request: 2, outcome: 3, refused: 4, ...OF_FRONT } as const
const FROM_CONTROLLER = { welcome: 1, step: 2, commit: 3, ...OF_FRONT } as const
const COMMIT_FLAGS = { record: 1, leave: 2 } as const

export type AgentMessage =
  | {
      readonly type: 'hello'
      readonly protocol: number
      readonly build: string
      readonly role: number
      readonly seq: bigint
      readonly record: Uint8Array
      readonly context: readonly string[]
    }
  | {
      readonly type: 'request'
      readonly id: bigint
      readonly kind: number
      readonly strikes: number
      readonly body: Uint8Array
    }
  | { readonly type: 'outcome'; readonly id: bigint; readonly step: string; readonly outcome: Uint8Array }
  | { readonly type: 'refused'; readonly id: bigint; readonly seq: bigint; readonly record: Uint8Array }
  | FrontBytes

/** Bytes of one of the two streams that a front's link carries. */
export interface FrontBytes {
  readonly type: keyof typeof OF_FRONT
  readonly bytes: Uint8Array
}

export interface Commit {
  readonly type: 'commit'
  readonly id: bigint
  readonly base: bigint
  /** undefined: the record stays as it is. */
  readonly record: Uint8Array | undefined
  readonly leave: boolean
  readonly answers: readonly { readonly id: bigint; readonly payload: Uint8Array }[]
  readonly acknowledged: readonly bigint[]
  readonly events: readonly Uint8Array[]
  readonly drops: readonly string[]
}

export interface Step {
  readonly type: 'step'
  readonly id: bigint
  readonly name: string
  readonly plan: Uint8Array
  /** The answer to the request once its plan is done without a failure. */
  readonly whenDone?: Uint8Array | undefined
}

export type ControllerMessage =
  | { readonly type: 'welcome'; readonly protocol: number; readonly build: string }
  | Step
  | Commit
  | FrontBytes

export interface Frame {
  readonly type: number
  readonly payload: Uint8Array
}

/** Cuts a stream into frames, however its chunks fall. Throws a MalformedError for a length out of bounds; the stream is of no use then. */
export class FrameReader {
  readonly #head = new Uint8Array(4)
  #headFilled = 0
  #body: Uint8Array | undefined
  #bodyFilled = 0

  /** The frames that end in this chunk. Their payloads may point into it. */
  push(chunk: Uint8Array): Frame[] {
    const frames: Frame[] = []
    let at = 0
    while (at < chunk.length) {
      if (this.#body === undefined) {
        const taken = Math.min(4 - this.#headFilled, chunk.length - at)
        this.#head.set(chunk.subarray(at, at + taken), this.#headFilled)
        this.#headFilled += taken
        at += taken
        if (this.#headFilled < 4) break
        const length = new DataView(this.#head.buffer).getUint32(0, true)
        if (length < 1 || length > MAX_FRAME) throw new MalformedError(`a frame of ${length} bytes`)
        this.#headFilled = 0
        if (chunk.length - at >= length) {
          frames.push(frameOf(chunk.subarray(at, at + length)))
          at += length
          continue
        }
        this.#body = new Uint8Array(length)
        this.#bodyFilled = 0
      }
      const taken = Math.min(this.#body.length - this.#bodyFilled, chunk.length - at)
      this.#body.set(chunk.subarray(at, at + taken), this.#bodyFilled)
      this.#bodyFilled += taken
      at += taken
      if (this.#bodyFilled === this.#body.length) {
        frames.push(frameOf(this.#body))
        this.#body = undefined
      }
    }
    return frames
  }
}

const frameOf = (body: Uint8Array): Frame => ({ type: body[0] ?? 0, payload: body.subarray(1) })

const frame = (type: number, fill: (out: ByteWriter) => void): Uint8Array => {
  const out = new ByteWriter()
  out.u32(0).u8(type)
  fill(out)
  if (out.length - 4 > MAX_FRAME) throw new MalformedError(`a frame of ${out.length - 4} bytes`)
  return out.patchU32(0, out.length - 4).finish()
}

export const decodeAgentMessage = ({ type, payload }: Frame): AgentMessage => {
  const reader = new ByteReader(payload)
  const message = readAgentMessage(type, reader)
  reader.end()
  return message
}

const readAgentMessage = (type: number, reader: ByteReader): AgentMessage => {
  switch (type) {
    case FROM_AGENT.hello:
      return {
        type: 'hello',
        protocol: reader.u32(),
        build: reader.str(),
        role: reader.u32(),
        seq: reader.u64(),
        record: reader.bytes(),
        context: reader.strs(),
      }
    case FROM_AGENT.request:
      return { type: 'request', id: reader.u64(), kind: reader.u32(), strikes: reader.u32(), body: reader.bytes() }
    case FROM_AGENT.outcome:
      return { type: 'outcome', id: reader.u64(), step: reader.str(), outcome: reader.bytes() }
    case FROM_AGENT.refused:
      return { type: 'refused', id: reader.u64(), seq: reader.u64(), record: reader.bytes() }
    case OF_FRONT.wire:
      return { type: 'wire', bytes: reader.bytes() }
    case OF_FRONT.calls:
      return { type: 'calls', bytes: reader.bytes() }
    default:
      throw new MalformedError(`a frame of the unknown type ${type}`)
  }
}

export const encodeAgentMessage = (message: AgentMessage): Uint8Array =>
  frame(FROM_AGENT[message.type], (out) => {
    switch (message.type) {
      case 'hello':
        out.u32(message.protocol).str(message.build).u32(message.role).u64(message.seq)
        out.bytes(message.record).strs(message.context)
        break
      case 'request':
        out.u64(message.id).u32(message.kind).u32(message.strikes).bytes(message.body)
        break
      case 'outcome':
        out.u64(message.id).str(message.step).bytes(message.outcome)
        break
      case 'refused':
        out.u64(message.id).u64(message.seq).bytes(message.record)
        break
      default:
        out.bytes(message.bytes)
    }
  })

export const encodeControllerMessage = (message: ControllerMessage): Uint8Array =>
  frame(FROM_CONTROLLER[message.type], (out) => {
    switch (message.type) {
      case 'welcome':
        out.u32(message.protocol).str(message.build)
        break
      case 'step':
        out.u64(message.id).str(message.name).bytes(message.plan)
        if (message.whenDone !== undefined) out.bytes(message.whenDone)
        break
      case 'commit':
        writeCommit(out, message)
        break
      default:
        out.bytes(message.bytes)
    }
  })

const writeCommit = (out: ByteWriter, commit: Commit): void => {
  const flags = (commit.record === undefined ? 0 : COMMIT_FLAGS.record) | (commit.leave ? COMMIT_FLAGS.leave : 0)
  out.u64(commit.id).u64(commit.base).u32(flags)
  out.bytes(commit.record ?? new Uint8Array())
  out.u32(commit.answers.length)
  for (const { id, payload } of commit.answers) out.u64(id).bytes(payload)
  out.u32(commit.acknowledged.length)
  for (const serial of commit.acknowledged) out.u64(serial)
  out.u32(commit.events.length)
  for (const event of commit.events) out.bytes(event)
  out.strs(commit.drops)
}

export const decodeControllerMessage = ({ type, payload }: Frame): ControllerMessage => {
  const reader = new ByteReader(payload)
  const message = readControllerMessage(type, reader)
  reader.end()
  return message
}

const readStep = (reader: ByteReader): Step => {
  const step = { type: 'step', id: reader.u64(), name: reader.str(), plan: reader.bytes() } as const
  return reader.left === 0 ? step : { ...step, whenDone: reader.bytes() }
}

const readControllerMessage = (type: number, reader: ByteReader): ControllerMessage => {
  switch (type) {
    case FROM_CONTROLLER.welcome:
      return { type: 'welcome', protocol: reader.u32(), build: reader.str() }
    case FROM_CONTROLLER.step:
      return readStep(reader)
    case FROM_CONTROLLER.commit:
      return readCommit(reader)
    case OF_FRONT.wire:
      return { type: 'wire', bytes: reader.bytes() }
    case OF_FRONT.calls:
      return { type: 'calls', bytes: reader.bytes() }
    default:
      throw new MalformedError(`a frame of the unknown type ${type}`)
  }
}

const readCommit = (reader: ByteReader): Commit => {
  const id = reader.u64()
  const base = reader.u64()
  const flags = reader.u32()
  const record = reader.bytes()
  return {
    type: 'commit',
    id,
    base,
    record: (flags & COMMIT_FLAGS.record) === 0 ? undefined : record,
    leave: (flags & COMMIT_FLAGS.leave) !== 0,
    answers: Array.from({ length: reader.count(12) }, () => ({ id: reader.u64(), payload: reader.bytes() })),
    acknowledged: Array.from({ length: reader.count(8) }, () => reader.u64()),
    events: Array.from({ length: reader.count(4) }, () => reader.bytes()),
    drops: reader.strs(),
  }
}

/** The body of a command's request. */
export const decodeCommand = (body: Uint8Array): CommandRequest => {
  const reader = new ByteReader(body)
  const argv = reader.strs()
  const env = pairs(reader.strs())
  const cwd = reader.str()
  const [uid, gid, pid, ttys] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()]
  const request: CommandRequest = {
    argv,
    env,
    cwd,
    uid,
    gid,
    pid,
    ttys: [(ttys & 1) !== 0, (ttys & 2) !== 0, (ttys & 4) !== 0],
    rows: reader.u32(),
    cols: reader.u32(),
    listenFds: reader.u32(),
    round: reader.u32(),
    runDir: reader.str(),
    attempt: reader.bytes(),
  }
  reader.end()
  return request
}

export const encodeCommand = (request: CommandRequest): Uint8Array => {
  const out = new ByteWriter()
  out.strs(request.argv).strs(Object.entries(request.env).map(([key, value]) => `${key}=${value}`))
  out.str(request.cwd).u32(request.uid).u32(request.gid).u32(request.pid)
  out.u32(request.ttys.reduce((bits, tty, fd) => bits | (tty ? 1 << fd : 0), 0))
  out.u32(request.rows).u32(request.cols).u32(request.listenFds).u32(request.round).str(request.runDir)
  return out.bytes(request.attempt).finish()
}

export const encodeCommandAnswer = ({ exitCode, stdout, stderr, again = false }: CommandAnswer): Uint8Array => {
  const out = new ByteWriter().u32(exitCode).bytes(asBytes(stdout)).bytes(asBytes(stderr))
  return out.u32(again ? 1 : 0).finish()
}

export const decodeCommandAnswer = (payload: Uint8Array) => {
  const reader = new ByteReader(payload)
  const answer = {
    exitCode: reader.u32(),
    stdout: reader.bytes(),
    stderr: reader.bytes(),
    again: reader.u32() !== 0,
  }
  reader.end()
  return answer
}

const asBytes = (text: string | Uint8Array): Uint8Array =>
  typeof text === 'string' ? new TextEncoder().encode(text) : text

/** The body of a monitor's request. */
export const decodeMonitorRequest = (id: bigint, kind: number, body: Uint8Array): MonitorRequest => {
  const reader = new ByteReader(body)
  const request = readMonitorRequest(id, kind, reader)
  reader.end()
  return request
}

const readMonitorRequest = (id: bigint, kind: number, reader: ByteReader): MonitorRequest => {
  switch (kind) {
    case REQUEST_KINDS.ttrpc:
      return { kind: 'ttrpc', id, connection: reader.u64(), time: reader.u64(), message: reader.bytes() }
    case REQUEST_KINDS.exit:
      return {
        kind: 'exit',
        id,
        serial: reader.u64(),
        key: reader.str(),
        pid: reader.u32(),
        waitStatus: reader.u32(),
        time: reader.u64(),
        oom: reader.u32() !== 0,
      }
    case REQUEST_KINDS.disconnected:
      return { kind: 'disconnected', id, connection: reader.u64() }
    case REQUEST_KINDS.oom:
      return { kind: 'oom', id, serial: reader.u64(), key: reader.str() }
    default:
      throw new MalformedError(`a request of the unknown kind ${kind}`)
  }
}

/** `key=value` strings as an object without a prototype (the keys are others' words); the first of a key wins, as with getenv(3). */
export const pairs = (list: readonly string[]): Readonly<Record<string, string>> => {
  const object: Record<string, string> = Object.create(null)
  for (const pair of list) {
    const at = pair.indexOf('=')
    if (at > 0) object[pair.slice(0, at)] ??= pair.slice(at + 1)
  }
  return object
}
