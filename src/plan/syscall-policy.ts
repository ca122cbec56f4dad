/** `syscalls` of policies → one more filter, whatever config.json has: what either of them refuses is refused, by each ABI of the machine. */

import { BerthError } from '../errors.ts'
import { expandSyscalls } from '../policy/syscalls.ts'
import type { Confinement, SyscallPolicy } from '../policy/types.ts'
import type { Seccomp, SeccompSyscall } from '../spec/types.ts'
import type { Op } from './ops.ts'
import type { Arch } from './process.ts'
import { checkSurvivable, compileSeccomp } from './seccomp.ts'

const POINTER = '/annotations'
const EPERM = 1
const ENOSYS = 38
const ABIS = {
  x86_64: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  aarch64: ['SCMP_ARCH_ARM'],
} as const satisfies Record<Arch, readonly string[]>

const refused = (syscall: Pick<SeccompSyscall, 'names' | 'args'>, errno = EPERM): SeccompSyscall => ({
  ...syscall,
  action: 'SCMP_ACT_ERRNO',
  errnoRet: errno,
})

/** io_uring would do what a filter can't see. */
const whole = (policies: readonly SyscallPolicy[]): readonly string[] =>
  expandSyscalls([...policies.flatMap(({ deny = [] }) => deny), '@io_uring'])

const conditional = (policies: readonly SyscallPolicy[], denied: readonly string[]): readonly SeccompSyscall[] =>
  policies
    .flatMap(({ rules = [] }) => rules)
    .flatMap(({ names, args }) =>
      names
        .filter((name) => !denied.includes(name))
        .map((name) =>
          refused({
            names: [name],
            args: args.map(({ index, op, value, valueTwo = 0 }) => ({
              index,
              op,
              value: BigInt(value),
              valueTwo: BigInt(valueTwo),
            })),
          }),
        ),
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
    architectures: ABIS[arch],
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
