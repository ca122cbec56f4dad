/** Connect: who serves a task. One that is not known is no error: containerd asks before it knows. */

import { containerd } from '../proto/messages.gen.js'
import type { Method } from './call.ts'
import { findTask } from './record.ts'

export const connect: Method<containerd.task.ConnectRequest> =
  (env, { id }) =>
  (record) => {
    const taskPid = findTask(record, id)?.process.pid ?? 0
    return { answer: containerd.task.ConnectResponse.encode({ shimPid: env.pid, taskPid }).finish() }
  }
