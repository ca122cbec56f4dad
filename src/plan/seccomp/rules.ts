/**
 * Which of several rules for one system call decides. The order is libseccomp's (2.5), compared with it by the differential
 * test, because profiles are written against it:
 *
 * - A rule without conditions beats all rules with conditions, wherever it stands; of several such rules the first counts.
 * - Conditions are ordered by their argument. Rules are tried by their first condition: those on later arguments first; among those on the
 *   same argument EQ, NE and MASKED_EQ, then LT and LE (small values first), then GE and GT; larger values first. Rules that start with
 *   the same condition are ordered by the next.
 * - A rule whose conditions start with all those of an earlier rule is dropped. The other way round it replaces the earlier rules where
 *   all have its action, else the profile contradicts itself, which is an error.
 *
 * The order matters only where rules with different actions overlap. libseccomp keeps the two halves of a 64-bit argument, and what follows
 * LT, LE, GE or GT, in nodes that rules share, and gets some of such overlaps wrong (an action or a condition of one rule is then applied to
 * another); here each rule keeps its own conditions.
 */

import { BerthError } from '../../errors.ts'
import type { SeccompOperator } from '../../spec/types.ts'

/** A condition on an argument, with the values cut to the ABI's width. */
export interface Condition {
  readonly index: number
  readonly op: SeccompOperator
  readonly value: bigint
  /** Bits that count (MASKED_EQ). */
  readonly mask: bigint
}

export interface Rule {
  readonly action: number
  /** All must hold; by rising argument, at most one per argument. */
  readonly conditions: readonly Condition[]
  /** For messages. */
  readonly name: string
  readonly pointer: string
}

export const ALL_BITS = 0xffffffffffffffffn

/** What a call meets: an action, or rules to try in order (the default action where none holds). */
export type Verdict = number | readonly Rule[]

/** One 32-bit comparison on the way to a rule. */
interface Key {
  /** Argument times two, plus one for the upper half. */
  readonly part: number
  readonly kind: number
  /** Comparison as the machine makes it: NE is EQ with its branches swapped, LT is GE, LE is GT. */
  readonly compare: 'eq' | 'masked' | 'gt' | 'ge'
  readonly value: number
  readonly mask: number
  readonly branch: 'yes' | 'no'
}

interface Branch {
  rule?: Rule
  readonly nodes: Node[]
}

interface Node {
  readonly key: Key
  readonly yes: Branch
  readonly no: Branch
}

const EQUALITY = 3
const LESS = 2
const GREATER = 1

/** What a condition becomes. */
export const OPERATORS = {
  SCMP_CMP_EQ: { kind: EQUALITY, compare: 'eq', branch: 'yes' },
  SCMP_CMP_NE: { kind: EQUALITY, compare: 'eq', branch: 'no' },
  SCMP_CMP_MASKED_EQ: { kind: EQUALITY, compare: 'masked', branch: 'yes' },
  SCMP_CMP_LT: { kind: LESS, compare: 'ge', branch: 'no' },
  SCMP_CMP_LE: { kind: LESS, compare: 'gt', branch: 'no' },
  SCMP_CMP_GE: { kind: GREATER, compare: 'ge', branch: 'yes' },
  SCMP_CMP_GT: { kind: GREATER, compare: 'gt', branch: 'yes' },
} as const satisfies Record<SeccompOperator, Pick<Key, 'kind' | 'compare' | 'branch'>>

export const low = (value: bigint): number => Number(value & 0xffffffffn)
export const high = (value: bigint): number => Number((value >> 32n) & 0xffffffffn)

function keysOf(rule: Rule, bits: 32 | 64): Key[] {
  const keys: Key[] = []
  for (const { index, op, value, mask } of rule.conditions) {
    const { kind, compare, branch } = OPERATORS[op]
    if (bits === 64) {
      const upper = kind === EQUALITY ? compare : 'gt'
      keys.push({ part: index * 2 + 1, kind, compare: upper, value: high(value), mask: high(mask), branch: 'yes' })
    }
    keys.push({ part: index * 2, kind, compare, value: low(value), mask: low(mask), branch })
  }
  return keys
}

const same = (a: Key, b: Key): boolean =>
  a.part === b.part && a.compare === b.compare && a.value === b.value && a.mask === b.mask

/** Whether `a` is tried before `b` whichever came first. */
function precedes(a: Key, b: Key): boolean {
  if (a.part !== b.part) return a.part > b.part
  if (a.kind !== b.kind) return a.kind > b.kind
  return a.kind === LESS ? a.value < b.value : a.value > b.value
}

function nodeFor(nodes: Node[], key: Key): Node {
  let at = 0
  for (; at < nodes.length; at++) {
    const node = nodes[at] as Node
    if (same(node.key, key)) return node
    if (precedes(key, node.key)) break
  }
  const node: Node = { key, yes: { nodes: [] }, no: { nodes: [] } }
  nodes.splice(at, 0, node)
  return node
}

function* rulesIn(branch: Branch): Iterable<Rule> {
  if (branch.rule) yield branch.rule
  for (const { yes, no } of branch.nodes) {
    yield* rulesIn(yes)
    yield* rulesIn(no)
  }
}

/** The rules of one system call in one ABI. */
export class SyscallRules {
  readonly #bits: 32 | 64
  #action: number | undefined
  readonly #root: Branch = { nodes: [] }

  constructor(bits: 32 | 64) {
    this.#bits = bits
  }

  /** Returns whether the rule changes anything that the rules before it did not already say otherwise: false where it is dropped. */
  add(rule: Rule): boolean {
    if (this.#action !== undefined) return this.#action === rule.action
    let branch = this.#root
    for (const key of keysOf(rule, this.#bits)) {
      if (branch.rule) return branch.rule.action === rule.action
      branch = nodeFor(branch.nodes, key)[key.branch]
    }
    if (branch === this.#root) {
      this.#action = rule.action
      return true
    }
    for (const other of rulesIn(branch)) {
      if (other.action !== rule.action) {
        throw new BerthError(
          'invalid',
          `seccomp: two rules for "${rule.name}" contradict each other (see ${other.pointer})`,
          {
            pointer: rule.pointer,
          },
        )
      }
    }
    branch.rule = rule
    branch.nodes.length = 0
    return true
  }

  verdict(): Verdict {
    return this.#action ?? [...rulesIn(this.#root)]
  }
}
