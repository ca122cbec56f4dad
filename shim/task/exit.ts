/** What the monitor reports by itself: the end of a process, the end of a connection. */

import type { MonitorRequest, RunStep } from '../../src/controller/types.ts'
import { OP_FLAGS, type Plan, READ_FLAGS } from '../../src/plan/ops.ts'
import type { Commit, Env } from './call.ts'
import { killAllOp } from './kill.ts'
import {
  type CgroupDirs,
  cgroupDir,
  dropConnection,
  exitStatus,
  findTask,
  putTask,
  recordExit,
  splitKey,
} from './record.ts'
import { settle } from './wait.ts'

type ExitRequest = Extract<MonitorRequest, { kind: 'exit' }>

const SIGKILL = 9
const MAX = 1 << 20

export const exited = async (env: Env, request: ExitRequest, step: RunStep): Promise<Commit> => {
  const { key, pid, waitStatus, time } = request
  const { id, execId } = splitKey(key)
  const exit = { status: exitStatus(waitStatus), time: String(time) }
  const task = findTask(env.record(), id)
  const kills = task === undefined || exit.status === 0 ? undefined : await oomKills(task.cgroups, step)
  if (execId === '' && task?.sharedPid) {
    // Nothing ends the others with init where the pid namespace is shared, and exits of execs have to be published before init's.
    await step('kill', killAllOp(task.cgroups, SIGKILL)).catch(() => undefined)
  }
  return (before) => {
    const counted = countOom(before, id, kills)
    const { record, ended } = recordExit(counted.record, { id, execId, pid }, exit)
    const oom = counted.more ? [env.events.oom(time, id)] : []
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

/**
 * The kernel's count of OOM kills in the container. Its notifications are rate-limited and may come after the exit (trap 19), so the
 * counter is read at each end that a kill can have caused, before that is published.
 */
const oomKills = async (cgroups: CgroupDirs, step: RunStep): Promise<number | undefined> => {
  const dir = cgroupDir(cgroups, 'memory')
  const path = `${dir}/${cgroups.version === 2 ? 'memory.events' : 'memory.oom_control'}`
  if (dir === undefined) return undefined
  const plan: Plan = [{ op: 'read', path, max: MAX, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate }]
  const results = await step('oom', plan).catch(() => undefined)
  const count = /^oom_kill (\d+)$/m.exec(results?.text(0) ?? '')?.[1]
  return count === undefined ? undefined : Number(count)
}

const countOom = (record: Parameters<Commit>[0], id: string, kills: number | undefined) => {
  const task = findTask(record, id)
  if (task === undefined || kills === undefined || kills <= (task.oomKills ?? 0)) return { record, more: false }
  return { record: putTask(record, id, { ...task, oomKills: kills }), more: true }
}
