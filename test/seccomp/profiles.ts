/** Profiles for the seccomp tests: fixtures, random ones, and what they mean by the letter of the specification. */

import { readFileSync } from 'node:fs'
import { ABIS, type Abi } from '../../src/plan/seccomp/abis.ts'
import { actionValue } from '../../src/plan/seccomp/actions.ts'
import type { Seccomp, SeccompAction, SeccompArch, SeccompArg, SeccompOperator } from '../../src/spec/types.ts'

interface JsonProfile {
  readonly defaultAction: SeccompAction
  readonly defaultErrnoRet?: number
  readonly architectures: readonly SeccompArch[]
  readonly syscalls: readonly {
    readonly names: readonly string[]
    readonly action: SeccompAction
    readonly errnoRet?: number
    readonly args?: readonly { index: number; value: number; valueTwo?: number; op: SeccompOperator }[]
  }[]
}

export function fixture(name: 'docker' | 'podman'): Seccomp {
  const text = readFileSync(new URL(`../fixtures/${name}-seccomp.json`, import.meta.url), 'utf8')
  const profile = JSON.parse(text) as JsonProfile
  return {
    ...profile,
    syscalls: profile.syscalls.map(({ args, ...rest }) => ({
      ...rest,
      ...(args && {
        args: args.map((arg) => ({ ...arg, value: BigInt(arg.value), valueTwo: BigInt(arg.valueTwo ?? 0) })),
      }),
    })),
  }
}

/** A small generator with a seed (mulberry32), so that a failure can be had again. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  below(limit: number): number {
    return this.next() % limit
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  u64(): bigint {
    return (BigInt(this.next()) << 32n) | BigInt(this.next())
  }
}

const OPERATORS: readonly SeccompOperator[] = [
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
]

const VALUES = [
  0n,
  1n,
  5n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  1n << 32n,
  (1n << 32n) + 5n,
  1n << 63n,
  (1n << 64n) - 1n,
]

/** Known to libseccomp 2.5 in all ABIs of x86, directly or by way of a multiplexer. */
export const NAMES = ['read', 'personality', 'clone', 'ioctl', 'socket', 'shmat', 'mprotect', 'keyctl']

export interface RandomOptions {
  readonly maxArgs: number
  readonly actions: readonly SeccompAction[]
  readonly operators?: readonly SeccompOperator[]
  /** Fewer names make more rules meet. */
  readonly names?: readonly string[]
}

export function randomProfile(random: Random, options: RandomOptions): Seccomp {
  const names = options.names ?? NAMES
  const value = () => (random.below(4) === 0 ? random.u64() : random.pick(VALUES))
  const arg = (index: number): SeccompArg => ({
    index,
    op: random.pick(options.operators ?? OPERATORS),
    value: value(),
    valueTwo: value(),
  })
  const action = () => {
    const name = random.pick(options.actions)
    return name === 'SCMP_ACT_ERRNO' ? { action: name, errnoRet: 1 + random.below(2) } : { action: name }
  }
  const args = () => {
    const indices = [0, 1, 2, 5].filter(() => random.below(2) === 0).slice(0, options.maxArgs)
    const [first] = indices
    if (first !== undefined && random.below(8) === 0) indices.push(first)
    return indices.length === 0 ? {} : { args: indices.map(arg) }
  }
  const defaults = action()
  return {
    defaultAction: defaults.action,
    ...(defaults.errnoRet !== undefined && { defaultErrnoRet: defaults.errnoRet }),
    architectures: (['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'] as const).filter(() => random.below(3) > 0),
    syscalls: Array.from({ length: 1 + random.below(6) }, () => ({
      names: random.below(3) === 0 ? [random.pick(names), random.pick(names)] : [random.pick(names)],
      ...action(),
      ...args(),
    })),
  }
}

/** Arguments around the values of the profile's conditions, and some others. */
export function argumentsFor(profile: Seccomp, random: Random, count: number): bigint[][] {
  const near = new Set<bigint>([0n, 0xffffffffn, (1n << 64n) - 1n])
  for (const { args = [] } of profile.syscalls ?? []) {
    for (const { op, value, valueTwo } of args) {
      for (const centre of op === 'SCMP_CMP_MASKED_EQ' ? [valueTwo, value & valueTwo] : [value]) {
        for (const far of [0n, 1n << 32n]) {
          for (const step of [-1n, 0n, 1n]) near.add(BigInt.asUintN(64, centre + far + step))
        }
      }
    }
  }
  const values = [...near]
  return Array.from({ length: count }, () =>
    Array.from({ length: 6 }, () => (random.below(4) === 0 ? random.u64() : random.pick(values))),
  )
}

function holds({ op, value, valueTwo }: SeccompArg, argument: bigint, bits: 32 | 64): boolean {
  const [a, b] = [BigInt.asUintN(bits, argument), BigInt.asUintN(bits, value)]
  switch (op) {
    case 'SCMP_CMP_NE':
      return a !== b
    case 'SCMP_CMP_LT':
      return a < b
    case 'SCMP_CMP_LE':
      return a <= b
    case 'SCMP_CMP_EQ':
      return a === b
    case 'SCMP_CMP_GE':
      return a >= b
    case 'SCMP_CMP_GT':
      return a > b
    case 'SCMP_CMP_MASKED_EQ':
      return (a & b) === (BigInt.asUintN(bits, valueTwo) & b)
  }
}

/**
 * What the profile says of a call, one rule at a time: the actions of all rules that match. More than one where rules overlap, which is
 * decided by precedence.
 */
export function actionsFor(profile: Seccomp, abi: Abi, name: string, args: readonly bigint[]): Set<number> {
  const otherwise = actionValue(profile.defaultAction, profile.defaultErrnoRet)
  const rules = (profile.syscalls ?? [])
    .filter(({ names }) => names.includes(name))
    .map((rule) => ({ ...rule, value: actionValue(rule.action, rule.errnoRet) }))
    .filter(({ value }) => value !== otherwise)
  const always = rules.find((rule) => (rule.args ?? []).every((arg) => isTrivial(arg, abi.bits)) && !isSplit(rule.args))
  if (always) return new Set([always.value])
  const matching = rules.filter(({ args: conditions = [] }) =>
    isSplit(conditions)
      ? conditions.some((arg) => holds(arg, args[arg.index] ?? 0n, abi.bits))
      : conditions.every((arg) => holds(arg, args[arg.index] ?? 0n, abi.bits)),
  )
  return new Set(matching.length === 0 ? [otherwise] : matching.map(({ value }) => value))
}

const isTrivial = ({ op, value }: SeccompArg, bits: 32 | 64): boolean =>
  op === 'SCMP_CMP_MASKED_EQ' && BigInt.asUintN(bits, value) === 0n

/** Whether an argument has more than one condition: each is then a rule of its own. */
const isSplit = (args: readonly SeccompArg[] = []): boolean =>
  new Set(args.map(({ index }) => index)).size < args.length

export const abi = (name: SeccompArch): Abi => {
  const found = ABIS[name]
  if (!found) throw new Error(`no table of ${name}`)
  return found
}

/** How many rules with conditions there are for a call. */
export const conditionalRules = (profile: Seccomp, name: string): number =>
  (profile.syscalls ?? []).reduce(
    (count, { names, args = [] }) =>
      args.length === 0 ? count : count + names.filter((n) => n === name).length * (isSplit(args) ? args.length : 1),
    0,
  )

/** The largest number of the ABI that the profile names; above it comes ENOSYS. */
export const newest = (profile: Seccomp, { table }: Abi): number =>
  Math.max(...(profile.syscalls ?? []).flatMap(({ names }) => names.map((name) => table().get(name) ?? -1)))
