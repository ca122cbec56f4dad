/**
 * Device rules → a BPF program of type cgroup/dev, which the kernel asks at each mknod and open of a device node. An access may want several
 * things at once (read and write); each of them is decided by the last rule that names it for that device, so that splitting a rule in two
 * changes nothing, and an access is allowed if all of it is.
 */

import { assemble, type Instruction, OPCODE } from '../bpf/assemble.ts'
import type { AccessRule } from './devices.ts'

/** struct bpf_cgroup_dev_ctx: `access_type` has the type in its low half and the access in its high one. */
const CONTEXT = { accessType: 0, major: 4, minor: 8 } as const
const TYPES = { b: 1, c: 2 } as const
const ACCESS = { m: 1, r: 2, w: 4 } as const
const ALL_ACCESS = 7

/** r1 is the context. What is asked for and not decided yet is in `wanted`. */
const REGISTER = { answer: 0, context: 1, wanted: 2, type: 3, major: 4, minor: 5 } as const

const load = (dst: number, off: number): Instruction => ({ code: OPCODE.load32, dst, src: REGISTER.context, off })
const answer = (allow: boolean): Instruction[] => [
  { code: OPCODE.move64, dst: REGISTER.answer, imm: allow ? 1 : 0 },
  { code: OPCODE.exit },
]

const PROLOGUE: readonly Instruction[] = [
  load(REGISTER.wanted, CONTEXT.accessType),
  { code: OPCODE.move32From, dst: REGISTER.type, src: REGISTER.wanted },
  { code: OPCODE.and32, dst: REGISTER.type, imm: 0xffff },
  { code: OPCODE.shiftRight64, dst: REGISTER.wanted, imm: 16 },
  load(REGISTER.major, CONTEXT.major),
  load(REGISTER.minor, CONTEXT.minor),
]

const accessMask = (access: string): number =>
  [...access].reduce((mask, letter) => mask | (ACCESS[letter as keyof typeof ACCESS] ?? 0), 0)

/** What to do where the device is the rule's. */
const decide = (allow: boolean, mask: number): Instruction[] => {
  if (mask === ALL_ACCESS) return answer(allow)
  if (!allow)
    return [
      { code: OPCODE.jumpIfSet32, dst: REGISTER.wanted, off: 1, imm: mask },
      { code: OPCODE.jump, off: 2 },
      ...answer(false),
    ]
  return [
    { code: OPCODE.and32, dst: REGISTER.wanted, imm: ALL_ACCESS & ~mask },
    { code: OPCODE.jumpIfNot32, dst: REGISTER.wanted, off: 2, imm: 0 },
    ...answer(true),
  ]
}

const conditions = ({ type, major, minor }: AccessRule): readonly (readonly [number, number])[] => [
  ...(type === 'a' ? [] : [[REGISTER.type, TYPES[type]] as const]),
  ...(major === undefined ? [] : [[REGISTER.major, major] as const]),
  ...(minor === undefined ? [] : [[REGISTER.minor, minor] as const]),
]

const compileRule = (rule: AccessRule): Instruction[] => {
  const body = decide(rule.allow, accessMask(rule.access))
  const tests = conditions(rule)
  return [
    // To behind the body, over the tests that are left.
    ...tests.map(([dst, imm], index) => ({
      code: OPCODE.jumpIfNot32,
      dst,
      imm,
      off: body.length + tests.length - 1 - index,
    })),
    ...body,
  ]
}

const isFinal = (rule: AccessRule): boolean => accessMask(rule.access) === ALL_ACCESS && conditions(rule).length === 0

/** struct bpf_insn[] of the rules, of which a later one counts before an earlier one. What none decides is denied. */
export const compileDeviceFilter = (rules: readonly AccessRule[]): Uint8Array => {
  const program: Instruction[] = [...PROLOGUE]
  let complete = false
  for (const rule of rules.toReversed()) {
    program.push(...compileRule(rule))
    // The kernel refuses a program with instructions that nothing reaches.
    complete = isFinal(rule)
    if (complete) break
  }
  if (!complete) program.push(...answer(false))
  return assemble(program)
}
