/** Reads what is known of containers: two steps, however many there are. */

import type { Results, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { idField } from '../plan/facts.ts'
import { OP_FLAGS, type Op, type Plan, READ_FLAGS } from '../plan/ops.ts'
import { endReason } from './describe.ts'
import { type ContainerPaths, containerPaths, INIT_KEY, MAX_CONFIG } from './layout.ts'
import { namespacesWith } from './of-containerd.ts'
import { type ContainerState, decodeState } from './state.ts'
import { deriveStatus, type Status } from './status.ts'

/** Annotations can be nearly all of a configuration. */
const MAX_STATE = MAX_CONFIG + (1 << 20)
const MAX_EXIT = 4096
const MAX_PROC = 1 << 16

export interface Container {
  readonly id: string
  readonly paths: ContainerPaths
  /** undefined while it is being created, or where that was cut off. */
  readonly state: ContainerState | undefined
  readonly status: Status
  /** What ended it, as far as its monitor has said so. */
  readonly reason?: string | undefined
}

export const readOp = (path: string, max: number, opFlags = 0): Op => ({
  op: 'read',
  path,
  max,
  flags: READ_FLAGS.missingOk,
  opFlags,
})

/** Result: a line that names this boot of the host. */
export const BOOT_ID: Op = readOp('/proc/sys/kernel/random/boot_id', MAX_PROC)

interface InspectOptions {
  /** Prefix of the steps' names. */
  readonly name?: string
  readonly tolerant?: boolean
  /** Containers of other users are left out; otherwise they are an error. */
  readonly skipForeign?: boolean
  /** To be read with what is written, so that it takes no step of its own; its results go to `alsoRead`, from that index on. */
  readonly also?: Plan
  readonly alsoRead?: (results: Results, at: number) => void
}

/** The containers of these ids, in their order; ids without a directory are left out. `name` is the prefix of the steps' names. */
export const inspectAll = async (
  step: RunStep,
  root: string,
  ids: readonly string[],
  { name = 'inspect', tolerant = false, skipForeign = false, also = [], alsoRead }: InspectOptions = {},
): Promise<Container[]> => {
  if (ids.length === 0) return []
  const written = await step(`${name} state`, [
    ...ids.flatMap((id) => writtenPlan(containerPaths(root, id))),
    readOp('/proc/self/status', MAX_PROC),
    ...also,
  ])
  alsoRead?.(written, ids.length * WRITTEN + 1)
  const self = idField(written.text(ids.length * WRITTEN) ?? '', 'Uid')
  const found = ids.flatMap((id, index) => {
    const paths = containerPaths(root, id)
    const [stat, state, exit] = [0, 1, 2].map((offset) => written.bytes(index * WRITTEN + offset))
    if (stat === undefined) return []
    // What another user wrote, undo plans among it, is nothing to act on (trap 10).
    const owner = written.u32(index * WRITTEN, 4)
    if (owner !== self && skipForeign) return []
    if (owner !== self) throw foreign(id, paths.dir, owner, self)
    return [
      {
        id,
        paths,
        state: state === undefined ? undefined : decode(state, paths, tolerant),
        exited: exit !== undefined,
        reason: endReason(written.text(index * WRITTEN + 2)),
      },
    ]
  })
  const live = found.filter((entry) => entry.state !== undefined && !entry.exited)
  const plans = live.map(({ state, paths }) => (state === undefined ? [] : livePlan(state, paths)))
  const facts = live.length === 0 ? undefined : await step(`${name} processes`, [...plans.flat(), BOOT_ID])
  const bootId = facts?.text(plans.flat().length)?.trim() ?? ''
  return found.map(({ id, paths, state, exited, reason }) => {
    const nth = live.findIndex((entry) => entry.id === id)
    const offset = plans.slice(0, Math.max(nth, 0)).reduce((sum, plan) => sum + plan.length, 0)
    const alive = nth < 0 || facts === undefined || state === undefined ? NOTHING : liveFacts(facts, offset, state)
    const sameBoot = state?.bootId === bootId
    return { id, paths, state, status: deriveStatus({ init: state?.init, sameBoot, exited, ...alive }), reason }
  })
}

/** One container, or undefined where there is none of that id. */
export const inspect = async (
  step: RunStep,
  root: string,
  id: string,
  options: InspectOptions = {},
): Promise<Container | undefined> => {
  const [container] = await inspectAll(step, root, [id], options)
  return container
}

/** One container that there must be, with its state. */
export const need = async (
  step: RunStep,
  root: string,
  id: string,
  options?: InspectOptions,
): Promise<Container & { readonly state: ContainerState }> => {
  const container = await inspect(step, root, id, options)
  if (container === undefined) throw notFound(id, await namespacesWith(step, root, id))
  return stated(container)
}

/** One that is there, with its state. */
export const stated = (container: Container): Container & { readonly state: ContainerState } => {
  const { id, state } = container
  if (state === undefined)
    throw new BerthError('state', `container "${id}" is still being created (if that was cut off: delete --force)`)
  return { ...container, state }
}

const foreign = (id: string, dir: string, owner: number, self: number): BerthError =>
  new BerthError('state', `container "${id}": "${dir}" belongs to uid ${owner}, and is not trusted by uid ${self}`, {
    subject: dir,
  })

/** `namespaces`: of containerd, where there is one of this id. */
export const notFound = (id: string, [namespace]: readonly string[] = []): BerthError => {
  const instead =
    namespace === undefined
      ? ''
      : `: it is containerd's, use ctr --namespace ${namespace} task (berth list --all, inspect and events show it)`
  return new BerthError('not-found', `container "${id}" does not exist${instead}`, { subject: id })
}

/** A state file that can't be read stands in the way of its own container only, not of the list of all. */
const decode = (bytes: Uint8Array, paths: ContainerPaths, tolerant: boolean): ContainerState | undefined => {
  try {
    return decodeState(bytes, paths.state)
  } catch (error) {
    if (tolerant && error instanceof BerthError) return undefined
    throw error
  }
}

const writtenPlan = (paths: ContainerPaths): Plan => [
  { op: 'stat', path: paths.dir, flags: READ_FLAGS.missingOk },
  readOp(paths.state, MAX_STATE),
  readOp(paths.exit, MAX_EXIT),
]
const WRITTEN = 3

const NOTHING = { stat: undefined, held: undefined, freezer: [] }

/** A process that ends while it is read gives ESRCH, which is as good as missing. */
const livePlan = ({ init, cgroupPaths }: ContainerState, paths: ContainerPaths): Plan => [
  readOp(`/proc/${init.pid}/stat`, MAX_PROC, OP_FLAGS.tolerate),
  { op: 'remote', socket: paths.socket, plan: [{ op: 'held', key: INIT_KEY }], opFlags: OP_FLAGS.tolerate },
  ...cgroupPaths.flatMap((dir) =>
    ['freezer.state', 'cgroup.events'].map((file) => readOp(`${dir}/${file}`, MAX_PROC, OP_FLAGS.tolerate)),
  ),
]

const liveFacts = (results: Results, offset: number, { cgroupPaths }: ContainerState) => ({
  stat: results.text(offset),
  held: results.bytes(offset + 1) === undefined ? undefined : results.nested(offset + 1).u32(0),
  freezer: Array.from({ length: cgroupPaths.length * 2 }, (_, i) => results.text(offset + 2 + i) ?? ''),
})
