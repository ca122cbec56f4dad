/** The container's cgroups: making, limiting, freezing and removing them. */

import { notDelegated } from '../cgroup/delegation.ts'
import { deviceRules } from '../cgroup/devices.ts'
import { type CgroupLayout, type Hierarchy, hierarchyOf, isV2 } from '../cgroup/layout.ts'
import { type CgroupDir, cgroupDirs, cgroupPath, levels, OWN_PARENT } from '../cgroup/path.ts'
import { unitOf } from '../cgroup/systemd/unit.ts'
import { v1Settings } from '../cgroup/v1.ts'
import { v2Settings } from '../cgroup/v2.ts'
import { BerthError } from '../errors.ts'
import type { Confinement } from '../policy/types.ts'
import { SIGKILL } from '../spec/signals.ts'
import type { Spec } from '../spec/types.ts'
import { makeCgroup, missingController, POINTER, settingOp, write } from './cgroup-ops.ts'
import { canFilter, noFilter, planV2 } from './cgroup-v2.ts'
import type { HostFacts } from './facts.ts'
import { planNetwork } from './network.ts'
import { DIR_FLAGS, KILL_FLAGS, OP_FLAGS, type Op, type Plan } from './ops.ts'
import { managerOf, startUnit, stopUnit } from './systemd.ts'

/** How long the last processes of a killed container may take to leave. */
const WAIT_MS = 10_000

export interface CgroupPlan {
  /** Changes nothing: that there is room for the container. To be run before `remove` is kept for use. */
  readonly check: Plan
  /** Before the process is cloned: where it is born. */
  readonly make: Plan
  readonly born: readonly string[]
  /** Before it runs anything: the other directories, and what all of them limit. */
  readonly limit: Plan
  /** Those that it may enter by itself then. */
  readonly entered: readonly string[]
  /** Before it runs anything that is not ours: what of the network it may reach. */
  readonly network: Plan
  /** The same where systemd makes them, after the clone. */
  readonly join: Plan
  readonly remove: Plan
  readonly dirs: readonly CgroupDir[]
  readonly warnings: readonly string[]
}

const NONE: CgroupPlan = {
  check: [],
  make: [],
  born: [],
  limit: [],
  entered: [],
  network: [],
  join: [],
  remove: [],
  dirs: [],
  warnings: [],
}

/** v1, and the v2 hierarchy without controllers of a hybrid host. */
const planV1 = (spec: Spec, facts: HostFacts, dirs: readonly CgroupDir[]) => {
  const layout = facts.cgroup
  const resources = spec.linux?.resources ?? {}
  if (resources.unified && Object.keys(resources.unified).length > 0)
    throw new BerthError('unsupported', 'linux.resources.unified: this host has cgroup v1', {
      pointer: '/linux/resources/unified',
    })
  const make: Op[] = []
  const limit: Op[] = []
  for (const dir of dirs) {
    const list = isV2(dir.hierarchy) ? make : limit
    list.push(makeCgroup(dir.dir))
    if (dir.hierarchy.controllers.includes('cpuset'))
      limit.push(...levels(dir).map((path): Op => ({ op: 'cpuset-inherit', path, pointer: POINTER })))
  }
  const { settings, warnings } = v1Settings(resources, spec.ociVersion)
  // A device rule is a promise to keep a container from a device: without the controller it could not be kept.
  const filtered = canFilter(facts)
  const devices =
    filtered && (resources.devices || hierarchyOf(layout, 'devices')) ? deviceRules(resources.devices) : []
  for (const setting of [...devices, ...settings]) {
    const dir = dirs.find(({ hierarchy }) => hierarchy.controllers.includes(setting.controller))
    if (!dir) throw notDelegated(layout, setting.controller, setting.source) ?? missingController(setting)
    limit.push(settingOp(dir.dir, setting))
  }
  return { make, limit, warnings: filtered ? warnings : [...warnings, ...noFilter(resources.devices)] }
}

/** For a user who has been given no cgroup, and wants none: its container stays in the caller's. */
const withoutCgroups = (spec: Spec, facts: HostFacts): CgroupPlan => {
  const layout = facts.cgroup
  if (!layout.refused?.length)
    throw new BerthError(
      'unsupported',
      'no cgroup hierarchy is mounted on this host; berth needs one below /sys/fs/cgroup',
    )
  const { cgroupsPath, namespaces = [] } = spec.linux ?? {}
  if (cgroupsPath) throw notDelegated(layout, undefined, POINTER)
  if (layout.mode === 'unified') {
    const [setting] = v2Settings(spec.linux?.resources ?? {}, spec.ociVersion).settings
    if (setting) throw notDelegated(layout, undefined, setting.source)
  }
  // Without either nothing would find all processes of a container again.
  if (!namespaces.some(({ type, path }) => type === 'pid' && !path))
    throw new BerthError(
      'unsupported',
      `linux.namespaces: a container in no cgroup of its own needs a pid namespace of its own (${layout.refused[0]?.why})`,
      { pointer: '/linux/namespaces' },
    )
  const { warnings } =
    layout.mode === 'unified' ? { warnings: noFilter(spec.linux?.resources?.devices) } : planV1(spec, facts, [])
  return { ...NONE, warnings }
}

export const planCgroups = (input: {
  readonly id: string
  readonly spec: Spec
  readonly facts: HostFacts
  readonly systemd: boolean
  readonly confinement?: Confinement | undefined
}): CgroupPlan => {
  const { spec, facts, confinement } = input
  const layout = facts.cgroup
  const systemd = input.systemd ? unitOfContainer(input) : undefined
  const dirs = cgroupDirs(layout, systemd?.path ?? cgroupPath(spec.linux?.cgroupsPath, input.id))
  const first = dirs[0]
  const network = planNetwork(confinement, dirs)
  if (!first) return withoutCgroups(spec, facts)
  if (spec.linux?.cgroupsPath && layout.refused?.length) throw notDelegated(layout, undefined, POINTER)
  const { make, limit, warnings } = layout.mode === 'unified' ? planV2(spec, facts, first) : planV1(spec, facts, dirs)
  // Removing the container kills whatever is in its cgroups, and a frozen one would hold its init for ever.
  const check = dirs.map(
    ({ dir, hierarchy }): Op => ({ op: 'vacant', path: dir, freezes: freezes(hierarchy) ? 1 : 0, pointer: POINTER }),
  )
  const paths = dirs.map(({ dir }) => dir)
  if (systemd === undefined) {
    const entered = dirs.filter(({ hierarchy }) => !isV2(hierarchy)).map(({ dir }) => dir)
    const born = paths.filter((path) => !entered.includes(path))
    return { ...NONE, check, make, born, limit, entered, network, remove: remove(dirs), dirs, warnings }
  }
  const tracked = trackedDir(layout, dirs)
  return {
    ...NONE,
    check,
    // systemd moves the process. The first write proves that it did, to where the others expect it; only v1 has others.
    join: [
      startUnit(systemd),
      enter(tracked),
      ...[make, limit, network].flat(),
      ...paths.filter((path) => path !== tracked).map(enter),
    ],
    remove: remove(dirs, stopUnit(systemd, tracked)),
    dirs,
    warnings,
  }
}

const unitOfContainer = ({ id, spec, facts }: { id: string; spec: Spec; facts: HostFacts }) => {
  const manager = managerOf(facts)
  const unit = unitOf(spec.linux?.cgroupsPath, id, manager.user)
  return { id, spec, manager, unit, unified: facts.cgroup.mode === 'unified', path: `${manager.root}${unit.path}` }
}

/** The directory by which systemd knows the processes of the unit: v1 has a hierarchy for that. */
const trackedDir = (layout: CgroupLayout, dirs: readonly CgroupDir[]): string => {
  const tracked = dirs.find(({ hierarchy }) =>
    layout.mode === 'unified' ? hierarchy === layout.v2 : hierarchy.name === 'systemd',
  )
  if (tracked === undefined)
    throw new BerthError('unsupported', '--systemd-cgroup: this host has no cgroup hierarchy of systemd', {
      pointer: POINTER,
    })
  return tracked.dir
}

const enter = (dir: string): Op => ({
  op: 'write',
  path: `${dir}/cgroup.procs`,
  data: [{ hole: 'pid' }],
  flags: 0,
  mode: 0,
  pointer: POINTER,
})

/** A v1 freezer's, and that of v2. */
const freezes = (hierarchy: Hierarchy): boolean => hierarchy.controllers.includes('freezer') || isV2(hierarchy)

/** Of the container's directories the one with the freezer: a v1 freezer's, else that of v2. */
export const freezerDir = (paths: readonly string[], layout: CgroupLayout): string => {
  const hierarchy = hierarchyOf(layout, 'freezer') ?? layout.v2
  const dir = hierarchy && paths.find((path) => path.startsWith(`${hierarchy.mountPoint}/`))
  if (dir === undefined)
    throw new BerthError(
      'unsupported',
      paths.length === 0
        ? 'the container has no cgroup of its own, which freezing takes: none was delegated to its user'
        : 'this host has no cgroup freezer',
    )
  return dir
}

/** What can't be frozen by then (a process in an uninterruptible sleep) is thawed again. */
const FREEZE_MS = 10_000

/** Freezes the container's processes, or lets them run again. */
export const freezePlan = (dir: string, frozen: boolean): Plan => [
  { op: 'freeze', path: dir, frozen: frozen ? 1 : 0, timeoutMs: FREEZE_MS },
]

/**
 * Kills what is in the cgroups and removes these; the first of them finds all processes. `thaw`: once they have been sent the signal, so that
 * they do nothing else; `stop`: between the two.
 */
export const removePlan = (paths: readonly string[], stop: Plan = [], thaw: Plan = []): Plan => [
  ...paths
    .slice(0, 1)
    .flatMap((path): Op[] => [
      { op: 'kill-cgroup', path, signal: SIGKILL, flags: KILL_FLAGS.missingOk, opFlags: OP_FLAGS.keepGoing },
      ...thaw,
      { op: 'wait-cgroup', path, timeoutMs: WAIT_MS, opFlags: OP_FLAGS.tolerate },
    ]),
  ...stop,
  ...paths.map(
    (path): Op => ({
      op: 'rmdir',
      path,
      flags: DIR_FLAGS.missingOk | DIR_FLAGS.busyRetry | DIR_FLAGS.subdirs,
      opFlags: OP_FLAGS.keepGoing,
    }),
  ),
]

/**
 * Kills what is in the cgroups and removes them. Any part of it may be gone already. Above the container's own directories nothing is
 * removed: another container may just be making its own there.
 */
const remove = (dirs: readonly CgroupDir[], stop: Plan = []): Plan => {
  // v1 keeps a frozen process from dying.
  const frozen = dirs.find(({ hierarchy }) => hierarchy.controllers.includes('freezer'))
  return [
    ...removePlan(
      dirs.map(({ dir }) => dir),
      stop,
      frozen ? [write(`${frozen.dir}/freezer.state`, 'THAWED', POINTER, OP_FLAGS.tolerate)] : [],
    ),
    // Parents that were not ours to choose may have limits of their owner's; /berth goes with its last container.
    ...dirs.flatMap((dir) =>
      levels(dir)
        .slice(0, -1)
        .filter((path) => path === `${dir.hierarchy.mountPoint}${OWN_PARENT}`)
        .map((path): Op => ({ op: 'rmdir', path, flags: DIR_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate })),
    ),
  ]
}
