/** A further process in a running container. */

import { judgesOf } from '../policy/judges.ts'
import type { Confinement } from '../policy/types.ts'
import type { Process, Spec } from '../spec/types.ts'
import type { HostFacts } from './facts.ts'
import { handOverListener } from './listener.ts'
import {
  type JoinTarget,
  joinNamespaces,
  joinProcess,
  lacksPrivilege,
  Namespaces,
  NS_FILES,
  ROOT_SLOT,
} from './namespaces.ts'
import type { Op, Plan } from './ops.ts'
import { type Arch, planExec, planIdentity, planOomScore, planOwnOomScore } from './process.ts'
import { joinResctrl } from './resctrl.ts'
import { planAffinity } from './scheduling.ts'
import { joinSupervisor } from './supervisor.ts'
import { planStdio, receiveTerminal, resume, type StdioSlots } from './terminal.ts'

/** Behind those of namespaces and of the root. */
const INIT_SLOT = ROOT_SLOT + 1

export interface ExecInput {
  readonly id: string
  /** Absolute. */
  readonly bundle: string
  /** Name under which the process is held until its execve. */
  readonly key: string
  readonly process: Process
  /** The container's, with its start time in clock ticks after boot. */
  readonly init: { readonly pid: number; readonly start: bigint }
  /** The container's. */
  readonly spec: Spec
  readonly cgroupPaths: readonly string[]
  readonly facts: HostFacts
  readonly stdio: StdioSlots
  readonly preserveFds: number
  /** What to do with the terminal's master, which is in TERMINAL_SLOT by then. */
  readonly afterTerminal: Plan
  readonly arch: Arch
  /** Of the container, absolute. */
  readonly stateDir: string
  /** That of the container. */
  readonly confinement?: Confinement | undefined
}

const O_PATH_DIRECTORY = 0o10200000

const openRoot = (pid: number): Op => ({
  op: 'open',
  path: `/proc/${pid}/root`,
  oflags: O_PATH_DIRECTORY,
  mode: 0,
  slot: ROOT_SLOT,
  pointer: '/root',
})

const INIT_FD = 'init'

/** How the container's init is found, which shows the way into its namespaces. */
interface Way {
  readonly open: Plan
  readonly join: readonly number[]
  readonly enter: Plan
}

/** By the pidfd of the init alone, in INIT_SLOT. */
const byProcess = (namespaces: Namespaces, find: Op): Way => {
  const { open, join, enter } = joinProcess(namespaces.types, INIT_SLOT, '/linux/namespaces')
  return { open: [find, ...open], join, enter }
}

/** By the files of its namespaces, and its root where that is all it has. */
const byFiles = ({ init: { pid, start } }: ExecInput, namespaces: Namespaces, between: boolean): Way => {
  const targets = namespaces.types.map(
    (type): JoinTarget => ({ type, path: `/proc/${pid}/ns/${NS_FILES[type]}`, pointer: '/linux/namespaces' }),
  )
  const { open, join, enter } = joinNamespaces(targets, between)
  // Without mounts of its own the container has but a root.
  const hasMounts = namespaces.has('mount')
  return {
    open: [
      ...open,
      ...(hasMounts ? [] : [openRoot(pid)]),
      // A pid may have been given to another process: what was opened is believed because this one is still there after it (trap 24).
      findProcess(pid, start),
    ],
    join,
    enter: [...enter, ...(hasMounts ? [] : [{ op: 'enter-root', slot: ROOT_SLOT, pointer: '/root' } as const])],
  }
}

const findProcess = (pid: number, start: bigint): Op => ({
  op: 'pidfd',
  pid,
  start,
  slot: INIT_SLOT,
  pointer: '/process',
})

const livesBetween = (namespaces: Namespaces, facts: HostFacts): boolean =>
  namespaces.has('user') && lacksPrivilege(facts)

const isEnoughOfInit = (namespaces: Namespaces, facts: HostFacts): boolean =>
  namespaces.has('mount') && !namespaces.isJoined('user') && !livesBetween(namespaces, facts)

/** The plan that runs a process through to its execve. Errors point into a configuration with this process as its `process`. */
export const compileExec = (input: ExecInput): Plan => {
  const { spec, facts, id, bundle, key } = input
  const { pid, start } = input.init
  const namespaces = new Namespaces(spec)
  const between = livesBetween(namespaces, facts)
  const way = isEnoughOfInit(namespaces, facts)
    ? byProcess(namespaces, findProcess(pid, start))
    : byFiles(input, namespaces, between)
  const { plan, notifies } = execPlan(input, namespaces, way, between)
  return [
    ...plan,
    ...joinSupervisor(input.confinement, input.stateDir, key),
    ...(notifies ? handOverListener({ spec, id, bundle, key, status: 'running', initPid: pid }) : []),
    resume(key, 'exec', '/process/args'),
  ]
}

/**
 * The same for a launcher that is lent the pidfd of the init, with arguments that it has been given: what can be said before there is either. undefined
 * where it takes more than that.
 */
export const compileLentExec = (input: Omit<ExecInput, 'init' | 'stateDir'>): Plan | undefined => {
  const { spec, facts, key } = input
  const namespaces = new Namespaces(spec)
  if (lacksPrivilege(facts) || !isEnoughOfInit(namespaces, facts)) return undefined
  const way = byProcess(namespaces, { op: 'take', name: INIT_FD, slot: INIT_SLOT, pointer: '/process' })
  const { plan, notifies } = execPlan(input, namespaces, way, false)
  if (notifies || judgesOf(input.confinement).length > 0) return undefined
  const given = plan.map((op) => (op.op === 'clone' ? { ...op, plan: op.plan.map(withGiven) } : op))
  return [...given, resume(key, 'exec', '/process/args')]
}

const withGiven = (op: Op): Op => {
  if (op.op === 'find-exec') return { op: 'find-given', path: op.path, pointer: '/process/args' }
  return op.op === 'exec' ? { op: 'exec-given', env: op.env, pointer: '/process/args' } : op
}

const execPlan = (
  input: Omit<ExecInput, 'init' | 'stateDir'>,
  namespaces: Namespaces,
  way: Way,
  between: boolean,
): { readonly plan: Plan; readonly notifies: boolean } => {
  const { process, spec, id, key, facts } = input
  const affinity = process.execCPUAffinity ?? spec.process?.execCPUAffinity
  const identity = planIdentity({ ...input, namespaces })
  const inside: Op[] = [
    // In the container's cgroups by now, so that whoever ends what outlives the init finds this process too (S19); an init that ended
    // before may have had that done already.
    { op: 'alive', slot: INIT_SLOT, pointer: '/process' },
    { op: 'session', pointer: '/process' },
    ...(between ? [] : planOomScore(process)),
    ...way.enter,
    planStdio(process, input.stdio, false),
    ...planAffinity(affinity, 'final'),
    ...identity.ops,
    planExec(process),
  ]
  const plan: Op[] = [
    ...way.open,
    // Born in the user namespace, the process could not lower nor raise it.
    ...(between ? planOwnOomScore(process) : []),
    // The process has it from its maker, as the CPUs of its cgroup are the only ones that it can have in there.
    ...planAffinity(affinity, 'initial'),
    {
      op: 'clone',
      key,
      flags: 0n,
      cgroups: input.cgroupPaths,
      uidMap: '',
      gidMap: '',
      uidMapper: '',
      gidMapper: '',
      setgroups: '',
      timeOffsets: '',
      join: way.join,
      plan: inside,
      pointer: '/process',
    },
    ...joinResctrl(spec, id, facts),
    ...receiveTerminal(process, key, input.afterTerminal),
  ]
  return { plan, notifies: identity.notifies }
}
