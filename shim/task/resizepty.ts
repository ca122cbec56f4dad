/** ResizePty: sets the size of a terminal, now or once it is there. */

import type { containerd } from '../proto/messages.gen.js'
import { resizePlan } from '../stdio.ts'
import type { Method } from './call.ts'
import { getExec, getProcess, getTask, keyOf, putExec } from './record.ts'
import { wrongState } from './status.ts'

const answer = new Uint8Array(0)

export const resizePty: Method<containerd.task.ResizePtyRequest> = async (env, request, step) => {
  const { id, execId, width, height } = request
  const { stdio, process, exit } = getProcess(env.record(), id, execId)
  if (execId !== '' && exit !== undefined) throw wrongState.resize()
  if (!stdio.terminal || exit !== undefined) return () => ({ answer })
  if (process === undefined) {
    return (record) => {
      const exec = getExec(getTask(record, id), execId)
      return { record: putExec(record, id, execId, { ...exec, size: { width, height } }), answer }
    }
  }
  await step('resize', resizePlan(keyOf(id, execId), { width, height }))
  return () => ({ answer })
}
