/** Which code and text an error is answered with. Texts are runc's, which people and test suites look for. */

import { BerthError, type ErrorKind } from '../../src/errors.ts'
import { ioFailed } from '../output.ts'
import { Code, RpcError } from '../ttrpc/status.ts'
import type { TaskStatus } from './record.ts'

const CODES: Readonly<Record<ErrorKind, number>> = {
  invalid: Code.invalidArgument,
  usage: Code.invalidArgument,
  'not-found': Code.notFound,
  exists: Code.alreadyExists,
  state: Code.failedPrecondition,
  unsupported: Code.unimplemented,
  failed: Code.unknown,
  internal: Code.unknown,
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** The status of an error that reached the end of a handler. */
export const statusOf = (error: unknown): { readonly code: number; readonly message: string } => {
  if (error instanceof RpcError) return { code: error.code, message: error.message }
  const code = error instanceof BerthError ? CODES[error.kind] : Code.unknown
  return { code, message: messageOf(error) }
}

/** An operation that failed on the process to be, not on the host: runc says so, and engines look for it. */
const isProcess = (error: unknown): boolean =>
  error instanceof BerthError && (error.op === 'find-exec' || error.op === 'exec' || error.op === 'chdir')

/** A program that takes a process's output does not start, or is not ready. */
const isIo = (error: unknown): boolean => error instanceof BerthError && error.op === 'spawn'

const START = 'unable to start container process: '

/** Create's one failure. Never code 12: containerd would take that for a shim that lacks this version of the API. */
export const createFailed = (error: unknown): RpcError =>
  error instanceof RpcError
    ? error
    : isIo(error)
      ? ioFailed(messageOf(error))
      : new RpcError(Code.unknown, `OCI runtime create failed: ${isProcess(error) ? START : ''}${messageOf(error)}`)

/** Start of an exec. */
export const execFailed = (error: unknown): RpcError =>
  error instanceof RpcError
    ? error
    : isIo(error)
      ? ioFailed(messageOf(error))
      : new RpcError(Code.unknown, `OCI runtime exec failed: exec failed: ${START}${messageOf(error)}`)

/** Start of init. */
export const startFailed = (error: unknown): RpcError =>
  error instanceof RpcError
    ? error
    : new RpcError(Code.unknown, `OCI runtime start failed: ${isProcess(error) ? START : ''}${messageOf(error)}`)

const unknown = (message: string): RpcError => new RpcError(Code.unknown, message)
const NAMES: Readonly<Record<TaskStatus, string>> = {
  created: 'created',
  running: 'a running process',
  paused: 'a paused process',
  stopped: 'a stopped process',
}

/** Errors of a verb in the wrong state. */
export const wrongState = {
  start: (status: TaskStatus) => unknown(`cannot start ${NAMES[status]}`),
  delete: (status: TaskStatus) => unknown(`cannot delete ${NAMES[status]}`),
  pause: (status: TaskStatus) =>
    unknown(`cannot pause ${status === 'created' ? 'task in created state' : `a ${status} container`}`),
  resume: (status: TaskStatus) =>
    unknown(
      `cannot resume ${status === 'created' ? 'task in created state' : status === 'stopped' ? 'a stopped container' : NAMES[status]}`,
    ),
  checkpoint: (status: TaskStatus) =>
    unknown(`cannot checkpoint a ${status === 'created' ? 'task in created state' : `${status} container`}`),
  exec: (status: TaskStatus) => unknown(`cannot exec in a ${status} state`),
  execPaused: () => unknown('OCI runtime exec failed: exec failed: cannot exec in a paused container'),
  resize: () => unknown('cannot resize a stopped container'),
  update: (status: TaskStatus) => unknown(`cannot update a ${status} container`),
  initNotRunning: (id: string) =>
    new RpcError(Code.failedPrecondition, `container ${id} init process is not running: failed precondition`),
  finished: () => new RpcError(Code.notFound, 'process already finished: not found'),
  notCreated: () => new RpcError(Code.failedPrecondition, 'process not created: failed precondition'),
  execExists: (execId: string) => new RpcError(Code.alreadyExists, `id ${execId}: already exists`),
}
