import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BerthError } from '../../src/errors.ts'
import { AUDIT_ARCH, X32_BIT } from '../../src/plan/seccomp/abis.ts'
import { RET } from '../../src/plan/seccomp/actions.ts'
import { BPF, INSTRUCTION, MAX_INSTRUCTIONS } from '../../src/plan/seccomp/assemble.ts'
import { checkSurvivable, compileSeccomp, interpret } from '../../src/plan/seccomp.ts'
import type { Seccomp, SeccompArch, SeccompArg, SeccompOperator, SeccompSyscall } from '../../src/spec/types.ts'
import { abi, actionsFor, argumentsFor, fixture, NAMES, newest, Random, randomProfile } from '../seccomp/profiles.ts'

const ALLOW = RET.allow
const errno = (value: number) => RET.errno | value
const x86 = { arch: 'x86_64' } as const

const allow = (names: string[], args?: SeccompArg[]): SeccompSyscall => ({
  names,
  action: 'SCMP_ACT_ALLOW',
  ...(args && { args }),
})
const arg = (index: number, op: string, value: bigint, valueTwo = 0n): SeccompArg => ({
  index,
  op: `SCMP_CMP_${op}` as SeccompOperator,
  value,
  valueTwo,
})

/** A profile that refuses all but its rules. Names a late call, so that ENOSYS does not come into it. */
const only = (syscalls: SeccompSyscall[], more: Partial<Seccomp> = {}): Seccomp => ({
  defaultAction: 'SCMP_ACT_ERRNO',
  syscalls: [...syscalls, { names: ['file_setattr'], action: 'SCMP_ACT_LOG' }],
  ...more,
})

const ask = (
  program: Uint8Array,
  name: string,
  args: bigint[] = [],
  arch: SeccompArch = 'SCMP_ARCH_X86_64',
): number => {
  const { table, base, audit } = abi(arch)
  const nr = table().get(name)
  assert(nr !== undefined, name)
  return interpret(program, { nr: base + nr, arch: audit, args })
}

const verdict = (profile: Seccomp, name: string, args: bigint[] = [], arch?: SeccompArch): number =>
  ask(compileSeccomp(profile, x86).program, name, args, arch)

/** What the kernel checks when it loads a program (bpf_check_classic, seccomp_check_filter). */
function checkProgram(program: Uint8Array): void {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength)
  const count = program.length / INSTRUCTION
  assert(Number.isInteger(count) && count > 0 && count <= MAX_INSTRUCTIONS)
  for (let pc = 0; pc < count; pc++) {
    const code = view.getUint16(pc * INSTRUCTION, true)
    const k = view.getUint32(pc * INSTRUCTION + 4, true)
    assert((Object.values(BPF) as number[]).includes(code), `code of ${pc}`)
    if (code === BPF.load) assert(k % 4 === 0 && k < 64)
    if (code === BPF.ja) assert(pc + k + 1 < count)
    if (code === BPF.jeq || code === BPF.jgt || code === BPF.jge || code === BPF.jset) {
      assert(pc + view.getUint8(pc * INSTRUCTION + 2) + 1 < count)
      assert(pc + view.getUint8(pc * INSTRUCTION + 3) + 1 < count)
    }
  }
  assert.equal(view.getUint16((count - 1) * INSTRUCTION, true), BPF.ret)
}

const refusal = (profile: Seccomp): BerthError => {
  try {
    compileSeccomp(profile, x86)
  } catch (error) {
    assert(error instanceof BerthError)
    return error
  }
  assert.fail('the profile is taken')
}

describe('seccomp actions', () => {
  test('have the values of linux/seccomp.h', () => {
    const actions = {
      SCMP_ACT_KILL: 0,
      SCMP_ACT_KILL_THREAD: 0,
      SCMP_ACT_KILL_PROCESS: 0x80000000,
      SCMP_ACT_TRAP: 0x00030000,
      SCMP_ACT_ERRNO: 0x00050001,
      SCMP_ACT_TRACE: 0x7ff00001,
      SCMP_ACT_LOG: 0x7ffc0000,
    } as const
    for (const [action, value] of Object.entries(actions)) {
      const profile: Seccomp = {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['mkdir'], action: action as keyof typeof actions }],
      }
      assert.equal(verdict(profile, 'mkdir'), value, action)
      assert.equal(verdict(profile, 'rmdir'), ALLOW)
      assert.equal(verdict({ ...profile, defaultAction: action as keyof typeof actions, syscalls: [] }, 'rmdir'), value)
    }
  })

  test('carry an errno or a message', () => {
    const profile: Seccomp = {
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 13,
      syscalls: [
        { names: ['mkdir'], action: 'SCMP_ACT_ERRNO', errnoRet: 0 },
        { names: ['file_setattr'], action: 'SCMP_ACT_TRACE', errnoRet: 0xffff },
      ],
    }
    assert.equal(verdict(profile, 'mkdir'), errno(0))
    assert.equal(verdict(profile, 'file_setattr'), 0x7ff0ffff)
    assert.equal(verdict(profile, 'rmdir'), errno(13))
  })

  test('SCMP_ACT_NOTIFY without a listener is refused', () => {
    const error = refusal(only([{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }]))
    assert.equal(error.kind, 'invalid')
    assert.equal(error.pointer, '/linux/seccomp/syscalls/0/action')
    assert.match(error.message, /needs listenerPath/)
    assert.equal(refusal({ defaultAction: 'SCMP_ACT_NOTIFY' }).pointer, '/linux/seccomp/defaultAction')
  })
})

test('seccomp flags', () => {
  const flags = (...names: string[]) =>
    compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW', flags: names as NonNullable<Seccomp['flags']> }, x86)
  assert.equal(flags().flags, 0)
  assert.equal(
    flags('SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW').flags,
    0b111,
  )
  const waiting = flags('SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV')
  assert.equal(waiting.flags, 0)
  assert.equal(waiting.warnings.length, 1)
  assert.throws(() => flags('SECCOMP_FILTER_FLAG_NONE'), { kind: 'unsupported', pointer: '/linux/seccomp/flags/0' })
})

describe('seccomp conditions', () => {
  const VALUE = 0x1_00000005n
  const around = [
    0n,
    4n,
    5n,
    6n,
    0xffffffffn,
    VALUE - 1n,
    VALUE,
    VALUE + 1n,
    0x2_00000004n,
    0x2_00000005n,
    (1n << 64n) - 1n,
  ]
  const operators: Record<string, (a: bigint, b: bigint) => boolean> = {
    NE: (a, b) => a !== b,
    LT: (a, b) => a < b,
    LE: (a, b) => a <= b,
    EQ: (a, b) => a === b,
    GE: (a, b) => a >= b,
    GT: (a, b) => a > b,
  }
  for (const [op, holds] of Object.entries(operators)) {
    test(`${op} in 64 bits, and in 32 where the ABI has no more`, () => {
      const profile = only([allow(['ioctl'], [arg(1, op, VALUE)])], {
        architectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
      })
      const { program } = compileSeccomp(profile, x86)
      for (const value of around) {
        const short = holds(value & 0xffffffffn, VALUE & 0xffffffffn) ? ALLOW : errno(1)
        assert.equal(ask(program, 'ioctl', [0n, value]), holds(value, VALUE) ? ALLOW : errno(1), `${value}`)
        for (const arch of ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] as const) {
          assert.equal(ask(program, 'ioctl', [0n, value], arch), short, `${arch} ${value}`)
        }
      }
    })
  }

  test('MASKED_EQ looks at the bits of the mask only, of the value too', () => {
    const profile = only([allow(['ioctl'], [arg(0, 'MASKED_EQ', 0xff_000000f0n, 0x01_00000035n)])])
    assert.equal(verdict(profile, 'ioctl', [0x01_00000030n]), ALLOW)
    assert.equal(verdict(profile, 'ioctl', [0xffff01_ffffff3fn]), ALLOW)
    assert.equal(verdict(profile, 'ioctl', [0x00_00000030n]), errno(1))
    assert.equal(verdict(profile, 'ioctl', [0x01_00000040n]), errno(1))
    assert.equal(verdict(only([allow(['ioctl'], [arg(0, 'MASKED_EQ', 0n, 7n)])]), 'ioctl', [3n]), ALLOW)
  })

  test('on several arguments must all hold', () => {
    const profile = only([allow(['socket'], [arg(0, 'EQ', 16n), arg(2, 'NE', 9n)])])
    assert.equal(verdict(profile, 'socket', [16n, 0n, 0n]), ALLOW)
    assert.equal(verdict(profile, 'socket', [16n, 0n, 9n]), errno(1))
    assert.equal(verdict(profile, 'socket', [15n, 0n, 0n]), errno(1))
  })

  test('on one argument twice are rules of their own', () => {
    const profile = only([allow(['socket'], [arg(0, 'EQ', 1n), arg(0, 'EQ', 2n), arg(1, 'EQ', 7n)])])
    assert.equal(verdict(profile, 'socket', [1n]), ALLOW)
    assert.equal(verdict(profile, 'socket', [2n]), ALLOW)
    assert.equal(verdict(profile, 'socket', [3n, 7n]), ALLOW)
    assert.equal(verdict(profile, 'socket', [3n]), errno(1))
  })

  test('on an argument that is none are refused', () => {
    const error = refusal(only([allow(['socket'], [arg(6, 'EQ', 1n)])]))
    assert.equal(error.pointer, '/linux/seccomp/syscalls/0/args/0/index')
  })
})

describe('seccomp precedence', () => {
  const log = (names: string[], args?: SeccompArg[]): SeccompSyscall => ({
    ...allow(names, args),
    action: 'SCMP_ACT_LOG',
  })

  test('a rule without conditions beats those with, wherever it stands; the first of them counts', () => {
    const narrow = log(['ioctl'], [arg(0, 'EQ', 1n)])
    assert.equal(verdict(only([narrow, allow(['ioctl'])]), 'ioctl', [1n]), ALLOW)
    assert.equal(verdict(only([allow(['ioctl']), narrow, log(['ioctl'])]), 'ioctl', [1n]), ALLOW)
  })

  test('a rule that says the same as the default is left out', () => {
    const profile = only([{ names: ['ioctl'], action: 'SCMP_ACT_ERRNO' }, allow(['ioctl'], [arg(0, 'EQ', 1n)])])
    assert.equal(verdict(profile, 'ioctl', [1n]), ALLOW)
    assert.equal(verdict(profile, 'ioctl', [2n]), errno(1))
  })

  test('later arguments first, then equality before order', () => {
    const byArgument = only([allow(['ioctl'], [arg(0, 'EQ', 1n)]), log(['ioctl'], [arg(1, 'EQ', 1n)])])
    assert.equal(verdict(byArgument, 'ioctl', [1n, 1n]), RET.log)
    const byKind = only([allow(['ioctl'], [arg(0, 'GE', 0n)]), log(['ioctl'], [arg(0, 'EQ', 1n)])])
    assert.equal(verdict(byKind, 'ioctl', [1n]), RET.log)
    assert.equal(verdict(byKind, 'ioctl', [2n]), ALLOW)
  })

  test('a longer rule after a shorter one is dropped, with a warning', () => {
    const profile = only([allow(['ioctl'], [arg(0, 'EQ', 1n)]), log(['ioctl'], [arg(0, 'EQ', 1n), arg(1, 'EQ', 1n)])])
    assert.equal(verdict(profile, 'ioctl', [1n, 1n]), ALLOW)
    assert.match(compileSeccomp(profile, x86).warnings.join(), /precedence over rules for: ioctl/)
  })

  test('rules that contradict each other are refused', () => {
    const error = refusal(only([allow(['ioctl'], [arg(0, 'EQ', 1n)]), log(['ioctl'], [arg(0, 'EQ', 1n)])]))
    assert.equal(error.pointer, '/linux/seccomp/syscalls/1')
    assert.match(error.message, /"ioctl".*\/linux\/seccomp\/syscalls\/0/)
  })

  test('random profiles get a verdict that one of their matching rules gives', () => {
    const random = new Random(7)
    for (let i = 0; i < 150; i++) {
      const profile = randomProfile(random, {
        maxArgs: 1 + (i % 4),
        actions: ['SCMP_ACT_ALLOW', 'SCMP_ACT_ERRNO', 'SCMP_ACT_LOG', 'SCMP_ACT_KILL_PROCESS'],
        names: NAMES.slice(0, 2 + (i % 6)),
      })
      let program: Uint8Array
      try {
        program = compileSeccomp(profile, x86).program
      } catch (error) {
        assert.match(String(error), /contradict each other/)
        continue
      }
      checkProgram(program)
      for (const arch of new Set<SeccompArch>(['SCMP_ARCH_X86_64', ...(profile.architectures ?? [])])) {
        for (const args of argumentsFor(profile, random, 8)) {
          for (const name of NAMES) {
            const nr = abi(arch).table().get(name)
            if (nr === undefined || nr > newest(profile, abi(arch))) continue
            assert(
              actionsFor(profile, abi(arch), name, args).has(ask(program, name, args, arch)),
              `${i} ${arch} ${name}`,
            )
          }
        }
      }
    }
  })
})

describe('seccomp ABIs', () => {
  const profile = only([allow(['read', 'clone', 'chown32', 'set_tls'])])

  test('of other machines are killed, x32 too', () => {
    const { program } = compileSeccomp(profile, x86)
    assert.equal(ask(program, 'read'), ALLOW)
    assert.equal(interpret(program, { nr: 3, arch: AUDIT_ARCH.i386 }), RET.killThread)
    assert.equal(interpret(program, { nr: X32_BIT, arch: AUDIT_ARCH.x86_64 }), RET.killThread)
    assert.equal(interpret(program, { nr: 0xfffffffe, arch: AUDIT_ARCH.x86_64 }), RET.killThread)
    // A tracer skips a call by this number.
    assert.equal(interpret(program, { nr: 0xffffffff, arch: AUDIT_ARCH.x86_64 }), errno(1))
  })

  test('have numbers of their own', () => {
    const all = { ...profile, architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'] as const }
    const { program } = compileSeccomp(all, x86)
    assert.equal(interpret(program, { nr: 3, arch: AUDIT_ARCH.i386 }), ALLOW)
    assert.equal(interpret(program, { nr: 0, arch: AUDIT_ARCH.i386 }), errno(1))
    assert.equal(interpret(program, { nr: 212, arch: AUDIT_ARCH.i386 }), ALLOW)
    assert.equal(interpret(program, { nr: X32_BIT, arch: AUDIT_ARCH.x86_64 }), ALLOW)
    assert.equal(interpret(program, { nr: X32_BIT + 1, arch: AUDIT_ARCH.x86_64 }), errno(1))
    assert.equal(interpret(program, { nr: 63, arch: AUDIT_ARCH.aarch64 }), RET.killThread)
  })

  test('on aarch64', () => {
    const { program } = compileSeccomp({ ...profile, architectures: ['SCMP_ARCH_ARM'] }, { arch: 'aarch64' })
    assert.equal(interpret(program, { nr: 63, arch: AUDIT_ARCH.aarch64 }), ALLOW)
    assert.equal(interpret(program, { nr: 3, arch: AUDIT_ARCH.arm }), ALLOW)
    assert.equal(interpret(program, { nr: 0xf0005, arch: AUDIT_ARCH.arm }), ALLOW)
    assert.equal(interpret(program, { nr: 0xf0004, arch: AUDIT_ARCH.arm }), errno(38))
    assert.equal(interpret(program, { nr: 0, arch: AUDIT_ARCH.x86_64 }), RET.killThread)
  })

  test('without a table, and unknown names, are warned of', () => {
    const { warnings } = compileSeccomp(
      only([allow(['brew_coffee', 's390_sthyi'])], { architectures: ['SCMP_ARCH_S390X', 'SCMP_ARCH_X86_64'] }),
      x86,
    )
    assert.equal(warnings.length, 2)
    assert.match(warnings[0] ?? '', /SCMP_ARCH_S390X/)
    assert.match(warnings[1] ?? '', /: brew_coffee$/)
  })
})

describe('seccomp and calls newer than the profile', () => {
  const profile: Seccomp = {
    defaultAction: 'SCMP_ACT_ERRNO',
    architectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
    syscalls: [allow(['read', 'faccessat2'])],
  }
  const at = (from: Seccomp, nr: number, arch: number = AUDIT_ARCH.x86_64) =>
    interpret(compileSeccomp(from, x86).program, { nr, arch })

  test('are not there', () => {
    for (const [base, arch] of [
      [0, AUDIT_ARCH.x86_64],
      [X32_BIT, AUDIT_ARCH.x86_64],
      [0, AUDIT_ARCH.i386],
    ] as const) {
      assert.equal(at(profile, base + 438, arch), errno(1))
      assert.equal(at(profile, base + 439, arch), ALLOW)
      assert.equal(at(profile, base + 440, arch), errno(38))
      assert.equal(at(profile, base + 9999, arch), errno(38))
    }
    assert.equal(at({ ...profile, defaultAction: 'SCMP_ACT_KILL_PROCESS' }, 440), errno(38))
  })

  test('are what the default says where it lets calls through, or where nothing is known', () => {
    assert.equal(at({ ...profile, defaultAction: 'SCMP_ACT_LOG' }, 440), RET.log)
    assert.equal(at({ ...profile, defaultAction: 'SCMP_ACT_TRACE' }, 440), RET.trace | 1)
    assert.equal(at({ ...profile, syscalls: [] }, 440), errno(1))
  })
})

describe('seccomp on i386: socketcall and ipc', () => {
  const architectures = ['SCMP_ARCH_X86'] as const
  const socketcall = (profile: Seccomp, call: bigint) => verdict(profile, 'socketcall', [call, 1n, 1n], 'SCMP_ARCH_X86')

  test('follow rules without conditions', () => {
    const profile = only([allow(['socket', 'recv', 'shmat'])], { architectures })
    assert.equal(socketcall(profile, 1n), ALLOW)
    assert.equal(socketcall(profile, 10n), ALLOW)
    assert.equal(socketcall(profile, 2n), errno(1))
    assert.equal(verdict(profile, 'ipc', [21n], 'SCMP_ARCH_X86'), ALLOW)
    assert.equal(verdict(profile, 'ipc', [22n], 'SCMP_ARCH_X86'), errno(1))
    assert.equal(verdict(profile, 'socket', [], 'SCMP_ARCH_X86'), ALLOW)
  })

  test('are no way round a condition', () => {
    const profile = only([allow(['socket'], [arg(0, 'NE', 40n)])], { architectures })
    assert.equal(verdict(profile, 'socket', [2n], 'SCMP_ARCH_X86'), ALLOW)
    assert.equal(socketcall(profile, 1n), errno(1))
    assert.match(compileSeccomp(profile, x86).warnings.join(), /SCMP_ARCH_X86.*socketcall.*: socket$/)
    const denied: Seccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      architectures,
      syscalls: [
        { names: ['socket'], action: 'SCMP_ACT_ERRNO', args: [arg(0, 'EQ', 40n)] },
        { names: ['socket'], action: 'SCMP_ACT_ERRNO', errnoRet: 97, args: [arg(0, 'EQ', 38n)] },
      ],
    }
    assert.equal(socketcall(denied, 1n), errno(1))
    assert.equal(socketcall(denied, 2n), ALLOW)
  })

  test('are allowed where the profile allows them themselves', () => {
    const profile = only([allow(['socketcall']), allow(['socket'], [arg(0, 'NE', 40n)])], { architectures })
    assert.equal(socketcall(profile, 1n), ALLOW)
    assert.deepEqual(compileSeccomp(profile, x86).warnings, [])
  })
})

describe('seccomp programs', () => {
  test('of the default profiles are small', () => {
    for (const name of ['docker', 'podman'] as const) {
      const { program } = compileSeccomp(fixture(name), x86)
      checkProgram(program)
      assert(program.length / INSTRUCTION < 400)
    }
  })

  test('are right where jumps are far', () => {
    const actions = Array.from({ length: 400 }, (_, i) => i + 100)
    const names = [...abi('SCMP_ARCH_X86_64').table()].filter(([, nr]) => nr < 335).map(([name]) => name)
    const profile = only(
      names.map((name, i) => ({
        names: [name],
        action: 'SCMP_ACT_ERRNO',
        errnoRet: actions[i] as number,
        args: [arg(i % 6, 'GT', 1n << 40n), arg((i + 1) % 6, 'EQ', BigInt(i))],
      })),
    )
    const { program } = compileSeccomp(profile, x86)
    checkProgram(program)
    assert(program.length / INSTRUCTION > 2000)
    for (const [i, name] of names.entries()) {
      const args = [0n, 0n, 0n, 0n, 0n, 0n]
      args[i % 6] = 1n << 41n
      args[(i + 1) % 6] = BigInt(i)
      assert.equal(ask(program, name, args), errno(actions[i] as number), name)
      args[(i + 1) % 6] = BigInt(i + 1)
      assert.equal(ask(program, name, args), errno(1), name)
    }
  })

  test('that the kernel would not take are refused', () => {
    const args = Array.from({ length: 1500 }, (_, i) => allow(['ioctl'], [arg(1, 'EQ', BigInt(i) << 33n)]))
    assert.match(refusal(only(args)).message, /takes \d+ instructions/)
  })

  test('that run off their end, or are none, are not interpreted', () => {
    assert.throws(() => interpret(new Uint8Array(0), { nr: 0, arch: 0 }), RangeError)
    assert.throws(() => interpret(new Uint8Array([0xff, 0, 0, 0, 0, 0, 0, 0]), { nr: 0, arch: 0 }), RangeError)
  })
})

describe('seccomp and the parked init', () => {
  const survive = (profile: Seccomp, noNewPrivileges: boolean) =>
    checkSurvivable(compileSeccomp(profile, x86).program, 'x86_64', { noNewPrivileges })

  test('the default profiles leave it what it needs', () => {
    for (const name of ['docker', 'podman'] as const) {
      for (const late of [true, false]) assert.deepEqual(survive(fixture(name), late), { blocked: [], degraded: [] })
    }
  })

  test('what is missing is named', () => {
    const profile = only([allow(['read', 'write', 'exit'])])
    assert.deepEqual(survive(profile, true), { blocked: ['execve'], degraded: ['exit_group'] })
    assert(survive(profile, false).blocked.includes('capset'))
    const denied: Seccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [
        { names: ['prctl'], action: 'SCMP_ACT_ERRNO', args: [arg(0, 'EQ', 24n)] },
        { names: ['faccessat2'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
      ],
    }
    assert.deepEqual(survive(denied, true), { blocked: [], degraded: [] })
    assert.deepEqual(survive(denied, false), { blocked: ['prctl'], degraded: [] })
  })
})

describe('SCMP_ACT_NOTIFY', () => {
  const notify: Seccomp = {
    defaultAction: 'SCMP_ACT_ALLOW',
    listenerPath: '/agent',
    syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }],
  }
  const NEW_LISTENER = 1 << 3

  test('asks for a listener; with TSYNC the kernel wants TSYNC_ESRCH too', () => {
    assert.deepEqual([compileSeccomp(notify, x86).flags, compileSeccomp(notify, x86).notifies], [NEW_LISTENER, true])
    const flags = compileSeccomp({ ...notify, flags: ['SECCOMP_FILTER_FLAG_TSYNC'] }, x86).flags
    assert.equal(flags, NEW_LISTENER | (1 << 0) | (1 << 4))
    const waits = compileSeccomp({ ...notify, flags: ['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'] }, x86)
    assert.deepEqual([waits.flags, waits.warnings], [NEW_LISTENER | (1 << 5), []])
  })

  test('what a listener is asked for can be survived', () => {
    const profile: Seccomp = { defaultAction: 'SCMP_ACT_NOTIFY', listenerPath: '/agent' }
    const { program } = compileSeccomp(profile, x86)
    assert.deepEqual(checkSurvivable(program, 'x86_64', { noNewPrivileges: false }), { blocked: [], degraded: [] })
  })
})
