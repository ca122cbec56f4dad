/** State: what the record says of a process. */

import { containerd } from '../proto/messages.gen.js'
import { exitedAt } from '../time.ts'
import type { Method } from './call.ts'
import { type Exec, getProcess, getTask, type Task } from './record.ts'

const { Status } = containerd.task
const STATUS: Readonly<Record<Task['status'] | Exec['status'], containerd.task.Status>> = {
  created: Status.CREATED,
  added: Status.CREATED,
  failed: Status.CREATED,
  running: Status.RUNNING,
  paused: Status.PAUSED,
  stopped: Status.STOPPED,
}

export const state: Method<containerd.task.StateRequest> =
  (_env, { id, execId }) =>
  (record) => {
    const task = getTask(record, id)
    const process = getProcess(record, id, execId)
    const message = {
      // As the reference has it: an exec's own, and nothing in the field for execs.
      id: execId === '' ? id : execId,
      bundle: task.bundle,
      pid: process.process?.pid ?? 0,
      // Nothing in a frozen cgroup moves, nor is let into it.
      status: task.status === 'paused' ? Status.PAUSED : STATUS[process.status],
      ...process.stdio,
      exitStatus: process.exit?.status ?? 0,
      ...exitedAt(process.exit),
    }
    return { answer: containerd.task.StateResponse.encode(message).finish() }
  }
