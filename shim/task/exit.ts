/** What the monitor reports by itself: the end of a process, the end of a connection. */

import type { MonitorRequest, RunStep } from '../../src/controller/types.ts'
import { SIGKILL } from '../../src/spec/signals.ts'
import type { Commit, Env } from './call.ts'
import { killAllOp } from './kill.ts'
import { countOom, lookForOom } from './oom.ts'
import { dropConnection, exitStatus, findTask, recordExit, splitKey } from './record.ts'
import { settle } from './wait.ts'

type ExitRequest = Extract<MonitorRequest, { kind: 'exit' }>

export const exited = async (env: Env, request: ExitRequest, step: RunStep): Promise<Commit> => {
  const { key, pid, waitStatus, time } = request
  const { id, execId } = splitKey(key)
  const exit = { status: exitStatus(waitStatus), time: String(time) }
  const task = findTask(env.record(), id)
  const look = request.oom ? await lookForOom(env, id, step) : undefined
  if (execId === '' && task?.sharedPid) {
    // Nothing ends the others with init where the pid namespace is shared, and exits of execs have to be published before init's.
    await step('kill', killAllOp(task.cgroups, SIGKILL)).catch(() => undefined)
  }
  return (before) => {
    const counted = countOom(before, id, look)
    const { record, ended } = recordExit(counted.record, { id, execId, pid }, exit)
    const oom = counted.event ? [env.events.oom(time, id)] : []
    return {
      ...(record === before ? {} : { record }),
      settled: ended.flatMap(({ waiters, exit: how }) => settle(waiters, how)),
      events: [...oom, ...ended.map((how) => env.events.exit(id, how))],
    }
  }
}

/** The Waits of a connection that is gone are forgotten. */
export const disconnected =
  (connection: string): Commit =>
  (before) => {
    const record = dropConnection(before, connection)
    return record === before ? {} : { record }
  }
