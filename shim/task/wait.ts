/** Wait: answered at once where the process has ended, else parked in the record; the commit of the exit answers it. */

import { containerd } from '../proto/messages.gen.js'
import { exitedAt } from '../time.ts'
import type { Method } from './call.ts'
import { addWaiter, type Exit, getProcess, type Waiter } from './record.ts'

export const waitAnswer = (exit: Exit | undefined): Uint8Array =>
  containerd.task.WaitResponse.encode({ exitStatus: exit?.status ?? 0, ...exitedAt(exit) }).finish()

/** Answers of Waits that were parked. */
export const settle = (waiters: readonly Waiter[], exit: Exit | undefined) =>
  waiters.map((waiter) => ({ waiter, answer: waitAnswer(exit) }))

export const wait: Method<containerd.task.WaitRequest> =
  (_env, { id, execId }, _step, { id: request, connection }) =>
  (record) => {
    const process = getProcess(record, id, execId)
    if (process.exit !== undefined || process.status === 'failed') return { answer: waitAnswer(process.exit) }
    return { record: addWaiter(record, id, execId, { id: request, connection }) }
  }
