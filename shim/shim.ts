/** One shim: takes the monitor's requests, gives each its turn, and commits what came of it. */

import type { Change, Monitor, MonitorRequest, RunStep, Shim } from '../src/controller/types.ts'
import { Events } from './events.ts'
import type { Commit, Effect, Env, Step } from './task/call.ts'
import type { Compiler } from './task/compile.ts'
import { disconnected, exited } from './task/exit.ts'
import { ranOut } from './task/oom.ts'
import { decodeRecord, encodeRecord, type ShimRecord, splitKey } from './task/record.ts'
import { type Call, route } from './task/service.ts'
import { statusOf } from './task/status.ts'
import { Turns } from './task/turns.ts'
import { decodeRequest, encodeResponse } from './ttrpc/message.ts'
import { Code, RpcError } from './ttrpc/status.ts'

type CommitChange = (compute: () => Change) => void
type Ttrpc = Extract<MonitorRequest, { kind: 'ttrpc' }>
type ExitRequest = Extract<MonitorRequest, { kind: 'exit' }>

const EMPTY = new Uint8Array(0)

/** A shim whose methods use this compiler. `known`: what they share with those of other shims. */
export const shimWith = (monitor: Monitor, compiler: Compiler, known: Env['known'] = new Map()): Shim => {
  const { namespace = '', stateDir = '', pid = '0' } = monitor.context
  const { record, encode } = cachedRecord(monitor)
  const env: Env = { events: new Events(namespace), compiler, namespace, stateDir, pid: Number(pid), known, record }
  const turns = new Turns()
  /** Of `turns`, those of execs that are being started. */
  const starts = new Turns()
  /** Looks at a container's count of OOM kills: one at a time, so that each kill is told once. */
  const looks = new Turns()

  const ttrpc = async (
    { id, connection, time, message }: Ttrpc,
    step: RunStep<Uint8Array>,
    commit: CommitChange,
  ): Promise<void> => {
    const answer = (compute: Commit) => commit(() => answered(id, compute, record(), encode))
    const own: Step = (name, plan, whenDone) => step(name, plan, whenDone && encodeResponse({ payload: whenDone }))
    const run = async (call: Call): Promise<void> =>
      answer(await settled(() => call.run(env, own, { id: String(id), connection: String(connection), time })))

    const call = read(message)
    if (call instanceof RpcError) return answer(() => ({ error: call }))
    const { key } = call
    if (key === undefined) return run(call)
    // Both turns are taken now, before anything is awaited.
    const done = turns.take(key, () => run(call))
    if (call.startsExec) void starts.take(key, () => done).catch(() => undefined)
    await done
  }

  const exit = (request: ExitRequest, step: RunStep, commit: CommitChange): Promise<void> =>
    turns.take(request.key, async () => {
      const { id, execId } = splitKey(request.key)
      // An exec that is being started may have a process already, and its start and exit come before init's exit.
      if (execId === '') await starts.settled(`${id}/`)
      const tell = async () => report(request.serial, await exited(env, request, step), commit)
      await (request.oom ? looks.take(id, tell) : tell())
    })

  const report = (serial: bigint, compute: Commit, commit: CommitChange): void =>
    commit(() => ({ ...changed(compute(record()), encode), acknowledged: [serial] }))

  return {
    handle: async (request, step, commit) => {
      if (request.kind === 'ttrpc') await ttrpc(request, step, commit)
      else if (request.kind === 'exit') await exit(request, step, commit)
      else if (request.kind === 'oom')
        // No turn of the container's: a Start or an end need not wait for it.
        await looks.take(request.key, async () => report(request.serial, await ranOut(env, request, step), commit))
      else commit(() => changed(disconnected(String(request.connection))(record()), encode))
    },
  }
}

type Encode = (record: ShimRecord) => Uint8Array

/** The record as a value, decoded once for each that there is, but for those that were encoded here. */
const cachedRecord = (monitor: Monitor): { readonly record: () => ShimRecord; readonly encode: Encode } => {
  let bytes: Uint8Array | undefined
  let value: ShimRecord | undefined
  return {
    record: () => {
      const now = monitor.record()
      if (value === undefined || now !== bytes) {
        bytes = now
        value = decodeRecord(now)
      }
      return value
    },
    encode: (record) => {
      value = record
      bytes = encodeRecord(record)
      return bytes
    },
  }
}

/** The call, or why it is none. */
const read = (message: Uint8Array): Call | RpcError => {
  try {
    const { service, method, payload } = decodeRequest(message)
    return route(service, method, payload)
  } catch (error) {
    if (error instanceof RpcError) return error
    return new RpcError(Code.invalidArgument, `malformed request: ${(error as Error).message}`)
  }
}

/** What a method says to commit; its error is an answer. */
const settled = async (work: () => Promise<Commit> | Commit): Promise<Commit> => {
  try {
    return await work()
  } catch (error) {
    return () => ({ error: error as Error })
  }
}

/** The change of a call; an error of the computation itself is the answer, and changes nothing. */
const answered = (id: bigint, compute: Commit, record: ShimRecord, encode: Encode): Change => {
  let effect: Effect
  try {
    effect = compute(record)
  } catch (error) {
    effect = { error: error as Error }
  }
  const { answers = [], ...change } = changed(effect, encode)
  const own = response(effect)
  return { ...change, answers: own === undefined ? answers : [{ id, payload: own }, ...answers] }
}

const response = ({ error, answer }: Effect): Uint8Array | undefined => {
  if (error !== undefined) return encodeResponse({ status: statusOf(error), payload: EMPTY })
  return answer === undefined ? undefined : encodeResponse({ payload: answer })
}

const changed = (
  { record, settled: waits = [], events = [], drops = [], leave = false }: Effect,
  encode: Encode,
): Change => ({
  ...(record === undefined ? {} : { record: encode(record) }),
  answers: waits.map(({ waiter, answer }) => ({ id: BigInt(waiter.id), payload: encodeResponse({ payload: answer }) })),
  events,
  drops,
  leave,
})
