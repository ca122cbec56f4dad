/** The task service: which method answers a call, with which messages, and in whose turn. */

import { containerd } from '../proto/messages.gen.js'
import { Code, RpcError } from '../ttrpc/status.ts'
import type { Caller, Env, Method, Step } from './call.ts'
import { closeIO } from './closeio.ts'
import { connect } from './connect.ts'
import { create } from './create.ts'
import { del } from './delete.ts'
import { exec } from './exec.ts'
import { kill } from './kill.ts'
import { type MethodName, SERVICES } from './names.ts'
import { pause, resume } from './pause.ts'
import { pids } from './pids.ts'
import { keyOf } from './record.ts'
import { resizePty } from './resizepty.ts'
import { shutdown } from './shutdown.ts'
import { start } from './start.ts'
import { state } from './state.ts'
import { stats } from './stats.ts'
import { update } from './update.ts'
import { wait } from './wait.ts'

/** A call whose request has been read. */
export interface Call {
  /** Whose turn it takes; undefined: it only looks, at the record as it is. */
  readonly key: string | undefined
  /** It makes a process that init's exit has to wait for. */
  readonly startsExec: boolean
  readonly run: (env: Env, step: Step, caller: Caller) => ReturnType<Method<unknown>>
}

type Route = (payload: Uint8Array) => Call

interface Named {
  readonly id: string
  readonly execId?: string
}

/** Takes the turn of the process it names. */
const inTurn =
  <R extends Named>(type: { decode(payload: Uint8Array): R }, method: Method<R>): Route =>
  (payload) => {
    const request = type.decode(payload)
    const { id, execId = '' } = request
    const startsExec = method === (start as unknown) && execId !== ''
    return { key: keyOf(id, execId), startsExec, run: (env, ...rest) => method(env, request, ...rest) }
  }

/** Answered at once, however long a Create or Start takes. */
const atOnce =
  <R>(type: { decode(payload: Uint8Array): R }, method: Method<R>): Route =>
  (payload) => {
    const request = type.decode(payload)
    return { key: undefined, startsExec: false, run: (env, ...rest) => method(env, request, ...rest) }
  }

const { task } = containerd

/** Loaded when it is asked for, which is seldom. */
const checkpoint: Method<containerd.task.CheckpointRequest> = async (...call) =>
  (await import('./checkpoint.ts')).checkpoint(...call)

const METHODS: Readonly<Record<MethodName, Route>> = {
  State: atOnce(task.StateRequest, state),
  Create: inTurn(task.CreateRequest, create),
  Start: inTurn(task.StartRequest, start),
  Delete: inTurn(task.DeleteRequest, del),
  Pids: atOnce(task.PidsRequest, pids),
  Pause: inTurn(task.PauseRequest, pause),
  Resume: inTurn(task.ResumeRequest, resume),
  Checkpoint: inTurn(task.CheckpointRequest, checkpoint),
  Kill: inTurn(task.KillRequest, kill),
  Exec: inTurn(task.ExecRequest, exec),
  ResizePty: inTurn(task.ResizePtyRequest, resizePty),
  CloseIO: inTurn(task.CloseIORequest, closeIO),
  Update: inTurn(task.UpdateRequest, update),
  // A Wait holds no turn while it waits: it is parked in the record.
  Wait: atOnce(task.WaitRequest, wait),
  Stats: atOnce(task.StatsRequest, stats),
  Connect: atOnce(task.ConnectRequest, connect),
  Shutdown: atOnce(task.ShutdownRequest, shutdown),
}

/** Finds the method of a call and reads its request; what is not known here is code 12, as ttrpc has it. */
export const route = (service: string, method: string, payload: Uint8Array): Call => {
  if (!SERVICES.includes(service)) throw new RpcError(Code.unimplemented, `service ${service}`)
  const found = Object.hasOwn(METHODS, method) ? METHODS[method as MethodName] : undefined
  if (found === undefined) throw new RpcError(Code.unimplemented, `method ${method}`)
  try {
    return found(payload)
  } catch (error) {
    throw new RpcError(Code.internal, `ttrpc: error unmarshalling payload: ${(error as Error).message}`)
  }
}
