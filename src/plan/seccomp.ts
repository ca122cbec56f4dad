/**
 * linux.seccomp → a BPF program for seccomp(2).
 *
 * Verdicts are those of runc with libseccomp on the same profile (the differential test compares them), except where a comment here or in
 * seccomp/rules.ts says otherwise. The order of business for a call:
 *
 * 1. Its ABI is not among the machine's own and `architectures`: the thread is killed (libseccomp's default for a bad architecture). An x32
 *    call where only x86-64 is listed is such a call too; a number of -1, by which a tracer skips a call, is none.
 * 2. Its number is above every one that the profile names for this ABI: ENOSYS, unless the default action lets calls through (ALLOW, LOG,
 *    TRACE, NOTIFY). The profile's author could not know it, and programs fall back on ENOSYS, not on EPERM or death. runc does the same.
 * 3. The rules for it (seccomp/rules.ts).
 * 4. The default action.
 */

import { BerthError } from '../errors.ts'
import { remembered } from '../remember.ts'
import type {
  Seccomp,
  SeccompAction,
  SeccompArch,
  SeccompFlag,
  SeccompOperator,
  SeccompSyscall,
} from '../spec/types.ts'
import { ABIS, type Abi, type Machine, NATIVE, PRIVATE_CALLS } from './seccomp/abis.ts'
import { ACTION_VALUES, actionOf, actionValue, ENOSYS, RET } from './seccomp/actions.ts'
import { Assembler, BPF, INSTRUCTION, type Label, MAX_INSTRUCTIONS } from './seccomp/assemble.ts'
import {
  blockKey,
  DATA,
  emitRules,
  emitSearch,
  isAction,
  joinSegments,
  type Segment,
  type Target,
} from './seccomp/emit.ts'
import { MultiplexedRules } from './seccomp/multiplex.ts'
import { ALL_BITS, type Condition, OPERATORS, type Rule, SyscallRules, type Verdict } from './seccomp/rules.ts'
import { FOREIGN } from './seccomp/syscalls.ts'

export { interpret, type SeccompData } from './seccomp/interpret.ts'
export { AFTER_EARLY_FILTER, AFTER_FILTER, checkSurvivable, type Survival } from './seccomp/survive.ts'

export interface CompiledSeccomp {
  /** struct sock_filter[], little endian. */
  readonly program: Uint8Array
  /** For seccomp(2). */
  readonly flags: number
  /** Calls are put to the listener: `flags` ask for its descriptor. */
  readonly notifies: boolean
  /** What of the profile has no effect here, one line each. */
  readonly warnings: readonly string[]
}

const SECTION = '/linux/seccomp'

const FLAGS: Readonly<Record<SeccompFlag, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1 << 0,
  SECCOMP_FILTER_FLAG_LOG: 1 << 1,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 1 << 2,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 1 << 5,
}

const NEW_LISTENER = 1 << 3
/** Without it the kernel can't tell an error of TSYNC from the number of the listener's descriptor, and refuses the two together. */
const TSYNC_ESRCH = 1 << 4

/** What this compiler takes, by name (`features`). */
export const SECCOMP_ACTIONS = Object.keys(ACTION_VALUES) as readonly SeccompAction[]
export const SECCOMP_OPERATORS = Object.keys(OPERATORS) as readonly SeccompOperator[]
export const SECCOMP_ARCHES = Object.keys(ABIS) as readonly SeccompArch[]
export const SECCOMP_FLAGS = Object.keys(FLAGS) as readonly SeccompFlag[]

const RET_ENOSYS = RET.errno | ENOSYS

/** Compiles the profile for a machine; a pure function. Throws BerthError with a pointer into config.json. */
export const compileSeccomp = (seccomp: Seccomp, { arch }: { readonly arch: Machine }): CompiledSeccomp =>
  rememberedFilter(`${arch} ${JSON.stringify(seccomp, withBigInts)}`, seccomp, arch)

const withBigInts = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value)

/** Engines give most containers the same profile. */
const rememberedFilter = remembered<CompiledSeccomp, [Seccomp, Machine]>(16, (_, seccomp, arch) =>
  compile(seccomp, arch),
)

function compile(seccomp: Seccomp, arch: Machine): CompiledSeccomp {
  const warnings: string[] = []
  const notifies = asksListener(seccomp)
  const otherwise = actionValue(seccomp.defaultAction, seccomp.defaultErrnoRet)
  const abis = abisOf(seccomp, arch, warnings)
  const filters = abis.map((abi) => collect(seccomp, abi, otherwise, warnings))
  warnAboutUnknown(seccomp, warnings)

  const program = assemble(filters, otherwise)
  const count = program.length / INSTRUCTION
  if (count > MAX_INSTRUCTIONS) {
    throw new BerthError(
      'invalid',
      `seccomp: the profile takes ${count} instructions, and the kernel at most ${MAX_INSTRUCTIONS}`,
      { pointer: SECTION },
    )
  }
  return { program, flags: flagsOf(seccomp, notifies, warnings), notifies, warnings }
}

/** A name that no table has: skipped, as runc does, since profiles name calls of kernels to come. */
function warnAboutUnknown({ syscalls = [] }: Seccomp, warnings: string[]): void {
  const tables = Object.values(ABIS).map(({ table }) => table())
  const unknown = new Set(
    syscalls
      .flatMap(({ names }) => names)
      .filter((name) => !FOREIGN.has(name) && !tables.some((table) => table.has(name))),
  )
  if (unknown.size > 0) warnings.push(`seccomp: unknown system calls are skipped: ${[...unknown].join(', ')}`)
}

/** Where the profile says SCMP_ACT_NOTIFY. One filter has one listener, whatever the number of such rules. */
function asksListener({ defaultAction, listenerPath, syscalls = [] }: Seccomp): boolean {
  const rule = syscalls.findIndex(({ action }) => action === 'SCMP_ACT_NOTIFY')
  if (defaultAction !== 'SCMP_ACT_NOTIFY' && rule < 0) return false
  if (listenerPath) return true
  throw new BerthError('invalid', 'linux.seccomp: SCMP_ACT_NOTIFY needs listenerPath', {
    pointer: defaultAction === 'SCMP_ACT_NOTIFY' ? `${SECTION}/defaultAction` : `${SECTION}/syscalls/${rule}/action`,
  })
}

function flagsOf({ flags = [] }: Seccomp, notifies: boolean, warnings: string[]): number {
  let value = notifies ? NEW_LISTENER : 0
  for (const [index, flag] of flags.entries()) {
    const bit = FLAGS[flag]
    if (bit === undefined) {
      throw new BerthError('unsupported', `seccomp: unknown flag "${flag}"`, { pointer: `${SECTION}/flags/${index}` })
    }
    // The kernel takes it together with a listener only (kernel/seccomp.c, seccomp_set_mode_filter).
    if (flag === 'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV' && !notifies) {
      warnings.push(`seccomp: ${flag} has no effect without SCMP_ACT_NOTIFY`)
    } else {
      value |= flag === 'SECCOMP_FILTER_FLAG_TSYNC' && notifies ? bit | TSYNC_ESRCH : bit
    }
  }
  return value
}

/** The machine's own ABI, always, and those of the profile. */
function abisOf({ architectures = [] }: Seccomp, machine: Machine, warnings: string[]): Abi[] {
  const names = new Set<SeccompArch>([NATIVE[machine], ...architectures])
  const without = [...names].filter((name) => ABIS[name] === undefined)
  if (without.length > 0) warnings.push(`seccomp: calls of ${without.join(', ')} are killed: no table of them`)
  return [...names].flatMap((name) => ABIS[name] ?? [])
}

interface AbiFilter {
  readonly abi: Abi
  readonly verdicts: ReadonlyMap<number, Verdict>
  /** Largest number that the profile names, without the ABI's base; none where it names no call of this ABI. */
  readonly newest: number | undefined
}

/** The profile's rules for one ABI. */
function collect({ syscalls = [] }: Seccomp, abi: Abi, otherwise: number, warnings: string[]): AbiFilter {
  const table = abi.table()
  const calls = new Map<number, SyscallRules>()
  const multiplexed = new MultiplexedRules(abi, otherwise)
  const dropped = new Set<string>()
  let newest: number | undefined

  const add = (number: number, rule: Rule) => {
    const rules = calls.get(number) ?? new SyscallRules(abi.bits)
    calls.set(number, rules)
    if (!rules.add(rule)) dropped.add(rule.name)
  }

  for (const [index, syscall] of syscalls.entries()) {
    const pointer = `${SECTION}/syscalls/${index}`
    const action = actionValue(syscall.action, syscall.errnoRet)
    const alternatives = conditionsOf(syscall, abi.bits, pointer)
    for (const name of syscall.names) {
      const number = table.get(name)
      if (number !== undefined && number < PRIVATE_CALLS) newest = Math.max(newest ?? 0, number)
      // runc leaves such rules out: libseccomp refuses them.
      if (action === otherwise) continue
      for (const conditions of alternatives) {
        const rule = { action, conditions, name, pointer }
        if (number !== undefined) add(abi.base + number, rule)
        multiplexed.add(rule)
      }
    }
  }
  for (const { number, rule } of multiplexed.rules()) add(number, rule)
  const verdicts = new Map([...calls].map(([number, rules]) => [number, rules.verdict()]))

  if (dropped.size > 0) {
    warnings.push(`seccomp: ${abi.name}: other rules take precedence over rules for: ${[...dropped].join(', ')}`)
  }
  const unchecked = multiplexed.unchecked.filter(([number]) => !isAction(verdicts.get(number) ?? []))
  if (unchecked.length > 0) {
    const names = new Set(unchecked.map(([, name]) => name))
    warnings.push(
      `seccomp: ${abi.name}: conditions can't be checked in socketcall and ipc, so calls made by these are refused: ${[...names].join(', ')}`,
    )
  }
  return { abi, verdicts, newest }
}

/**
 * The conditions of a rule: lists of which one has to hold whole. There is more than one where an argument has two conditions: runc then
 * takes every condition of the rule for a rule of its own, and profiles rely on it.
 */
function conditionsOf({ args = [] }: SeccompSyscall, bits: 32 | 64, pointer: string): Condition[][] {
  const width = bits === 64 ? ALL_BITS : 0xffffffffn
  const conditions: (Condition | undefined)[] = args.map(({ index, op, value, valueTwo }, i) => {
    if (!Number.isInteger(index) || index < 0 || index > 5) {
      throw new BerthError('invalid', `seccomp: no argument ${index}: they are 0 to 5`, {
        pointer: `${pointer}/args/${i}/index`,
      })
    }
    if (op !== 'SCMP_CMP_MASKED_EQ') return { index, op, value: value & width, mask: width }
    const mask = value & width
    // No bit counts: always true. Bits outside of the mask do not count in the value either.
    return mask === 0n ? undefined : { index, op, value: valueTwo & mask, mask }
  })
  const alternatives =
    new Set(args.map(({ index }) => index)).size < args.length
      ? conditions.map((condition) => [condition])
      : [conditions]
  return alternatives.map((list) =>
    list.filter((condition) => condition !== undefined).sort((a, b) => a.index - b.index),
  )
}

const MAX_NUMBER = 0xffffffff

/** Whether calls that the profile's author could not know meet the default action, rather than ENOSYS. */
const letsThrough = (action: number): boolean =>
  [RET.allow, RET.log, RET.trace, RET.notify].some((ret) => ret === actionOf(action))

function assemble(filters: readonly AbiFilter[], otherwise: number): Uint8Array {
  const asm = new Assembler()
  const blocks = new Map<string, Label>()
  const targetOf = (verdict: Verdict, bits: 32 | 64): Target => {
    if (isAction(verdict)) return { action: verdict }
    const key = blockKey(verdict, bits)
    const block = blocks.get(key) ?? emitRules(asm, verdict, bits, otherwise)
    blocks.set(key, block)
    return { block }
  }

  const sections: { readonly audit: number; readonly start: Label }[] = []
  for (const audit of new Set(filters.map(({ abi }) => abi.audit))) {
    const segments: Segment[] = []
    let next = 0
    const put = (first: number, target: Target) => {
      segments.push({ first, target })
    }
    for (const { abi, verdicts, newest } of filters
      .filter((filter) => filter.abi.audit === audit)
      .sort((a, b) => a.abi.base - b.abi.base)) {
      if (next < abi.base) put(next, { action: RET.killThread })
      put(abi.base, { action: otherwise })
      const unknown = newest === undefined || letsThrough(otherwise) ? undefined : abi.base + newest + 1
      let hidden = unknown
      for (const [number, verdict] of [...verdicts].sort(([a], [b]) => a - b)) {
        if (hidden !== undefined && number >= hidden) {
          put(hidden, { action: RET_ENOSYS })
          hidden = undefined
        }
        put(number, targetOf(verdict, abi.bits))
        put(number + 1, { action: unknown !== undefined && number >= unknown ? RET_ENOSYS : otherwise })
      }
      if (hidden !== undefined) put(hidden, { action: RET_ENOSYS })
      next = abi.last + 1
    }
    if (next < MAX_NUMBER) put(next, { action: RET.killThread })
    put(MAX_NUMBER, { action: otherwise })
    const search = emitSearch(asm, joinSegments(withoutEmpty(segments)))
    sections.push({ audit, start: asm.load(DATA.nr, 0xffffffff, search) })
  }
  let entry = asm.ret(RET.killThread)
  for (const { audit, start } of sections.reverse()) entry = asm.test(BPF.jeq, audit, start, entry)
  asm.load(DATA.arch, 0xffffffff, entry)
  return asm.program()
}

/** Leaves out segments that the next one starts on top of. */
const withoutEmpty = (segments: readonly Segment[]): Segment[] =>
  segments.filter((segment, i) => segments[i + 1]?.first !== segment.first)
