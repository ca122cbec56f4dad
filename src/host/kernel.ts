/**
 * What of the kernel is younger than its floor or is often refused by whatever berth runs in (seccomp profiles of containers, hardened
 * hosts), what it is used for, and how it goes without. docs/kernels.md shows this table, and an error that comes from it says so.
 */

/** Oldest kernel that berth is made for. */
export const FLOOR = '5.15'

export interface KernelFeature {
  /** Of Linux itself. */
  readonly since: string
  readonly use: string
  /** What happens without it. */
  readonly without: string
}

const refused = 'refused by name'
const POLICIES = 'policies: files; TCP ports since 6.7, scopes since 6.12'
const BEST_EFFORT = `${refused}, or left out where the policy says bestEffort`
const MOUNT_API = 'file systems and binds, each by descriptor'

/** By the name of the system call, as errors have it. */
export const CALLS: Readonly<Record<string, KernelFeature>> = {
  clone3: { since: '5.3', use: 'processes in new namespaces', without: 'clone(2), which does the same' },
  openat2: { since: '5.6', use: 'paths: none leads out of a root, through a magic link …', without: refused },
  open_tree: {
    since: '5.2',
    use: 'binds; the read-only clone of its own binary',
    without: `${refused}; of the binary a sealed copy in memory`,
  },
  move_mount: { since: '5.2', use: MOUNT_API, without: refused },
  fsopen: { since: '5.2', use: MOUNT_API, without: refused },
  fsconfig: { since: '5.2', use: MOUNT_API, without: refused },
  fspick: { since: '5.2', use: 'the mount option remount', without: refused },
  fsmount: { since: '5.2', use: MOUNT_API, without: refused },
  mount_setattr: {
    since: '5.12',
    use: 'options and propagation of mounts, whole trees too; the read-only clone of its own binary',
    without: `${refused}; of the binary a sealed copy in memory`,
  },
  close_range: { since: '5.11', use: 'descriptors that a process must not have', without: refused },
  bpf: {
    since: '4.15',
    use: 'device rules (v2), network rules of policies',
    without: `${refused}; network rules by a supervisor`,
  },
  execveat: { since: '3.19', use: 'its own binary from the clone', without: refused },
  landlock_create_ruleset: { since: '5.13', use: POLICIES, without: BEST_EFFORT },
  landlock_add_rule: { since: '5.13', use: POLICIES, without: BEST_EFFORT },
  landlock_restrict_self: { since: '5.13', use: POLICIES, without: BEST_EFFORT },
  memfd_create: {
    since: '3.17',
    use: 'input of hooks; its own binary where it can not be cloned',
    without: `${refused} where it is needed`,
  },
  pidfd_open: { since: '5.3', use: 'a process that is known by its pid: kill, exec', without: refused },
  pidfd_getfd: {
    since: '5.6',
    use: 'listeners of profiles with SCMP_ACT_NOTIFY, and of policies that a supervisor enforces',
    without: refused,
  },
  pidfd_send_signal: { since: '5.1', use: 'signals', without: refused },
}

/** What is no system call of its own. */
export const PARTS: Readonly<Record<string, KernelFeature>> = {
  'CLONE_INTO_CGROUP of clone3': { since: '5.7', use: 'processes born in their cgroup (v2)', without: 'moved there' },
  'cgroup.kill': {
    since: '5.14',
    use: 'the end of a cgroup (v2)',
    without: 'its processes are killed one by one, until none is left',
  },
  'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV of seccomp': {
    since: '5.19',
    use: 'policies that a supervisor enforces; profiles with SCMP_ACT_NOTIFY that name it',
    without: refused,
  },
  'MFD_EXEC of memfd_create': { since: '6.3', use: 'the copy of its own binary', without: 'left out' },
  'AT_EXECVE_CHECK of execveat': {
    since: '6.14',
    use: "a program that a policy's files.execute does not allow is refused by create",
    without: 'it is refused by start',
  },
  'PIDFD_SIGNAL_PROCESS_GROUP of pidfd_send_signal': {
    since: '6.9',
    use: 'signals to a process group',
    without: 'kill(2), while the leader is held by a pidfd',
  },
  'MOUNT_ATTR_IDMAP of mount_setattr': {
    since: '5.12',
    use: 'idmapped mounts; of overlay since 5.19, of tmpfs since 6.3',
    without: refused,
  },
  'lowerdir+ of overlay': {
    since: '6.7',
    use: 'mounts of an overlay whose layers together have more than 255 bytes (not the root, which engines mount)',
    without: refused,
  },
  'EPOLLHUP of a pidfd': {
    since: '6.9',
    use: 'a process that its own parent has reaped',
    without: 'a signal 0 to it',
  },
  'PIDFD_GET_INFO with PIDFD_INFO_EXIT': {
    since: '6.15',
    use: 'the exit status of a process that somebody else reaped',
    without: '/proc/PID/stat, if it is read before; else the status is 255, 137 under containerd',
  },
}

/** What an errno of ENOSYS means to a person; nothing where the call is none of these. */
export const missingCall = (name: string): string | undefined => {
  const call = Object.hasOwn(CALLS, name) ? CALLS[name] : undefined
  return (
    call &&
    `Linux has ${name} since ${call.since}: this kernel is older, or a seccomp filter around berth hides it (see berth doctor)`
  )
}
