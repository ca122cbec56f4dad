/** A further process in a running container. */

import type { Confinement } from '../policy/types.ts'
import type { Process, Spec } from '../spec/types.ts'
import type { HostFacts } from './facts.ts'
import { handOverListener } from './listener.ts'
import { joinNamespaces, lacksPrivilege, Namespaces, NS_FILES, ROOT_SLOT } from './namespaces.ts'
import type { Op, Plan } from './ops.ts'
import { type Arch, planExec, planIdentity, planOomScore, planOwnOomScore } from './process.ts'
import { joinResctrl } from './resctrl.ts'
import { planAffinity } from './scheduling.ts'
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
  readonly initPid: number
  /** Start time of the init, in clock ticks after boot. */
  readonly initStart: bigint
  /** The container's. */
  readonly spec: Spec
  readonly cgroupPaths: readonly string[]
  readonly facts: HostFacts
  readonly stdio: StdioSlots
  readonly preserveFds: number
  /** What to do with the terminal's master, which is in TERMINAL_SLOT by then. */
  readonly afterTerminal: Plan
  readonly arch: Arch
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

/** The plan that runs a process through to its execve. Errors point into a configuration with this process as its `process`. */
export const compileExec = (input: ExecInput): Plan => {
  const { process, spec, id, bundle, key, initPid, facts } = input
  const affinity = process.execCPUAffinity ?? spec.process?.execCPUAffinity
  const namespaces = new Namespaces(spec)
  const targets = namespaces.types.map((type) => ({
    type,
    path: `/proc/${initPid}/ns/${NS_FILES[type]}`,
    pointer: '/linux/namespaces',
  }))
  const between = namespaces.has('user') && lacksPrivilege(facts)
  const join = joinNamespaces(targets, between)
  // Without mounts of its own the container has but a root.
  const hasMounts = namespaces.has('mount')
  const identity = planIdentity({ ...input, namespaces })
  const inside: Op[] = [
    // In the container's cgroups by now, so that whoever ends what outlives the init finds this process too (S19); an init that ended
    // before may have had that done already.
    { op: 'alive', slot: INIT_SLOT, pointer: '/process' },
    { op: 'session', pointer: '/process' },
    ...(between ? [] : planOomScore(process)),
    ...join.enter,
    ...(hasMounts ? [] : [{ op: 'enter-root', slot: ROOT_SLOT, pointer: '/root' } as const]),
    planStdio(process, input.stdio, false),
    ...planAffinity(affinity, 'final'),
    ...identity.ops,
    planExec(process),
  ]
  return [
    ...join.open,
    ...(hasMounts ? [] : [openRoot(initPid)]),
    // A pid may have been given to another process: what was opened is believed because this one is still there after it (trap 24).
    { op: 'pidfd', pid: initPid, start: input.initStart, slot: INIT_SLOT, pointer: '/process' },
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
      join: join.join,
      plan: inside,
      pointer: '/process',
    },
    ...joinResctrl(spec, id, facts),
    ...receiveTerminal(process, key, input.afterTerminal),
    ...(identity.notifies ? handOverListener({ spec, id, bundle, key, status: 'running', initPid }) : []),
    resume(key, 'exec', '/process/args'),
  ]
}
