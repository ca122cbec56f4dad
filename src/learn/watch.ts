/** How a container is watched: an agent is asked for the system calls that name files and addresses, and lets all of them pass. */

import type { ContainerPaths } from '../container/layout.ts'
import { BerthError } from '../errors.ts'
import { type HostFacts, kernelAtLeast } from '../plan/facts.ts'
import type { Op, Plan } from '../plan/ops.ts'
import { ABIS, type Machine, NATIVE } from '../plan/seccomp/abis.ts'
import type { Seccomp, SeccompArch, SeccompSyscall, Spec } from '../spec/types.ts'

/** What native/observer knows. */
const CALLS = [
  ...['open', 'openat', 'openat2', 'creat', 'truncate', 'truncate64', 'execve', 'execveat'],
  ...['mkdir', 'mkdirat', 'mknod', 'mknodat', 'symlink', 'symlinkat', 'unlink', 'unlinkat', 'rmdir'],
  ...['link', 'linkat', 'rename', 'renameat', 'renameat2'],
  ...['connect', 'bind', 'send', 'sendto', 'sendmsg', 'sendmmsg'],
]
/** Made of the others by the compiler of filters, for machines of 32 bits. */
const MULTIPLEXED = 'socketcall'
/** Does what the others do, where no filter sees it: programs do without it where it is not there. */
const UNSEEN = 'io_uring_setup'
const ENOSYS = 38

const WATCHED = new Set(CALLS)
const ARCHITECTURES: Readonly<Record<Machine, readonly SeccompArch[]>> = {
  x86_64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  aarch64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
}
const LETS_PASS = new Set<Seccomp['defaultAction']>(['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG'])
/** Without it a signal that comes before the agent looks would make a call fail with EINTR that never does. */
const KILLABLE = 'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'

/** The profile, with the agent asked where it would let such a call pass. */
export const watchingProfile = (
  profile: Seccomp | undefined,
  socket: string,
  machine: Machine,
  killable: boolean,
): Seccomp => {
  if (profile?.listenerPath || profile?.syscalls?.some(({ action }) => action === 'SCMP_ACT_NOTIFY'))
    throw new BerthError(
      'unsupported',
      'linux.seccomp.listenerPath: there can be one listener only, and learning takes it',
      { pointer: '/linux/seccomp/listenerPath' },
    )
  const { defaultAction = 'SCMP_ACT_ALLOW', syscalls = [], flags = [], architectures, ...rest } = profile ?? {}
  const named = new Set(syscalls.flatMap(({ names }) => names))
  const asked: SeccompSyscall = { names: CALLS.filter((name) => !named.has(name)), action: 'SCMP_ACT_NOTIFY' }
  return {
    ...rest,
    defaultAction,
    architectures: architectures ?? ARCHITECTURES[machine],
    flags: [...new Set([...flags, ...(killable ? ([KILLABLE] as const) : [])])],
    listenerPath: socket,
    syscalls: [
      ...syscalls.flatMap((rule) => splitRule(rule)),
      ...(LETS_PASS.has(defaultAction)
        ? [asked, { names: [UNSEEN], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS } as const]
        : []),
    ],
  }
}

const splitRule = (rule: SeccompSyscall): readonly SeccompSyscall[] => {
  if (!LETS_PASS.has(rule.action)) return [rule]
  const asked = rule.names.filter((name) => WATCHED.has(name))
  const others = rule.names.filter((name) => !WATCHED.has(name) && name !== UNSEEN)
  return [
    ...(others.length > 0 ? [{ ...rule, names: others }] : []),
    ...(asked.length > 0 ? [{ ...rule, names: asked, action: 'SCMP_ACT_NOTIFY' } as const] : []),
  ]
}

/** Which number means which call, for the agent: `ARCH:NUMBER:NAME`. */
export const callTable = ({ architectures = [] }: Seccomp, machine: Machine): readonly string[] =>
  [...new Set([NATIVE[machine], ...architectures])].flatMap((name) => {
    const abi = ABIS[name]
    if (abi === undefined) return []
    const table = abi.table()
    return [...CALLS, MULTIPLEXED].flatMap((call) => {
      const number = table.get(call)
      return number === undefined ? [] : [`${abi.audit}:${abi.base + number}:${call}`]
    })
  })

const OUTPUT_SLOT = 57
const O_WRONLY_CREAT_EXCL = 0o301
const READY_MS = 10_000
/** It ends by itself once nobody is left to ask it. */
const LAST_MS = 5_000

export const observedFile = ({ dir }: ContainerPaths): string => `${dir}/observed`
const recordFile = ({ dir }: ContainerPaths): string => `${dir}/observer`

export const endObserver = (paths: ContainerPaths): Op => ({
  op: 'end-spawned',
  path: recordFile(paths),
  eofMs: LAST_MS,
  termMs: 0,
})

/** The configuration to go by, and the agent, who ends a container that takes longer than `timeoutMs` (0: none does). */
export const watched = (
  spec: Spec,
  paths: ContainerPaths,
  facts: HostFacts,
  machine: Machine,
  timeoutMs: number,
): { readonly spec: Spec; readonly make: Plan; readonly remove: Plan } => {
  const socket = `${paths.dir}/observer.sock`
  const seccomp = watchingProfile(spec.linux?.seccomp, socket, machine, kernelAtLeast(facts, 5, 19))
  return {
    spec: { ...spec, linux: { ...spec.linux, seccomp } },
    make: [
      { op: 'open', path: observedFile(paths), oflags: O_WRONLY_CREAT_EXCL, mode: 0o600, slot: OUTPUT_SLOT },
      {
        op: 'spawn',
        path: '/proc/self/exe',
        args: ['berth-observer', socket, String(timeoutMs), ...callTable(seccomp, machine)],
        env: [],
        fds: [OUTPUT_SLOT],
        record: recordFile(paths),
        byte: 1,
        timeoutMs: READY_MS,
      },
      { op: 'close', slot: OUTPUT_SLOT },
    ],
    remove: [endObserver(paths)],
  }
}
