/** config.json + host facts → the plans of a container: how to create, start and remove it. */

import { posix } from 'node:path'
import { isV2 } from '../cgroup/layout.ts'
import type { CgroupDir } from '../cgroup/path.ts'
import { BerthError } from '../errors.ts'
import type { Confinement } from '../policy/types.ts'
import type { Process, Spec } from '../spec/types.ts'
import { type CgroupPlan, planCgroups } from './cgroups.ts'
import { planDeadline } from './deadline.ts'
import { planDevices } from './devices.ts'
import type { HostFacts } from './facts.ts'
import { planGuard } from './guard.ts'
import { planHelpers } from './helpers.ts'
import { planHooks } from './hooks.ts'
import { type HttpPlan, planHttp } from './http.ts'
import { deniedPaths } from './landlock.ts'
import { poststopPlan, startPlan } from './lifecycle.ts'
import { handOverListener } from './listener.ts'
import { type LookupsPlan, planLookups } from './lookups.ts'
import { type MountPlan, planMounts } from './mounts.ts'
import { type NamespacePlan, Namespaces, planNamespaces } from './namespaces.ts'
import { planNetDevices } from './net-devices.ts'
import { networkGaps } from './network-gaps.ts'
import type { Op, Plan } from './ops.ts'
import { planOutput } from './output-limit.ts'
import { type Arch, makeWorkingDirectory, planExec, planIdentity, planOomScore } from './process.ts'
import { type Inspection, planResctrl } from './resctrl.ts'
import { type HostRoot, planRoot, type RootPlan } from './root.ts'
import { checkIdentity, deniesSetgroups, idMappers } from './rootless.ts'
import { planSupervisor, supervisorGuard } from './supervisor.ts'
import { planSysctls } from './sysctl.ts'
import { planStdio, receiveTerminal, resume, type StdioSlots } from './terminal.ts'

export type { Arch } from './process.ts'
export { TERMINAL_SLOT } from './terminal.ts'

export interface CreateInput {
  readonly id: string
  /** Absolute. */
  readonly bundle: string
  readonly spec: Spec
  readonly facts: HostFacts
  /** The container's state directory, absolute. */
  readonly stateDir: string
  /** Name under which the monitor holds the init. */
  readonly key: string
  /** Slots that hold stdin, stdout and stderr (not used with a terminal); NO_SLOT leaves what the maker has. */
  readonly stdio: StdioSlots
  /** The name of the pumps of its outputs, where what they are is not its own. */
  readonly outputPumps?: string | undefined
  readonly preserveFds: number
  readonly noPivot: boolean
  readonly noNewKeyring: boolean
  readonly systemdCgroup: boolean
  /** What to do with the terminal's master, which is in TERMINAL_SLOT by then. */
  readonly afterTerminal: Plan
  readonly arch: Arch
  /** Policies beyond the configuration, under whose limits it is already (`limitSpec`). */
  readonly confinement?: Confinement | undefined
  /** What credentials of HTTP rules are that come from the environment, by their names there. */
  readonly secrets?: Readonly<Record<string, string>> | undefined
  /** The root is not the configuration's, but the host's. */
  readonly hostRoot?: HostRoot | undefined
}

export interface Compiled {
  /** Changes nothing. To be run before `undo` is kept for use: `undo` would remove what it finds to be somebody else's. */
  readonly check: Plan
  /** To be looked at and judged before anything is made. */
  readonly inspect?: Inspection
  /** Ends with the init parked. */
  readonly create: Plan
  /** Its templates have a hole for the pid: `fillHoles` (lifecycle.ts) before it runs apart from `create`. */
  readonly start: Plan
  /** Kills what runs and removes what `create` made; complete however far that came. */
  readonly undo: Plan
  /** To be run after `undo`, once the container counts as stopped. */
  readonly poststop: Plan
  /** The directory that finds all processes comes first. */
  readonly cgroupPaths: readonly string[]
  /** The same, with their hierarchies. */
  readonly cgroups: readonly CgroupDir[]
  readonly rootfs: string
  readonly warnings: readonly string[]
  /** What gets round its policy, to be said in any case. */
  readonly gaps: readonly string[]
}

/**
 * What is parked where the configuration has no `process`, which only `start` needs (config.md, "Process"): it has no right to anything,
 * and ends when it is let go.
 */
const NO_PROCESS: Process = { cwd: '/', user: { uid: 0, gid: 0 }, noNewPrivileges: true }

const checkProcess = (spec: Spec): void => {
  if (spec.process && !spec.process.args?.length)
    throw new BerthError('invalid', 'process.args: is empty, so there is nothing to run', { pointer: '/process/args' })
  if (!spec.root) throw new BerthError('invalid', 'root: is missing', { pointer: '/root' })
}

const requireUts = (namespaces: Namespaces, property: 'hostname' | 'domainname'): void => {
  if (!namespaces.has('uts'))
    throw new BerthError('invalid', `${property}: needs a uts namespace that is not the host's`, {
      pointer: `/${property}`,
    })
}

const planNames = (spec: Spec, namespaces: Namespaces): Op[] => {
  const ops: Op[] = []
  if (spec.hostname) {
    requireUts(namespaces, 'hostname')
    ops.push({ op: 'hostname', name: spec.hostname, pointer: '/hostname' })
  }
  if (spec.domainname) {
    requireUts(namespaces, 'domainname')
    ops.push({ op: 'domainname', name: spec.domainname, pointer: '/domainname' })
  }
  return ops
}

interface InitContext {
  readonly input: CreateInput
  readonly process: Process
  readonly namespaces: Namespaces
  readonly namespacePlan: NamespacePlan
  /** The namespaces and cgroups that the process sees to itself. */
  readonly apart: boolean
  readonly cgroups: CgroupPlan
  readonly root: RootPlan
  readonly mounts: MountPlan
  readonly http: HttpPlan
  readonly lookups: LookupsPlan
}

/** The file system up to the moment in which it becomes the process's own. */
const planFileSystem = (context: InitContext): Op[] => {
  const { input } = context
  const { spec, id, bundle } = input
  return [
    ...context.root.make,
    ...context.mounts.ops,
    ...planDevices(spec, input.facts),
    ...context.http.inside,
    ...context.lookups.inside,
    // In the runtime's namespaces, by whoever made this process, while it waits.
    ...(runtimeHooks(input).length > 0 ? [{ op: 'sync', pointer: '/hooks' } as const] : []),
    ...planHooks(spec, 'createContainer', id, bundle),
    context.root.enter,
  ]
}

/** Denied paths come last: nothing may be mounted over them, and they stay hidden where they are read-only too. */
const planPaths = (
  spec: Spec,
  namespaces: Namespaces,
  lateReadonly: readonly string[],
  denied: readonly string[],
): Op[] => {
  const { linux } = spec
  const ops: Op[] = []
  if (lateReadonly.length > 0) ops.push({ op: 'readonly', paths: lateReadonly, pointer: '/mounts' })
  if (linux?.readonlyPaths?.length)
    ops.push({ op: 'readonly', paths: linux.readonlyPaths, pointer: '/linux/readonlyPaths' })
  if (linux?.maskedPaths?.length) ops.push({ op: 'mask', paths: linux.maskedPaths, pointer: '/linux/maskedPaths' })
  if (denied.length > 0 && !namespaces.has('mount'))
    throw new BerthError('invalid', "policy: files.deny needs a mount namespace that is not the host's", {
      pointer: '/linux/namespaces',
    })
  if (denied.length > 0) ops.push({ op: 'deny', paths: denied, pointer: '/annotations' })
  return ops
}

const runtimeHooks = ({ spec, id, bundle }: CreateInput): Op[] => [
  ...planHooks(spec, 'prestart', id, bundle),
  ...planHooks(spec, 'createRuntime', id, bundle),
]

/** Namespaces and cgroups that are made at the same time: those by the process, these by its maker, which then lets it enter them. */
const planApart = ({ namespacePlan, cgroups, namespaces }: InitContext): Op[] => {
  const pointer = '/linux/namespaces'
  const { apart, placed } = namespacePlan
  return [
    { op: 'unshare', flags: apart, pointer },
    ...planLoopback(namespaces),
    { op: 'sync', pointer },
    ...(cgroups.entered.length > 0
      ? [{ op: 'enter-cgroups', cgroups: cgroups.entered, pointer: '/linux/cgroupsPath' } as const]
      : []),
    ...(placed === 0 ? [] : [{ op: 'unshare', flags: placed, pointer } as const]),
  ]
}

const planLoopback = (namespaces: Namespaces): Op[] =>
  namespaces.isNew('network') ? [{ op: 'loopback', pointer: '/linux/namespaces' }] : []

/** What the init does, from its first instruction to execve. */
const planInit = (context: InitContext): { plan: Plan; notifies: boolean; warnings: readonly string[] } => {
  const { input, process, namespaces } = context
  const { spec, id, bundle } = input
  const identity = planIdentity({
    process,
    spec,
    namespaces,
    facts: input.facts,
    arch: input.arch,
    preserveFds: input.preserveFds,
    confinement: input.confinement,
  })
  const plan: Op[] = [
    { op: 'session', pointer: '/process' },
    ...(context.apart ? planApart(context) : []),
    ...context.namespacePlan.enter,
    ...(context.apart ? [] : planLoopback(namespaces)),
    ...planFileSystem(context),
    planStdio(process, input.stdio, true),
    ...makeWorkingDirectory(process),
    ...planNames(spec, namespaces),
    ...planSysctls(spec, namespaces),
    ...planOomScore(process),
    ...planPaths(
      spec,
      namespaces,
      context.mounts.lateReadonly.map(({ path }) => path),
      deniedPaths(input.confinement),
    ),
    ...context.root.finish,
    ...(input.noNewKeyring ? [] : [{ op: 'keyring', name: `_ses.${id}`, pointer: '/process' } as const]),
    ...identity.ops,
    { op: 'park', pointer: '/process' },
    ...planHooks(spec, 'startContainer', id, bundle),
    // A command does not expect to be the first process of all.
    ...(input.hostRoot ? [{ op: 'reaper', pointer: '/process' } as const] : []),
    ...(process === NO_PROCESS ? [] : [planExec(process)]),
  ]
  return { plan, notifies: identity.notifies, warnings: identity.warnings }
}

/** Compiles a container. Throws BerthError with the JSON pointer of what can't be done. */
export const compileCreate = (input: CreateInput): Compiled => {
  const { spec, id, bundle, key, facts } = input
  checkProcess(spec)
  const { process = NO_PROCESS } = spec
  const rootfs = posix.resolve(bundle, spec.root?.path ?? '')
  const namespaces = new Namespaces(spec)
  const mappers = namespaces.isNew('user') ? idMappers(spec, facts) : { uidMapper: '', gidMapper: '' }
  const cgroups = planCgroups({
    id,
    spec,
    facts,
    systemd: input.systemdCgroup,
    confinement: input.confinement,
  })
  // Where a user namespace is new or joined, its root may place nobody in the host's cgroups; systemd moves what is there; and what is born in none
  // of its own cgroups would not be found there, if these could not be made.
  const apart = namespaces.isNew('network') && !namespaces.has('user') && cgroups.born.length > 0
  const namespacePlan = planNamespaces(spec, namespaces, facts, apart)
  checkIdentity(spec, namespaces, facts)
  const root = planRoot({
    spec,
    namespaces,
    rootfs,
    stateDir: input.stateDir,
    noPivot: input.noPivot,
    hostRoot: input.hostRoot,
  })
  const { propagation } = root
  const mounts = planMounts({ bundle, spec, cgroups: cgroups.dirs, namespaces, facts, propagation })
  const http = planHttp({
    confinement: input.confinement,
    namespaces,
    stateDir: input.stateDir,
    secrets: input.secrets,
    arch: input.arch,
  })
  const lookups = planLookups(input.confinement, namespaces, input.stateDir, input.arch)
  const resctrl = planResctrl(spec, id, facts)
  const init = planInit({ input, process, namespaces, namespacePlan, apart, cgroups, root, mounts, http, lookups })
  const cgroupPaths = cgroups.dirs.map(({ dir }) => dir)
  const helpers = [...http.guard, ...supervisorGuard(input.confinement)]
  const guard = planGuard(input, cgroupPaths, helpers)
  const hooks = runtimeHooks(input)
  // A hook in the container is the first that runs in it, and is not ours.
  const hooked = (spec.hooks?.createContainer ?? []).length > 0
  const early = [...cgroups.limit, ...(hooked ? cgroups.network : [])]
  const late = hooked ? [] : cgroups.network
  const steps: Op[] = [
    ...cgroups.make,
    ...(apart ? [] : early),
    ...resctrl.create,
    ...root.open,
    ...namespacePlan.open,
    ...mounts.open,
    ...http.before,
    ...lookups.before,
    {
      op: 'clone',
      key,
      flags: namespacePlan.flags,
      cgroups: apart ? cgroups.born : [...cgroups.born, ...cgroups.entered],
      uidMap: namespacePlan.uidMap,
      gidMap: namespacePlan.gidMap,
      ...mappers,
      setgroups: namespaces.isNew('user') && deniesSetgroups(spec, namespaces, facts) ? 'deny' : '',
      timeOffsets: namespacePlan.timeOffsets,
      join: namespacePlan.join,
      plan: init.plan,
      pointer: '/linux/namespaces',
    },
    ...(apart
      ? [{ op: 'go', key, pointer: '/process' } as const, ...early, resume(key, 'sync', '/linux/namespaces')]
      : []),
    ...resctrl.join,
    ...planNetDevices(spec, facts),
    ...namespacePlan.close,
    ...mounts.close,
    ...cgroups.join,
    { op: 'go', key, pointer: '/process' },
    ...late,
    ...(hooks.length > 0 ? [resume(key, 'sync', '/hooks'), ...hooks] : []),
    ...receiveTerminal(process, key, input.afterTerminal),
    ...planDeadline(input.confinement, key, cgroupPaths, { id, bundle }),
    ...planSupervisor({
      confinement: input.confinement,
      stateDir: input.stateDir,
      key,
      arch: input.arch,
      namespaces,
      cgroup: cgroups.dirs.find(({ hierarchy }) => isV2(hierarchy))?.dir ?? '',
      devices: (cgroups.dirs.some(({ hierarchy }) => !isV2(hierarchy))
        ? cgroups.dirs.filter(({ hierarchy }) => hierarchy.controllers.includes('devices'))
        : cgroups.dirs
      ).map(({ dir }) => dir),
    }),
    ...(init.notifies ? handOverListener({ spec, id, bundle, key, status: 'creating' }) : []),
    resume(key, 'parked', '/process'),
    ...http.after,
    ...lookups.after,
    ...guard,
    ...planOutput(input.confinement, key, input.outputPumps),
    ...helpers.map((slot): Op => ({ op: 'close', slot })),
  ]
  const beside = planHelpers(input.stateDir, steps)
  return {
    check: cgroups.check,
    ...(resctrl.inspect ? { inspect: resctrl.inspect } : {}),
    create: [...beside.make, ...steps],
    start: startPlan(spec, id, bundle, key),
    undo: [...cgroups.remove, ...beside.undo, ...resctrl.undo, ...root.undo],
    poststop: poststopPlan(spec, id, bundle),
    cgroupPaths,
    cgroups: cgroups.dirs,
    rootfs,
    warnings: [...cgroups.warnings, ...root.warnings, ...mounts.warnings, ...init.warnings],
    gaps: networkGaps(input, namespaces),
  }
}
