/** System calls that policies refuse, by name and by group. */

import { ABIS } from '../plan/seccomp/abis.ts'
import { didYouMean } from './nearest.ts'

/** Calls that belong together. A name that one ABI lacks is no call there. */
export const SYSCALL_GROUPS: Readonly<Record<string, readonly string[]>> = {
  '@mount': words(
    'mount umount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr',
  ),
  '@modules': words('init_module finit_module delete_module create_module'),
  '@kexec': words('kexec_load kexec_file_load reboot'),
  '@swap': words('swapon swapoff'),
  '@clock': words('settimeofday clock_settime clock_settime64 clock_adjtime clock_adjtime64 adjtimex stime'),
  '@keyring': words('add_key request_key keyctl'),
  '@debug': words('ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp perf_event_open lookup_dcookie'),
  '@io_uring': words('io_uring_setup io_uring_enter io_uring_register'),
  '@sysv_ipc': words(
    'shmget shmat shmdt shmctl msgget msgsnd msgrcv msgctl semget semop semctl semtimedop semtimedop_time64',
  ),
  // What hardly any program needs, and the kernel's bugs were often behind.
  '@default': [
    ...words('mount umount umount2 pivot_root open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr'),
    ...words('swapon swapoff reboot sethostname setdomainname kexec_load kexec_file_load'),
    ...words('init_module finit_module delete_module unshare setns perf_event_open bpf userfaultfd'),
    ...words('keyctl add_key request_key ptrace process_vm_readv process_vm_writev pidfd_getfd'),
    ...words('open_by_handle_at name_to_handle_at ioperm iopl quotactl quotactl_fd acct lookup_dcookie nfsservctl'),
    ...words('io_uring_setup io_uring_enter io_uring_register personality'),
  ],
}

function words(text: string): readonly string[] {
  return text.split(' ')
}

/** The calls that a list of names and groups means. */
export const expandSyscalls = (names: readonly string[]): readonly string[] => [
  ...new Set(names.flatMap((name) => SYSCALL_GROUPS[name] ?? [name])),
]

/** Why a name is none; undefined where it is one. */
export const unknownSyscall = (name: string): string | undefined => {
  const tables = Object.values(ABIS).map(({ table }) => table())
  if (Object.hasOwn(SYSCALL_GROUPS, name) || tables.some((table) => table.has(name))) return undefined
  const known = [...Object.keys(SYSCALL_GROUPS), ...new Set(tables.flatMap((table) => [...table.keys()]))]
  return `no system call, and no group of them${didYouMean(name, known)}`
}
