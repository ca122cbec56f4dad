/** The ABIs that filters are compiled for. */

import type { SeccompArch } from '../../spec/types.ts'
import { SYSCALLS, type SyscallTable } from './syscalls.ts'

/** Bit of an x32 system call's number; such calls share their AUDIT_ARCH with x86-64 (asm/unistd.h, __X32_SYSCALL_BIT). */
export const X32_BIT = 0x40000000

/** AUDIT_ARCH_* (linux/audit.h): what seccomp_data.arch holds. */
export const AUDIT_ARCH = {
  x86_64: 0xc000003e,
  i386: 0x40000003,
  aarch64: 0xc00000b7,
  arm: 0x40000028,
} as const

export interface Abi {
  readonly name: SeccompArch
  readonly audit: number
  /** Width in which arguments are compared. */
  readonly bits: 32 | 64
  /** First number of this ABI's calls, and the last that could be one. */
  readonly base: number
  readonly last: number
  readonly table: () => SyscallTable
  /** Whether calls can be made by way of socketcall(2) and ipc(2) too. */
  readonly multiplexes: boolean
}

export const ABIS: Readonly<Partial<Record<SeccompArch, Abi>>> = {
  SCMP_ARCH_X86_64: {
    name: 'SCMP_ARCH_X86_64',
    audit: AUDIT_ARCH.x86_64,
    bits: 64,
    base: 0,
    last: X32_BIT - 1,
    table: SYSCALLS.x86_64,
    multiplexes: false,
  },
  // Arguments are compared in 32 bits, as libseccomp does for this ABI.
  SCMP_ARCH_X32: {
    name: 'SCMP_ARCH_X32',
    audit: AUDIT_ARCH.x86_64,
    bits: 32,
    base: X32_BIT,
    last: 0xfffffffe,
    table: SYSCALLS.x32,
    multiplexes: false,
  },
  SCMP_ARCH_X86: {
    name: 'SCMP_ARCH_X86',
    audit: AUDIT_ARCH.i386,
    bits: 32,
    base: 0,
    last: 0xfffffffe,
    table: SYSCALLS.x86,
    multiplexes: true,
  },
  SCMP_ARCH_AARCH64: {
    name: 'SCMP_ARCH_AARCH64',
    audit: AUDIT_ARCH.aarch64,
    bits: 64,
    base: 0,
    last: 0xfffffffe,
    table: SYSCALLS.aarch64,
    multiplexes: false,
  },
  SCMP_ARCH_ARM: {
    name: 'SCMP_ARCH_ARM',
    audit: AUDIT_ARCH.arm,
    bits: 32,
    base: 0,
    last: 0xfffffffe,
    table: SYSCALLS.arm,
    multiplexes: false,
  },
}

/** From here on lie the private calls of ARM, which say nothing about how new a profile is. */
export const PRIVATE_CALLS = 0xf0000

/** Machines berth runs on, and the ABI of their own. */
export type Machine = 'x86_64' | 'aarch64'
export const NATIVE: Readonly<Record<Machine, SeccompArch>> = {
  x86_64: 'SCMP_ARCH_X86_64',
  aarch64: 'SCMP_ARCH_AARCH64',
}

/** What else programs on such a machine may call the kernel by: filters of berth's own judge it too. */
export const FOREIGN_ABIS = {
  x86_64: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  aarch64: ['SCMP_ARCH_ARM'],
} as const satisfies Record<Machine, readonly SeccompArch[]>
