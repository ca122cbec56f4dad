/** `syscalls` of policies → one more filter, whatever config.json has: what either of them refuses is refused, by each ABI of the machine. */

import { BerthError } from '../errors.ts'
import { expandSyscalls } from '../policy/syscalls.ts'
import type { Confinement, SyscallCondition, SyscallPolicy } from '../policy/types.ts'
import type { Seccomp, SeccompArg, SeccompSyscall } from '../spec/types.ts'
import type { Op } from './ops.ts'
import type { Arch } from './process.ts'
import { FOREIGN_ABIS } from './seccomp/abis.ts'
import { checkSurvivable, compileSeccomp } from './seccomp.ts'

const POINTER = '/annotations'
const EPERM = 1
const ENOSYS = 38
const refused = (syscall: Pick<SeccompSyscall, 'names' | 'args'>, errno = EPERM): SeccompSyscall => ({
  ...syscall,
  action: 'SCMP_ACT_ERRNO',
  errnoRet: errno,
})

/** io_uring would do what a filter can't see. */
const whole = (policies: readonly SyscallPolicy[]): readonly string[] =>
  expandSyscalls([...policies.flatMap(({ deny = [] }) => deny), '@io_uring'])

const LOW = 0xffff_ffffn

/**
 * What a condition comes to, any of which has to hold. Filters see 64 bits, and the kernel cuts most arguments to 32: what a program sets above
 * those is not to lead past a rule (CVE-2019-7303), so it is left out, or is reason enough.
 */
const closed = ({ index, op, value: given, valueTwo = 0 }: SyscallCondition): readonly SeccompArg[] => {
  const value = BigInt(given)
  const plain = { index, op, value, valueTwo: BigInt(valueTwo) }
  if (value > LOW) return [plain]
  if (op === 'SCMP_CMP_EQ') return [{ index, op: 'SCMP_CMP_MASKED_EQ', value: LOW, valueTwo: value }]
  if (op !== 'SCMP_CMP_LT' && op !== 'SCMP_CMP_LE') return [plain]
  return [plain, { index, op: 'SCMP_CMP_GT', value: LOW, valueTwo: 0n }]
}

/** One of each. */
const combined = <T>(lists: readonly (readonly T[])[]): readonly (readonly T[])[] =>
  lists.reduce<readonly (readonly T[])[]>((all, list) => all.flatMap((some) => list.map((one) => [...some, one])), [[]])

const conditional = (policies: readonly SyscallPolicy[], denied: readonly string[]): readonly SeccompSyscall[] =>
  policies
    .flatMap(({ rules = [] }) => rules)
    .flatMap(({ names, args }) =>
      names
        .filter((name) => !denied.includes(name))
        .flatMap((name) => combined(args.map(closed)).map((all) => refused({ names: [name], args: all }))),
    )

/** clone3 has its flags in memory, where no filter can look: C libraries fall back to clone where it does not exist. */
const withoutClone3 = (denied: readonly string[], rules: readonly SeccompSyscall[]): readonly SeccompSyscall[] =>
  !denied.includes('clone3') && (denied.includes('clone') || rules.some(({ names }) => names.includes('clone')))
    ? [refused({ names: ['clone3'] }, ENOSYS)]
    : []

/** `later`: a filter that is installed behind this one. */
export const planSyscallPolicy = (
  confinement: Confinement | undefined,
  arch: Arch,
  { noNewPrivileges, later }: { readonly noNewPrivileges: boolean; readonly later: boolean },
): Op[] => {
  const policies = confinement?.policies.flatMap(({ syscalls }) => syscalls ?? []) ?? []
  if (policies.length === 0) return []
  const denied = whole(policies)
  const rules = conditional(policies, denied)
  const seccomp: Seccomp = {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: FOREIGN_ABIS[arch],
    syscalls: [refused({ names: denied }), ...rules, ...withoutClone3(denied, rules)],
  }
  const { program } = compileSeccomp(seccomp, { arch })
  const { blocked } = checkSurvivable(program, arch, { noNewPrivileges })
  const needed = [...blocked, ...(later && denied.includes('seccomp') ? ['seccomp'] : [])]
  if (needed.length > 0)
    throw new BerthError(
      'invalid',
      `policy: syscalls: refuses ${needed.join(', ')}, which a container needs to be started`,
      { pointer: POINTER },
    )
  return [{ op: 'seccomp', program, flags: 0, pointer: POINTER }]
}
