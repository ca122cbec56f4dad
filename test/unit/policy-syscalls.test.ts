/** `syscalls` of policies as a filter. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AUDIT_ARCH, X32_BIT } from '../../src/plan/seccomp/abis.ts'
import { interpret } from '../../src/plan/seccomp.ts'
import { planSyscallPolicy } from '../../src/plan/syscall-policy.ts'
import type { SyscallPolicy } from '../../src/policy/types.ts'

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

test('what a start needs is not refused', () => {
  assert.throws(() => plan({ deny: ['execve'] }), /refuses execve/)
  assert.throws(() => plan({ deny: ['seccomp'] }), /refuses seccomp/)
  assert.deepEqual(plan(), [])
})
