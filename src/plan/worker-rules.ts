/**
 * What a container's worker may do: it reads what a container sends and servers answer, or runs a module, so it is worth breaking into. Beside a root
 * with nothing but its program it has a Landlock domain and a list of system calls: that of a Node which computes, and for one that is not a judge
 * resolves names and connects.
 */

import { enforceable } from '../policy/protections.ts'
import { remembered } from '../remember.ts'
import type { SeccompArg, SeccompSyscall } from '../spec/types.ts'
import { FS, known, SCOPE, TCP } from './landlock.ts'
import type { Op } from './ops.ts'
import type { Arch } from './process.ts'
import { compileSeccomp } from './seccomp.ts'

const CALLS = [
  // memory
  ...['brk', 'mmap', 'munmap', 'mprotect', 'mremap', 'madvise', 'membarrier'],
  ...['pkey_alloc', 'pkey_free', 'pkey_mprotect'],
  // threads, and the process itself
  ...['futex', 'futex_waitv', 'set_robust_list', 'get_robust_list', 'rseq', 'set_tid_address', 'arch_prctl'],
  ...['gettid', 'getpid', 'getppid', 'tgkill', 'exit', 'exit_group', 'restart_syscall', 'prlimit64', 'getrlimit'],
  ...['sched_yield', 'sched_getaffinity', 'sched_getparam', 'sched_getscheduler', 'sched_getattr', 'getcpu'],
  ...['getuid', 'geteuid', 'getgid', 'getegid', 'getresuid', 'getresgid', 'getgroups', 'capget'],
  ...['rt_sigaction', 'rt_sigprocmask', 'rt_sigreturn', 'sigaltstack', 'getrusage', 'sysinfo', 'uname', 'times'],
  ...['clock_gettime', 'clock_getres', 'clock_nanosleep', 'nanosleep', 'gettimeofday', 'time', 'getrandom'],
  // what is open, and its own files: Landlock says which
  ...['read', 'pread64', 'readv', 'preadv', 'write', 'pwrite64', 'writev', 'pwritev', 'lseek', 'ftruncate', 'close'],
  ...['close_range'],
  ...['open', 'openat', 'stat', 'lstat', 'fstat', 'newfstatat', 'statx', 'access', 'faccessat', 'faccessat2'],
  ...['readlink', 'readlinkat', 'getdents64', 'getcwd', 'fcntl', 'dup', 'dup2', 'dup3', 'pipe2'],
  ...['epoll_create1', 'epoll_ctl', 'epoll_wait', 'epoll_pwait', 'epoll_pwait2', 'eventfd2', 'poll', 'ppoll'],
  ...['select', 'pselect6'],
  // the channel that it is given; by sendmsg the listener of this filter goes to who starts it
  ...['shutdown', 'getsockname', 'getpeername', 'getsockopt', 'setsockopt', 'sendmsg'],
] as const

const NETWORK_CALLS = ['connect', 'sendto', 'recvfrom', 'recvmsg', 'sendmmsg', 'recvmmsg'] as const

/** Its port: names are resolved by TCP too, where an answer is long. */
export const DNS = 53

const CLONE_THREAD = 0x10000n
const PR_SET_NAME = 15n
const PR_SET_VMA = 0x53564d41n
const AF_INET = 2n
const AF_INET6 = 10n
const TCGETS = 0x5401n
const TIOCGWINSZ = 0x5413n
const FIONREAD = 0x541bn
const FIONBIO = 0x5421n
const FIONCLEX = 0x5450n
const FIOCLEX = 0x5451n

const allowed = (names: readonly string[], args: readonly SeccompArg[] = []): SeccompSyscall => ({
  names,
  action: 'SCMP_ACT_ALLOW',
  ...(args.length > 0 ? { args } : {}),
})
const oneOf = (name: string, index: number, values: readonly bigint[]): SeccompSyscall[] =>
  values.map((value) => allowed([name], [{ index, value, valueTwo: 0n, op: 'SCMP_CMP_EQ' }]))

const NETWORK = [allowed(NETWORK_CALLS), ...oneOf('socket', 0, [AF_INET, AF_INET6])]

const filterOf = (arch: string, more: readonly SeccompSyscall[]): Uint8Array => {
  const { program } = compileSeccomp(
    {
      // C libraries do without a call that is not there, as they know from older kernels.
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 38,
      listenerPath: 'who starts it',
      syscalls: [
        allowed(CALLS),
        // Threads, no processes; clone3 has its flags where no filter can look.
        allowed(['clone'], [{ index: 0, value: CLONE_THREAD, valueTwo: CLONE_THREAD, op: 'SCMP_CMP_MASKED_EQ' }]),
        ...oneOf('prctl', 0, [PR_SET_NAME, PR_SET_VMA]),
        ...oneOf('ioctl', 1, [TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX]),
        ...more,
        { names: ['execve'], action: 'SCMP_ACT_NOTIFY' },
      ],
    },
    { arch: arch as Arch },
  )
  return program
}

/** By the machine's name: pure functions of it. */
const connecting = remembered(2, (arch: string) => filterOf(arch, NETWORK))
const computing = remembered(2, (arch: string) => filterOf(arch, []))

const READ = FS.readFile | FS.readDir

type Rules = Pick<Extract<Op, { op: 'worker' }>, 'fs' | 'net' | 'scoped' | 'rights' | 'ports' | 'portRights' | 'filter'>

/** What of it this kernel's Landlock does not know is left out. */
const rulesOf = (landlock: number, ports: readonly number[], filter: Uint8Array): Rules => ({
  fs: BigInt(enforceable('files', landlock) ? known(landlock) : 0),
  net: BigInt(enforceable('tcp', landlock) ? TCP.bind | TCP.connect : 0),
  scoped: BigInt(enforceable('signals', landlock) ? SCOPE.abstractSockets | SCOPE.signals : 0),
  rights: BigInt(READ | FS.execute),
  ports,
  portRights: BigInt(TCP.connect),
  filter,
})

/** `ports`: the ones that it connects to by TCP. */
export const workerRules = (landlock: number, arch: Arch, ports: readonly number[]): Rules =>
  rulesOf(landlock, ports, connecting(arch))

/** Of one that computes, and has no socket but its channel. */
export const judgeRules = (landlock: number, arch: Arch): Rules => rulesOf(landlock, [], computing(arch))
