/**
 * What a shim remembers of its tasks: the only state there is. The monitor holds it as bytes; here it is an immutable value, and
 * every change is a pure function from one record to the next. Kept small: it travels with every commit that changes it.
 */

import { Code, RpcError } from '../ttrpc/status.ts'

const VERSION = 1

/** How a process ended: its code, or 128 and the signal's number. `time`: nanoseconds since the epoch, decimal. */
export interface Exit {
  readonly status: number
  readonly time: string
}

/** A Wait that is parked: answered by the commit of the exit. */
export interface Waiter {
  readonly id: string
  readonly connection: string
}

export interface Stdio {
  readonly stdin: string
  readonly stdout: string
  readonly stderr: string
  readonly terminal: boolean
}

export interface Running {
  readonly pid: number
  /** Clock ticks after boot, decimal: with the pid it names the process for good. */
  readonly start: string
}

interface ProcessState {
  readonly stdio: Stdio
  /** CloseIO came before its start. */
  readonly stdinClosed?: boolean
  readonly exit?: Exit
  readonly waiters?: readonly Waiter[]
  /** Pumps carry its output: Delete waits for their end. */
  readonly pumped?: boolean
  /** A logging program takes its output: Delete ends that. */
  readonly logged?: boolean
}

/** `failed`: its Start failed before there was a process. */
export type ExecStatus = 'added' | 'running' | 'stopped' | 'failed'

export interface Exec extends ProcessState {
  readonly status: ExecStatus
  readonly process?: Running
  /** The OCI process (JSON) until it is started. */
  readonly spec?: string
  /** What was asked for before there was a process to do it to. */
  readonly size?: { readonly width: number; readonly height: number }
}

export type TaskStatus = 'created' | 'running' | 'paused' | 'stopped'

/** cgroup directories of a container; v1: and which of them has a controller. */
export type CgroupDirs =
  | { readonly version: 1; readonly all: readonly string[]; readonly by: Readonly<Record<string, number>> }
  | { readonly version: 2; readonly all: readonly string[] }

export interface TaskOptions {
  readonly noPivot?: boolean
  readonly noNewKeyring?: boolean
  readonly systemdCgroup?: boolean
  readonly ioUid?: number
  readonly ioGid?: number
  readonly criuPath?: string
  readonly criuWorkPath?: string
}

export interface Task extends ProcessState {
  readonly bundle: string
  readonly status: TaskStatus
  /** Its pid is 0 as long as there is none: Start restores it. */
  readonly process: Running
  readonly cgroups: CgroupDirs
  readonly options: TaskOptions
  readonly execs: Readonly<Record<string, Exec>>
  /** It has no pid namespace of its own: its other processes outlive init unless they are killed. */
  readonly sharedPid?: boolean
  /** It has policies (src/policy/kept.ts). */
  readonly confined?: boolean
  /** Directory of the checkpoint that Start is to restore. */
  readonly checkpoint?: string
  /** poststart hooks have to run: the plan of Start is compiled again. */
  readonly hooks?: boolean
  /** Init has ended, processes of execs have not yet: their exits are published first. */
  readonly pending?: Exit
  /** OOM kills counted in its cgroup so far. */
  readonly oomKills?: number
  /** How often its own limit had been hit by then. */
  readonly oomHits?: number
}

export interface ShimRecord {
  readonly tasks: Readonly<Record<string, Task>>
}

const EMPTY: ShimRecord = { tasks: {} }

/** The record from its bytes; none before the first commit. */
export const decodeRecord = (bytes: Uint8Array): ShimRecord => {
  if (bytes.length === 0) return EMPTY
  const { version, tasks } = JSON.parse(new TextDecoder().decode(bytes)) as { version: number } & ShimRecord
  if (version !== VERSION) throw new Error(`record of version ${version}, not ${VERSION}`)
  return { tasks }
}

export const encodeRecord = ({ tasks }: ShimRecord): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({ version: VERSION, tasks }))

/** The directory that has a controller; undefined where the host lacks it. */
export const cgroupDir = (cgroups: CgroupDirs, controller: string): string | undefined =>
  cgroups.all[cgroups.version === 2 ? 0 : (cgroups.by[controller] ?? -1)]

/** The key under which the monitor holds a process, and reports its exit. Ids have no slash. */
export const keyOf = (id: string, execId: string): string => (execId === '' ? id : `${id}/${execId}`)

export const splitKey = (key: string): { readonly id: string; readonly execId: string } => {
  const slash = key.indexOf('/')
  return slash < 0 ? { id: key, execId: '' } : { id: key.slice(0, slash), execId: key.slice(slash + 1) }
}

// ---- looking things up ---------------------------------------------------------------------------------------------

export const noTask = (): RpcError => new RpcError(Code.notFound, 'container not created: not found')

export const findTask = ({ tasks }: ShimRecord, id: string): Task | undefined =>
  Object.hasOwn(tasks, id) ? tasks[id] : undefined

export const findExec = ({ execs }: Task, execId: string): Exec | undefined =>
  Object.hasOwn(execs, execId) ? execs[execId] : undefined

export const getTask = (record: ShimRecord, id: string): Task => {
  const task = findTask(record, id)
  if (task === undefined) throw noTask()
  return task
}

export const getExec = (task: Task, execId: string): Exec => {
  const exec = findExec(task, execId)
  if (exec === undefined) throw new RpcError(Code.notFound, `process does not exist ${execId}: not found`)
  return exec
}

/** Init where `execId` is empty, else that exec. */
export const getProcess = (record: ShimRecord, id: string, execId: string): Task | Exec => {
  const task = getTask(record, id)
  return execId === '' ? task : getExec(task, execId)
}

// ---- changes -------------------------------------------------------------------------------------------------------

export const putTask = ({ tasks }: ShimRecord, id: string, task: Task): ShimRecord => ({
  tasks: { ...tasks, [id]: task },
})

export const removeTask = ({ tasks }: ShimRecord, id: string): ShimRecord => {
  const { [id]: _, ...rest } = tasks
  return { tasks: rest }
}

export const putExec = (record: ShimRecord, id: string, execId: string, exec: Exec): ShimRecord => {
  const task = getTask(record, id)
  return putTask(record, id, { ...task, execs: { ...task.execs, [execId]: exec } })
}

export const removeExec = (record: ShimRecord, id: string, execId: string): ShimRecord => {
  const task = getTask(record, id)
  const { [execId]: _, ...execs } = task.execs
  return putTask(record, id, { ...task, execs })
}

export const addWaiter = (record: ShimRecord, id: string, execId: string, waiter: Waiter): ShimRecord => {
  const process = getProcess(record, id, execId)
  const waiters = [...(process.waiters ?? []).filter((other) => other.id !== waiter.id), waiter]
  return execId === ''
    ? putTask(record, id, { ...(process as Task), waiters })
    : putExec(record, id, execId, { ...(process as Exec), waiters })
}

/** Forgets the Waits of a connection that is gone; the same record where there are none. */
export const dropConnection = (record: ShimRecord, connection: string): ShimRecord => {
  let changed = false
  const pruned = <P extends ProcessState>(process: P): P => {
    const { waiters, ...rest } = process
    const left = waiters?.filter((waiter) => waiter.connection !== connection) ?? []
    if (left.length === (waiters?.length ?? 0)) return process
    changed = true
    return (left.length === 0 ? rest : { ...rest, waiters: left }) as P
  }
  const map = <P>(items: Readonly<Record<string, P>>, change: (item: P) => P) =>
    Object.fromEntries(Object.entries(items).map(([key, item]) => [key, change(item)]))
  const tasks = map(record.tasks, (task) => pruned({ ...task, execs: map(task.execs, pruned) }))
  return changed ? { tasks } : record
}

/** Whether a process of an exec is alive. */
export const execAlive = ({ status }: Exec): boolean => status === 'running'

/** A process whose end was told in a transition: what its waiters get and what is published, in order. */
export interface Ended {
  readonly execId: string
  readonly pid: number
  readonly exit: Exit
  readonly waiters: readonly Waiter[]
}

/**
 * A process has ended. Init's end is held back while processes of execs are alive, and told after the last of them (section 3 of the task
 * protocol: init's exit last). An end that was told already, or of a process that is not known, changes nothing.
 */
export const recordExit = (
  record: ShimRecord,
  { id, execId, pid }: { readonly id: string; readonly execId: string; readonly pid: number },
  exit: Exit,
): { readonly record: ShimRecord; readonly ended: readonly Ended[] } => {
  const task = findTask(record, id)
  const process = task && (execId === '' ? task : findExec(task, execId))
  if (task === undefined || process?.process?.pid !== pid || process.exit !== undefined) return { record, ended: [] }
  if (execId === '') return settleInit(record, id, exit)

  const { waiters = [], ...rest } = process as Exec
  const after = putExec(record, id, execId, { ...rest, status: 'stopped', exit })
  const told = [{ execId, pid, exit, waiters }]
  if (task.pending === undefined) return { record: after, ended: told }
  const init = settleInit(after, id, task.pending)
  return { record: init.record, ended: [...told, ...init.ended] }
}

const settleInit = (record: ShimRecord, id: string, exit: Exit) => {
  const { waiters = [], pending: _, ...task } = getTask(record, id)
  if (Object.values(task.execs).some(execAlive)) {
    return { record: putTask(record, id, { ...task, waiters, pending: exit }), ended: [] }
  }
  // What only a living task needs.
  const execs = Object.fromEntries(Object.entries(task.execs).map(([key, { spec: _spec, ...exec }]) => [key, exec]))
  return {
    record: putTask(record, id, { ...task, execs, status: 'stopped', exit }),
    ended: [{ execId: '', pid: task.process.pid, exit, waiters }],
  }
}

/** Exit status of containerd from a wait status of the kernel. */
export const exitStatus = (waitStatus: number): number =>
  (waitStatus & 0x7f) === 0 ? (waitStatus >> 8) & 0xff : 128 + (waitStatus & 0x7f)
