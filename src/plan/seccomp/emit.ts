/** Verdicts → instructions: conditions on arguments, and the search for a system call's number. */

import { type Assembler, BPF, type Label } from './assemble.ts'
import { type Condition, high, low, type Rule, type Verdict } from './rules.ts'

/** Offsets in struct seccomp_data (linux/seccomp.h), little endian. */
export const DATA = { nr: 0, arch: 4, args: 16 } as const

const lowHalf = (index: number): number => DATA.args + index * 8
const highHalf = (index: number): number => lowHalf(index) + 4

const ALL = 0xffffffff

function emitEqual(asm: Assembler, { index, value, mask }: Condition, bits: 32 | 64, yes: Label, no: Label): Label {
  let label = yes
  const halves: [number, number, number][] = [[lowHalf(index), low(value), low(mask)]]
  if (bits === 64) halves.push([highHalf(index), high(value), high(mask)])
  for (const [offset, wanted, bitsThatCount] of halves) {
    if (bitsThatCount === 0) continue
    label = asm.load(offset, bitsThatCount, asm.test(BPF.jeq, wanted & bitsThatCount, label, no))
  }
  return label
}

/** `inclusive`: greater or equal, else greater. */
function emitGreater(
  asm: Assembler,
  { index, value }: Condition,
  inclusive: boolean,
  bits: 32 | 64,
  yes: Label,
  no: Label,
): Label {
  const test = asm.test(inclusive ? BPF.jge : BPF.jgt, low(value), yes, no)
  const lower = asm.load(lowHalf(index), ALL, test)
  if (bits === 32) return lower
  const upper = asm.test(BPF.jgt, high(value), yes, asm.test(BPF.jeq, high(value), lower, no))
  return asm.load(highHalf(index), ALL, upper)
}

function emitCondition(asm: Assembler, condition: Condition, bits: 32 | 64, yes: Label, no: Label): Label {
  switch (condition.op) {
    case 'SCMP_CMP_EQ':
    case 'SCMP_CMP_MASKED_EQ':
      return emitEqual(asm, condition, bits, yes, no)
    case 'SCMP_CMP_NE':
      // The branches change places halfway: a difference in either half is enough.
      return emitEqual(asm, condition, bits, no, yes)
    case 'SCMP_CMP_GT':
    case 'SCMP_CMP_GE':
      return emitGreater(asm, condition, condition.op === 'SCMP_CMP_GE', bits, yes, no)
    case 'SCMP_CMP_LE':
    case 'SCMP_CMP_LT':
      return emitGreater(asm, condition, condition.op === 'SCMP_CMP_LT', bits, no, yes)
  }
}

/** Tries the rules in order. */
export function emitRules(asm: Assembler, rules: readonly Rule[], bits: 32 | 64, otherwise: number): Label {
  let next = asm.ret(otherwise)
  for (const rule of rules.toReversed()) {
    let label = asm.ret(rule.action)
    for (const condition of rule.conditions.toReversed()) label = emitCondition(asm, condition, bits, label, next)
    next = label
  }
  return next
}

/** From `first` on, up to the next segment, calls go to this target. */
export interface Segment {
  readonly first: number
  readonly target: Target
}
export type Target = { readonly action: number } | { readonly block: Label }

const sameTarget = (a: Target, b: Target): boolean =>
  'action' in a ? 'action' in b && a.action === b.action : 'block' in b && a.block === b.block

/** Joins neighbours that go to the same target. */
export function joinSegments(segments: readonly Segment[]): Segment[] {
  const joined: Segment[] = []
  for (const segment of segments) {
    const last = joined.at(-1)
    if (last === undefined || !sameTarget(last.target, segment.target)) joined.push(segment)
  }
  return joined
}

/** A balanced search over segments, which cover all numbers, on the accumulator. */
export function emitSearch(asm: Assembler, segments: readonly Segment[]): Label {
  const [first, second, third] = segments
  if (first === undefined) throw new RangeError('no segment to search')
  if (second === undefined) return 'action' in first.target ? asm.ret(first.target.action) : first.target.block
  if (segments.length === 3 && third && second.first + 1 === third.first && sameTarget(first.target, third.target)) {
    const around = emitSearch(asm, [first])
    return asm.test(BPF.jeq, second.first, emitSearch(asm, [second]), around)
  }
  const middle = segments.length >> 1
  const above = emitSearch(asm, segments.slice(middle))
  const below = emitSearch(asm, segments.slice(0, middle))
  return asm.test(BPF.jge, (segments[middle] as Segment).first, above, below)
}

/** A name for what `emitRules` would make, so that equal blocks are made once. */
export const blockKey = (rules: readonly Rule[], bits: 32 | 64): string =>
  `${bits}:${rules
    .map((rule) => `${rule.action}=${rule.conditions.map((c) => `${c.index}${c.op}${c.value}/${c.mask}`).join('&')}`)
    .join(';')}`

export const isAction = (verdict: Verdict): verdict is number => typeof verdict === 'number'
