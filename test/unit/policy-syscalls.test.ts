/** `syscalls` of policies as a filter. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AUDIT_ARCH, X32_BIT } from '../../src/plan/seccomp/abis.ts'
import { interpret } from '../../src/plan/seccomp.ts'
import { planSyscallPolicy } from '../../src/plan/syscall-policy.ts'
import { planTcp } from '../../src/plan/tcp.ts'
import type { SyscallCondition, SyscallPolicy } from '../../src/policy/types.ts'

const ERRNO = 0x50000
const ALLOW = 0x7fff0000
const plan = (...policies: SyscallPolicy[]) =>
  planSyscallPolicy({ policies: policies.map((syscalls) => ({ syscalls })), landlock: 0 }, 'x86_64', {
    noNewPrivileges: true,
    later: true,
  })
const verdicts = (...policies: SyscallPolicy[]) => {
  const [op] = plan(...policies)
  if (op?.op !== 'seccomp') throw new Error('no filter')
  return (nr: number, arch: number = AUDIT_ARCH.x86_64, args: bigint[] = []) =>
    interpret(op.program, { nr, arch, args: [...args, 0n, 0n, 0n, 0n, 0n, 0n].slice(0, 6) })
}

test('calls are refused in each ABI, and the lists of policies add up', () => {
  const verdict = verdicts({ deny: ['mkdir'] }, { deny: ['@sysv_ipc'] })
  assert.equal(verdict(83), ERRNO | 1) // mkdir
  assert.equal(verdict(X32_BIT + 83), ERRNO | 1)
  assert.equal(verdict(39, AUDIT_ARCH.i386), ERRNO | 1)
  assert.equal(verdict(29), ERRNO | 1) // shmget
  assert.equal(verdict(425), ERRNO | 1) // io_uring_setup
  assert.equal(verdict(84), ALLOW) // rmdir
  assert.equal(verdict(56), ALLOW) // clone
  assert.equal(verdict(435), ALLOW) // clone3
})

test('a rule for clone looks at its flags, and leaves no clone3', () => {
  const NEWUSER = 0x10000000
  const verdict = verdicts({
    rules: [{ names: ['clone'], args: [{ index: 0, op: 'SCMP_CMP_MASKED_EQ', value: NEWUSER, valueTwo: NEWUSER }] }],
  })
  assert.equal(verdict(56, AUDIT_ARCH.x86_64, [BigInt(NEWUSER | 17)]), ERRNO | 1)
  assert.equal(verdict(120, AUDIT_ARCH.i386, [BigInt(NEWUSER | 17)]), ERRNO | 1)
  assert.equal(verdict(56, AUDIT_ARCH.x86_64, [17n]), ALLOW)
  assert.equal(verdict(435), ERRNO | 38)
})

test('what a program sets above the 32 bits that the kernel looks at leads past no rule', () => {
  const CHMOD = 90
  const ABOVE = 1n << 32n
  const refuses = (op: SyscallCondition['op'], value: number, ...args: bigint[]) => {
    const verdict = verdicts({ rules: [{ names: ['chmod'], args: [{ index: 1, op, value }] }] })
    return args.map((arg) => verdict(CHMOD, AUDIT_ARCH.x86_64, [0n, arg]) !== ALLOW)
  }
  assert.deepEqual(refuses('SCMP_CMP_EQ', 5, 5n, ABOVE | 5n, 6n, ABOVE | 6n), [true, true, false, false])
  assert.deepEqual(refuses('SCMP_CMP_LT', 5, 4n, ABOVE | 4n, 5n), [true, true, false])
  assert.deepEqual(refuses('SCMP_CMP_LE', 5, 5n, ABOVE | 5n, 6n), [true, true, false])
  assert.deepEqual(refuses('SCMP_CMP_GE', 5, 5n, ABOVE | 5n, 4n), [true, true, false])
  assert.deepEqual(refuses('SCMP_CMP_NE', 5, 6n, ABOVE | 6n, 5n), [true, true, false])
  assert.deepEqual(refuses('SCMP_CMP_EQ', 2 ** 33, 2n ** 33n, 0n), [true, false])
})

test('lists of ports of TCP come with a filter for what Landlock does not see', () => {
  const filter = (tcp: object, landlock = 7) => planTcp({ policies: [{ tcp }], landlock }, 'x86_64')
  const [op] = filter({ connect: [443] })
  if (op?.op !== 'seccomp') throw new Error('no filter')
  const verdict = (nr: number, ...args: bigint[]) =>
    interpret(op.program, { nr, arch: AUDIT_ARCH.x86_64, args: [...args, 0n, 0n, 0n, 0n, 0n, 0n].slice(0, 6) })
  const [SOCKET, SENDTO, SENDMSG, SENDMMSG, FASTOPEN] = [41, 44, 46, 307, 0x20000000n]
  assert.equal(verdict(SOCKET, 2n, 1n, 262n), ERRNO | 93)
  assert.equal(verdict(SOCKET, 2n, 1n, (1n << 32n) | 262n), ERRNO | 93)
  assert.equal(verdict(SOCKET, 43n, 1n, 0n), ERRNO | 93)
  assert.equal(verdict(SOCKET, 2n, 1n, 6n), ALLOW)
  assert.equal(verdict(SENDTO, 3n, 0n, 1n, FASTOPEN | 0x4000n), ERRNO | 95)
  assert.equal(verdict(SENDTO, 3n, 0n, 1n, 0x4000n), ALLOW)
  assert.equal(verdict(SENDMSG, 3n, 0n, FASTOPEN), ERRNO | 95)
  assert.equal(verdict(SENDMMSG, 3n, 0n, 1n, FASTOPEN), ERRNO | 95)
  assert.deepEqual(filter({ connect: [443] }, 3), [])
  assert.deepEqual(filter({}), [])
})

test('what a start needs is not refused', () => {
  assert.throws(() => plan({ deny: ['execve'] }), /refuses execve/)
  assert.throws(() => plan({ deny: ['seccomp'] }), /refuses seccomp/)
  assert.deepEqual(plan(), [])
})
