/** Exec: notes a further process; Start makes it. */

import { checkId } from '../../src/spec/id.ts'
import type { containerd } from '../proto/messages.gen.js'
import { Code, RpcError } from '../ttrpc/status.ts'
import type { Method } from './call.ts'
import { findExec, getTask, putExec, type ShimRecord, type Task } from './record.ts'
import { wrongState } from './status.ts'

export const exec: Method<containerd.task.ExecRequest> = (env, request, _step, { time }) => {
  const { id, execId, terminal, stdin, stdout, stderr } = request
  check(env.record(), id, execId)
  checkId(execId, 'exec')
  const spec = request.spec?.value
  if (!spec?.length) throw new RpcError(Code.invalidArgument, `exec ${execId}: no process given`)
  // Refused now rather than at Start.
  env.compiler.loadProcess(spec)
  return (record) => {
    check(record, id, execId)
    const stdio = { stdin, stdout, stderr, terminal }
    return {
      record: putExec(record, id, execId, { status: 'added', stdio, spec: new TextDecoder().decode(spec) }),
      answer: new Uint8Array(0),
      events: [env.events.execAdded(time, id, execId)],
    }
  }
}

const check = (record: ShimRecord, id: string, execId: string): Task => {
  const task = getTask(record, id)
  if (findExec(task, execId) !== undefined) throw wrongState.execExists(execId)
  const unborn = task.status === 'created' && task.process.pid === 0
  if (unborn || task.status === 'paused' || task.status === 'stopped') throw wrongState.exec(task.status)
  return task
}
