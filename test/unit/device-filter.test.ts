import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileDeviceFilter } from '../../src/cgroup/device-filter.ts'
import { accessRules } from '../../src/cgroup/devices.ts'
import type { DeviceRule } from '../../src/spec/types.ts'

interface Access {
  readonly type: 'b' | 'c'
  readonly major: number
  readonly minor: number
  readonly access: string
}

const BITS: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 }
const bits = (access: string): number => [...access].reduce((sum, letter) => sum + (BITS[letter] ?? 0), 0)

/** What the kernel does with the program: registers of 64 bits, 32-bit operations clear the upper half. */
const run = (program: Uint8Array, { type, major, minor, access }: Access): number => {
  const context = new Map([
    [0, (bits(access) << 16) | (type === 'b' ? 1 : 2)],
    [4, major],
    [8, minor],
  ])
  const view = new DataView(program.buffer)
  const registers = new Map<number, bigint>()
  const register = (name: number): bigint => {
    const value = registers.get(name)
    assert.ok(value !== undefined, `register ${name} is read before it is written`)
    return value
  }
  for (let at = 0; at < program.length / 8; at++) {
    const code = view.getUint8(at * 8)
    const names = view.getUint8(at * 8 + 1)
    const [dst, src] = [names & 15, names >> 4]
    const off = view.getInt16(at * 8 + 2, true)
    const imm = view.getInt32(at * 8 + 4, true)
    const low = (value: bigint) => BigInt.asUintN(32, value)
    switch (code) {
      case 0x61:
        assert.equal(src, 1)
        registers.set(dst, BigInt((context.get(off) ?? Number.NaN) >>> 0))
        break
      case 0xb7:
        registers.set(dst, BigInt.asUintN(64, BigInt(imm)))
        break
      case 0xbc:
        registers.set(dst, low(register(src)))
        break
      case 0x54:
        registers.set(dst, low(register(dst)) & low(BigInt(imm)))
        break
      case 0x77:
        registers.set(dst, register(dst) >> BigInt(imm))
        break
      case 0x05:
        at += off
        break
      case 0x56:
        if (low(register(dst)) !== low(BigInt(imm))) at += off
        break
      case 0x46:
        if ((low(register(dst)) & low(BigInt(imm))) !== 0n) at += off
        break
      case 0x95:
        return Number(register(0))
      default:
        assert.fail(`instruction ${code.toString(16)}`)
    }
  }
  return assert.fail('the program runs over its end')
}

/** The meaning: each kind of access is decided by the last rule that names it for the device. */
const allowed = (rules: readonly DeviceRule[], { type, major, minor, access }: Access): boolean =>
  [...access].every((letter) => {
    const rule = accessRules(rules).findLast(
      (candidate) =>
        (candidate.type === 'a' || candidate.type === type) &&
        (candidate.major ?? major) === major &&
        (candidate.minor ?? minor) === minor &&
        candidate.access.includes(letter),
    )
    return rule?.allow ?? false
  })

const LISTS: Readonly<Record<string, readonly DeviceRule[]>> = {
  'no rules': [],
  'deny all': [{ allow: false }],
  'allow all': [{ allow: true, access: 'rwm' }],
  'one device': [{ allow: true, type: 'c', major: 10n, minor: 229n, access: 'rw' }],
  'any minor': [{ allow: true, type: 'b', major: 8n, minor: -1n, access: 'r' }],
  'any major': [{ allow: true, type: 'c', minor: 3n }],
  'a hole in a wildcard': [
    { allow: true, type: 'c', major: 10n },
    { allow: false, type: 'c', major: 10n, minor: 229n, access: 'w' },
  ],
  'a rule in two parts': [
    { allow: true, type: 'c', major: 10n, minor: 229n, access: 'r' },
    { allow: true, type: 'c', major: 10n, minor: 229n, access: 'w' },
  ],
  'all but one': [{ allow: true }, { allow: false, type: 'b', major: 8n, minor: 0n, access: 'rw' }],
  'the last one wins': [
    { allow: false, type: 'b', major: 8n },
    { allow: true },
    { allow: false, type: 'b', major: 8n },
  ],
  'any type of a number': [{ allow: true, major: 8n, minor: 0n }],
  'a default device is refused in vain': [{ allow: false, type: 'c', major: 1n, minor: 3n }],
  'the largest numbers': [{ allow: true, type: 'c', major: 4294967295n, minor: 4294967295n }],
}

for (const [name, rules] of Object.entries(LISTS))
  test(`device filter: ${name}`, () => {
    const program = compileDeviceFilter(accessRules(rules))
    for (const type of ['b', 'c'] as const)
      for (const major of [0, 1, 5, 8, 10, 136, 4294967295])
        for (const minor of [0, 3, 229, 4294967295])
          for (const access of ['m', 'r', 'w', 'rw', 'rwm']) {
            const wanted = { type, major, minor, access }
            assert.equal(run(program, wanted) === 1, allowed(rules, wanted), JSON.stringify(wanted))
          }
  })

test('device filter: nothing behind a rule for everything', () => {
  const reachable = compileDeviceFilter(accessRules([{ allow: false, type: 'c' }, { allow: true }]))
  assert.equal(reachable.length, compileDeviceFilter(accessRules([{ allow: true }])).length)
})

test('device filter: a number that no device has', () => {
  assert.throws(() => accessRules([{ allow: true, type: 'c', major: 1n << 32n }]), {
    pointer: '/linux/resources/devices/0/major',
  })
})
