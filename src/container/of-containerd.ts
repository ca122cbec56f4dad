/** Containers that containerd's shims hold (docs/internals.md, "Files"): containerd's to handle, and here only to be seen. */

import { posix } from 'node:path'
import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { OP_FLAGS, type Op, READ_FLAGS } from '../plan/ops.ts'
import { endReason } from './describe.ts'
import { notFound, readOp } from './inspect.ts'
import { MAX_CONFIG } from './layout.ts'
import type { ProcessId } from './state.ts'
import { parseStat, type Status } from './status.ts'

export interface ContainerdTask {
  readonly id: string
  readonly namespace: string
  readonly status: Status
  readonly init: ProcessId
  readonly bundle: string
  /** Where its shim keeps its files. */
  readonly dir: string
  readonly cgroupPaths: readonly string[]
  /** It has policies (src/policy/kept.ts). */
  readonly confined: boolean
  /** What ended it, once its monitor has said so. */
  readonly reason?: string
}

/** What of a shim's record is of interest to others. */
interface Shown {
  readonly bundle: string
  readonly status: Status
  readonly process: { readonly pid: number; readonly start: string }
  readonly cgroups: { readonly all: readonly string[] }
  readonly confined?: boolean
}

const MAX_PROC = 1 << 16

const listOp = (path: string): Op => ({ op: 'list', path, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate })
const fileOp = (path: string, max: number): Op => readOp(path, max, OP_FLAGS.tolerate)

/** The directories in each of these. */
const below = async (step: RunStep, name: string, dirs: readonly string[]): Promise<string[]> => {
  if (dirs.length === 0) return []
  const results = await step(name, dirs.map(listOp))
  return dirs.flatMap((dir, index) =>
    (results.text(index) ?? '').split('\0').flatMap((entry) => (entry === '' ? [] : [`${dir}/${entry}`])),
  )
}

/** `.shim/HASH/NAMESPACE`: one for each namespace of each containerd. */
const namespaceDirs = async (step: RunStep, runDir: string): Promise<string[]> =>
  below(step, 'namespaces', await below(step, 'containerds', [`${runDir}/.shim`]))

/** Every task that a shim of this run directory has written down. */
export const tasksOfContainerd = async (step: RunStep, runDir: string): Promise<ContainerdTask[]> =>
  tasksBelow(step, await namespaceDirs(step, runDir))

/** The one task of this id; `namespace`: where it is looked for, if not in all. */
export const taskOfContainerd = async (
  step: RunStep,
  runDir: string,
  id: string,
  namespace: string | undefined,
): Promise<ContainerdTask> => {
  const dirs = (await dirsWith(step, runDir, id)).filter(
    (dir) => (namespace ?? posix.basename(dir)) === posix.basename(dir),
  )
  if (dirs.length === 0) throw namespace === undefined ? notFound(id) : notThere(id, namespace)
  const tasks = await tasksBelow(step, dirs, id)
  const [task, another] = tasks
  if (another !== undefined) throw ambiguous(id, tasks)
  // Its directory comes first, the record after it was made.
  if (task === undefined) throw new BerthError('state', `container "${id}": its shim has not written it down yet`)
  return task
}

const notThere = (id: string, namespace: string): BerthError =>
  new BerthError('not-found', `container "${id}" does not exist in containerd's namespace "${namespace}"`, {
    subject: id,
  })

const ambiguous = (id: string, tasks: readonly ContainerdTask[]): BerthError => {
  const namespaces = [...new Set(tasks.map(({ namespace }) => `"${namespace}"`))]
  const where =
    namespaces.length > 1
      ? `containerd's namespaces ${namespaces.join(' and ')}: choose with --namespace`
      : `the namespace ${namespaces[0]} of more than one containerd`
  return new BerthError('invalid', `container "${id}" exists in ${where}`, { subject: id })
}

/** The tasks in directories of namespaces, or those of one id, with the status that the kernel bears out. */
const tasksBelow = async (step: RunStep, namespaces: readonly string[], id?: string): Promise<ContainerdTask[]> => {
  const dirs = await below(step, 'tasks', namespaces)
  if (dirs.length === 0) return []
  const records = await step(
    'records',
    dirs.map((dir) => fileOp(`${dir}/record`, MAX_CONFIG)),
  )
  const tasks = dirs.flatMap((dir, index) => {
    const parent = posix.dirname(dir)
    const namespace = posix.basename(parent)
    return tasksIn(records.text(index))
      .filter(([key]) => id === undefined || key === id)
      .map(([key, shown]) => ({ id: key, namespace, shown, dir: `${parent}/${key}` }))
  })
  if (tasks.length === 0) return []
  const stats = await step(
    'processes',
    tasks.flatMap(({ shown, dir }) => [
      fileOp(`/proc/${shown.process.pid}/stat`, MAX_PROC),
      fileOp(`${dir}/exit.json`, MAX_PROC),
    ]),
  )
  return tasks.map(({ id, namespace, shown, dir }, index) => {
    const { bundle, status, process, cgroups, confined = false } = shown
    const found = parseStat(stats.text(2 * index) ?? '')
    const lives = found !== undefined && !found.gone && String(found.startTime) === process.start
    const reason = lives ? undefined : endReason(stats.text(2 * index + 1))
    return {
      id,
      namespace,
      status: lives ? status : 'stopped',
      init: { pid: process.pid, startTime: BigInt(process.start) },
      bundle,
      dir,
      cgroupPaths: cgroups.all,
      confined,
      ...(reason === undefined ? {} : { reason }),
    }
  })
}

/** A record that is being made, or of another version, has nothing to show. */
const tasksIn = (text: string | undefined): [string, Shown][] => {
  try {
    const { version, tasks } = JSON.parse(text ?? '{}') as { version?: number; tasks?: Record<string, Shown> }
    return version === 1 ? Object.entries(tasks ?? {}) : []
  } catch {
    return []
  }
}

/** The namespaces of containerd in which there is a task of this id. */
export const namespacesWith = async (step: RunStep, runDir: string, id: string): Promise<string[]> =>
  (await dirsWith(step, runDir, id)).map((dir) => posix.basename(dir))

const dirsWith = async (step: RunStep, runDir: string, id: string): Promise<string[]> => {
  const namespaces = await namespaceDirs(step, runDir)
  if (namespaces.length === 0) return []
  const found = await step(
    'elsewhere',
    namespaces.map((dir): Op => ({ op: 'stat', path: `${dir}/${id}`, flags: READ_FLAGS.missingOk })),
  )
  return namespaces.filter((_, index) => found.bytes(index) !== undefined)
}
