/** CloseIO: lets a stdin end once what is in it was read. */

import type { containerd } from '../proto/messages.gen.js'
import { kept } from '../stdio.ts'
import type { Method } from './call.ts'
import { dropOp } from './create.ts'
import { getExec, getProcess, getTask, keyOf, putExec, putTask } from './record.ts'

const answer = new Uint8Array(0)

export const closeIO: Method<containerd.task.CloseIORequest> = async (env, { id, execId, stdin }, step) => {
  const target = getProcess(env.record(), id, execId)
  if (!stdin) return () => ({ answer })
  if (target.status === 'added') {
    return (record) => {
      const exec = getExec(getTask(record, id), execId)
      return { record: putExec(record, id, execId, { ...exec, stdinClosed: true }), answer }
    }
  }
  if (target.status === 'created' && !target.stdio.terminal)
    return (record) => ({ record: putTask(record, id, { ...getTask(record, id), stdinClosed: true }), answer })
  // Nothing kept, as there is no stdin or it was closed before, is no error.
  await step('close', [dropOp(kept.stdin(keyOf(id, execId)))])
  return () => ({ answer })
}
