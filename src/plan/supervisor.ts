/**
 * What is judged call by call (src/policy/judges.ts) → a filter that asks a listener (seccomp_unotify(2)), a supervisor that listens and does what is allowed in the container's
 * stead, and the worker that judges. An exec's filter has a listener of its own, which goes to the same supervisor.
 */

import { posix } from 'node:path'
import { BerthError } from '../errors.ts'
import { JUDGE_COUNTERS_FILE } from '../policy/judge-counters.ts'
import { answerMs, type Judge, judgedCalls, judgesOf, restarts } from '../policy/judges.ts'
import type { Confinement, ModuleCall, ModuleRules } from '../policy/types.ts'
import type { WorkerConfig } from '../policy/worker/judge/config.ts'
import type { Process, Seccomp, SeccompSyscall, Spec } from '../spec/types.ts'
import { type HostFacts, kernelAtLeast } from './facts.ts'
import { helperRecord } from './helpers.ts'
import { planLandlock } from './landlock.ts'
import type { Namespaces } from './namespaces.ts'
import { type Op, type Plan, REPORTS } from './ops.ts'
import { ABIS, type Machine, NATIVE } from './seccomp/abis.ts'
import { compileSeccomp } from './seccomp.ts'
import { judgeRules } from './worker-rules.ts'

const POINTER = '/annotations'
/** Slots: rulesets, of which there is one for each policy and one more; then what the supervisor gets. */
const DOMAINS = 440
const COUNTERS = 460
const LISTENER = 461
const SOCKET = 462
/** Both ends of what it and its guard see each other's end by. */
const GUARDED = 458
const GUARD = 459
/** The modules' texts. */
const SOURCES = 463

const O_RDONLY = 0
const O_RDWR_CREATE = 0o102
const ENTRY = 'judge.js'
const BOOT_MS = 20_000
/** Of a build: the controller's files and the worker's are in one directory. */
const DIST = import.meta.dirname

/** O_PATH lets nothing be read, and what is made of such a descriptor later is judged then. */
const O_PATH = 0o10000000n
const unlessPath = (index: number): SeccompSyscall['args'] => [
  { index, op: 'SCMP_CMP_MASKED_EQ', value: O_PATH, valueTwo: 0n },
]
const asked = (names: readonly string[], args?: SeccompSyscall['args']): SeccompSyscall => ({
  names,
  action: 'SCMP_ACT_NOTIFY',
  ...(args ? { args } : {}),
})
const refused = (names: readonly string[], errno: number, args?: SeccompSyscall['args']): SeccompSyscall => ({
  names,
  action: 'SCMP_ACT_ERRNO',
  errnoRet: errno,
  ...(args ? { args } : {}),
})

const EPERM = 1
const EOPNOTSUPP = 95

const IPPROTO = { sctp: 132n, udplite: 136n, mptcp: 262n } as const
/** An int is what its lower half says, whatever the register has above. */
const equal = (index: number, value: bigint) =>
  ({ index, op: 'SCMP_CMP_MASKED_EQ', value: 0xffffffffn, valueTwo: value }) as const
const ofType = (type: bigint) => ({ index: 1, op: 'SCMP_CMP_MASKED_EQ', value: 0xfn, valueTwo: type }) as const
const SOCK = { raw: 3n, seqpacket: 5n } as const

/** Sockets whose packets say themselves where they go, or that connect to more than one address. */
const DETOURS: readonly SeccompSyscall[] = [
  ...[2n, 10n].flatMap((family) =>
    // SOCK_SEQPACKET is SCTP without saying so.
    [SOCK.raw, SOCK.seqpacket].map((type) => refused(['socket'], EPERM, [equal(0, family), ofType(type)])),
  ),
  ...[IPPROTO.sctp, IPPROTO.mptcp, IPPROTO.udplite].map((protocol) => refused(['socket'], EPERM, [equal(2, protocol)])),
]

/** A domain that the container makes itself would not hold for what is done in its stead. */
const OWN_DOMAIN = refused(['landlock_create_ruleset'], EOPNOTSUPP)

/** What is asked for, and what would do the same where it is not asked for. */
const RULES: Readonly<Record<ModuleCall, readonly SeccompSyscall[]>> = {
  execve: [asked(['execve', 'execveat']), refused(['uselib'], EPERM)],
  // A message without an address goes where its socket is connected; only in sendto(2) can a filter see that it has none.
  connect: [
    asked(['connect', 'sendmsg', 'sendmmsg']),
    asked(['sendto'], [{ index: 4, op: 'SCMP_CMP_NE', value: 0n, valueTwo: 0n }]),
    ...DETOURS,
    OWN_DOMAIN,
  ],
  bind: [asked(['bind']), ...DETOURS, OWN_DOMAIN],
  open: [
    asked(['open'], unlessPath(1)),
    asked(['openat'], unlessPath(2)),
    asked(['openat2', 'creat']),
    // These open files without a name, by what it was once, or by what others open.
    refused(['open_by_handle_at', 'uselib', 'fanotify_init'], EPERM),
    OWN_DOMAIN,
  ],
}

/** What does what is asked for where no filter sees it, or would have a file be known by another name than the one that is judged. */
const UNSEEN = refused(
  [
    ...['io_uring_setup', 'setns', 'mount', 'umount', 'umount2', 'pivot_root', 'mount_setattr'],
    ...['open_tree', 'open_tree_attr', 'move_mount', 'fsopen', 'fsconfig', 'fsmount', 'fspick'],
  ],
  EPERM,
)

const SOCKET_CALLS = ['connect', 'bind', 'sendto', 'sendmsg', 'sendmmsg'] as const

const ARCHITECTURES = {
  x86_64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  aarch64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
} as const satisfies Record<Machine, Seccomp['architectures']>

const profileOf = (calls: readonly ModuleCall[], machine: Machine): Seccomp => ({
  defaultAction: 'SCMP_ACT_ALLOW',
  architectures: ARCHITECTURES[machine],
  // Without it a signal that comes while a call is judged would make it fail with EINTR, or be judged twice.
  flags: ['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'],
  listenerPath: 'the supervisor',
  syscalls: [...calls.flatMap((call) => RULES[call]), UNSEEN],
})

/** Which number means which call: `ARCH:NUMBER:NAME`. */
const callTable = (calls: readonly ModuleCall[], machine: Machine): readonly string[] => {
  const names = new Set(
    calls.flatMap((call) => RULES[call]).flatMap(({ names, action }) => (action === 'SCMP_ACT_NOTIFY' ? names : [])),
  )
  if (SOCKET_CALLS.some((name) => names.has(name))) names.add('socketcall')
  return [...new Set([NATIVE[machine], ...ARCHITECTURES[machine]])].flatMap((name) => {
    const abi = ABIS[name]
    return [...names].flatMap((call) => {
      const number = abi?.table().get(call)
      return abi === undefined || number === undefined ? [] : [`${abi.audit}:${abi.base + number}:${call}`]
    })
  })
}

const refuse = (what: string, pointer: string): BerthError =>
  new BerthError('unsupported', `policy: what judges system calls ${what}`, { pointer })

const checkPossible = (process: Process, spec: Spec, facts: HostFacts, calls: readonly ModuleCall[]): void => {
  if (!kernelAtLeast(facts, 5, 19)) throw refuse(`needs Linux 5.19, this is ${facts.kernel}`, POINTER)
  if (spec.linux?.seccomp?.listenerPath)
    throw refuse(
      'needs to be the only listener there is, and linux.seccomp.listenerPath names another',
      '/linux/seccomp/listenerPath',
    )
  for (const name of ['apparmorProfile', 'selinuxLabel'] as const)
    if (process[name] && calls.some((call) => call !== 'execve'))
      throw refuse(
        `does what it allows in the container's stead, and not under process.${name}: leave that out, or judge execve only`,
        `/process/${name}`,
      )
}

export interface FilterInput {
  readonly confinement?: Confinement | undefined
  readonly process: Process
  readonly spec: Spec
  readonly facts: HostFacts
  readonly arch: Machine
}

/** In the process: the filter, whose listener has to be handed over before it goes on. */
export const planJudged = ({ confinement, process, spec, facts, arch }: FilterInput): readonly Op[] => {
  const calls = judgedCalls(judgesOf(confinement))
  if (calls.length === 0) return []
  checkPossible(process, spec, facts, calls)
  const { program, flags } = compileSeccomp(profileOf(calls, arch), { arch })
  return [{ op: 'seccomp', program, flags, pointer: POINTER }]
}

const socketOf = (stateDir: string): string => posix.join(stateDir, 'supervisor.sock')

export interface SupervisorInput {
  readonly confinement: Confinement | undefined
  readonly stateDir: string
  readonly key: string
  readonly arch: Machine
  readonly namespaces: Namespaces
  /** The v2 directory of the container, '' where it has none. */
  readonly cgroup: string
  /** Where the kernel is told which devices the container may open. */
  readonly devices: readonly string[]
}

const toListener = (key: string): Op => ({
  op: 'resume',
  key,
  until: REPORTS.listener,
  slot: LISTENER,
  pointer: POINTER,
})

const configOf = (judges: readonly Judge[], modules: readonly ModuleRules[]): WorkerConfig => ({
  channel: 0,
  judges: judges.flatMap(({ calls, module, network }): WorkerConfig['judges'] => [
    ...(network ? [{ calls, network }] : []),
    ...(module ? [{ calls, path: module.path, source: 1 + modules.indexOf(module) }] : []),
  ]),
})

/** Outside, once the init has its filter: who answers. */
export const planSupervisor = (input: SupervisorInput): Plan => {
  const { confinement, stateDir, key, arch } = input
  const judges = judgesOf(confinement)
  const modules = judges.flatMap(({ module }) => module ?? [])
  if (judges.length === 0) return []
  // It must not outlive its supervisor: the end of a pid namespace's first process is that of all, and so is that of a cgroup.
  if (input.cgroup === '' && !input.namespaces.isNew('pid'))
    throw refuse(
      'takes a pid namespace of the container’s own where there is no cgroup of version 2',
      '/linux/namespaces',
    )
  const calls = judgedCalls(judges)
  const domains = planLandlock(confinement, DOMAINS, true).make
  const slots = domains.flatMap((op) => (op.op === 'landlock' ? [op.slot] : []))
  const sources = modules.map((_, index) => SOURCES + index)
  return [
    ...modules.map(
      (module, index): Op => ({
        op: 'open',
        path: module.path,
        oflags: O_RDONLY,
        mode: 0,
        slot: SOURCES + index,
        pointer: POINTER,
      }),
    ),
    {
      op: 'open',
      path: posix.join(stateDir, JUDGE_COUNTERS_FILE),
      oflags: O_RDWR_CREATE,
      mode: 0o600,
      slot: COUNTERS,
      pointer: POINTER,
    },
    toListener(key),
    { op: 'socket-pair', one: GUARDED, other: GUARD },
    {
      op: 'supervise',
      listener: LISTENER,
      socket: socketOf(stateDir),
      calls: callTable(calls, arch),
      domain: domains,
      domains: slots,
      devices: input.devices,
      counters: COUNTERS,
      modules: judges.length,
      guard: GUARDED,
      record: helperRecord(stateDir, 'supervisor'),
      answerMs: answerMs(judges),
      restarts: restarts(judges) ? 1 : 0,
      dist: DIST,
      entry: ENTRY,
      config: new TextEncoder().encode(JSON.stringify(configOf(judges, modules))),
      fds: sources,
      scratch: stateDir,
      log: posix.join(stateDir, 'module.log'),
      timeoutMs: BOOT_MS,
      ...judgeRules(confinement?.landlock ?? 0, arch),
      pointer: POINTER,
    },
    ...[...sources, ...slots, COUNTERS, LISTENER, GUARDED].map((slot): Op => ({ op: 'close', slot })),
  ]
}

/** Slots for the guard of the container. */
export const supervisorGuard = (confinement: Confinement | undefined): readonly number[] =>
  judgesOf(confinement).length === 0 ? [] : [GUARD]

/** Outside, of an exec that has its filter. */
export const joinSupervisor = (confinement: Confinement | undefined, stateDir: string, key: string): Plan =>
  judgesOf(confinement).length === 0
    ? []
    : [
        toListener(key),
        { op: 'connect', path: socketOf(stateDir), slot: SOCKET, pointer: POINTER },
        { op: 'send-fd', to: SOCKET, fd: LISTENER, data: ['exec'], pointer: POINTER },
        { op: 'close', slot: SOCKET },
        { op: 'close', slot: LISTENER },
      ]
