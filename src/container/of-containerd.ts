/** Containers that containerd's shims hold (docs/internals.md, "Files"): containerd's to handle, and here only to be seen. */

import { posix } from 'node:path'
import type { RunStep } from '../controller/types.ts'
import { OP_FLAGS, type Op, READ_FLAGS } from '../plan/ops.ts'
import { endReason } from './describe.ts'
import { readOp } from './inspect.ts'
import { MAX_CONFIG } from './layout.ts'
import { parseStat, type Status } from './status.ts'

export interface ContainerdTask {
  readonly id: string
  readonly namespace: string
  readonly pid: number
  readonly status: Status
  readonly bundle: string
  /** What ended it, once its monitor has said so. */
  readonly reason?: string
}

/** What of a shim's record is of interest to others. */
interface Shown {
  readonly bundle: string
  readonly status: Status
  readonly process: { readonly pid: number; readonly start: string }
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

/** Every task that a shim of this run directory has written down, with the status that the kernel bears out. */
export const tasksOfContainerd = async (step: RunStep, runDir: string): Promise<ContainerdTask[]> => {
  const namespaces = await namespaceDirs(step, runDir)
  const dirs = await below(step, 'tasks', namespaces)
  if (dirs.length === 0) return []
  const records = await step(
    'records',
    dirs.map((dir) => fileOp(`${dir}/record`, MAX_CONFIG)),
  )
  const tasks = dirs.flatMap((dir, index) => {
    const parent = posix.dirname(dir)
    const namespace = posix.basename(parent)
    return tasksIn(records.text(index)).map(([id, shown]) => ({
      id,
      namespace,
      shown,
      exit: `${parent}/${id}/exit.json`,
    }))
  })
  if (tasks.length === 0) return []
  const stats = await step(
    'processes',
    tasks.flatMap(({ shown, exit }) => [fileOp(`/proc/${shown.process.pid}/stat`, MAX_PROC), fileOp(exit, MAX_PROC)]),
  )
  return tasks.map(({ id, namespace, shown: { bundle, status, process } }, index) => {
    const found = parseStat(stats.text(2 * index) ?? '')
    const lives = found !== undefined && !found.gone && String(found.startTime) === process.start
    const reason = lives ? undefined : endReason(stats.text(2 * index + 1))
    return {
      id,
      namespace,
      pid: lives ? process.pid : 0,
      status: lives ? status : 'stopped',
      bundle,
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
export const namespacesWith = async (step: RunStep, runDir: string, id: string): Promise<string[]> => {
  const namespaces = await namespaceDirs(step, runDir)
  if (namespaces.length === 0) return []
  const found = await step(
    'elsewhere',
    namespaces.map((dir): Op => ({ op: 'stat', path: `${dir}/${id}`, flags: READ_FLAGS.missingOk })),
  )
  return namespaces.filter((_, index) => found.bytes(index) !== undefined).map((dir) => posix.basename(dir))
}
