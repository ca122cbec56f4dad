/**
 * socketcall(2) and ipc(2) of i386: one call that makes many, which a rule for one of the many has to cover too. Its first argument says
 * which; the arguments proper lie in memory, out of a filter's reach.
 */

import type { Abi } from './abis.ts'
import { isAsStrict } from './actions.ts'
import { ALL_BITS, type Rule } from './rules.ts'

/** SYS_* of linux/net.h, in order from 1. */
const SOCKET_CALLS = [
  ...['socket', 'bind', 'connect', 'listen', 'accept', 'getsockname', 'getpeername', 'socketpair', 'send', 'recv'],
  ...['sendto', 'recvfrom', 'shutdown', 'setsockopt', 'getsockopt', 'sendmsg', 'recvmsg', 'accept4', 'recvmmsg'],
  'sendmmsg',
]

/** linux/ipc.h */
const IPC_CALLS = {
  semop: 1,
  semget: 2,
  semctl: 3,
  semtimedop: 4,
  msgsnd: 11,
  msgrcv: 12,
  msgget: 13,
  msgctl: 14,
  shmat: 21,
  shmdt: 22,
  shmget: 23,
  shmctl: 24,
} as const

interface Call {
  readonly multiplexer: 'socketcall' | 'ipc'
  readonly call: number
}

const CALLS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ...SOCKET_CALLS.map((name, i) => [name, { multiplexer: 'socketcall', call: i + 1 }] as const),
  ...Object.entries(IPC_CALLS).map(([name, call]) => [name, { multiplexer: 'ipc', call }] as const),
])

interface Found {
  readonly number: number
  readonly call: number
  /** Of a rule without conditions; of the first one with conditions that can be applied without them. */
  plain?: Rule
  strict?: Rule
}

/**
 * Collects what rules mean for the multiplexers. A rule without conditions means the same there. One with conditions on arguments is
 * applied to every such call if its action is as strict as the default, and not at all otherwise. libseccomp drops the condition on the
 * first argument in both cases, and compares the others with what is in memory's place; by that, a profile which allows only some
 * kinds of sockets would allow all of them.
 */
export class MultiplexedRules {
  readonly #abi: Abi
  readonly #otherwise: number
  readonly #found = new Map<string, Found>()
  readonly #unchecked: [number, string][] = []

  constructor(abi: Abi, otherwise: number) {
    this.#abi = abi
    this.#otherwise = otherwise
  }

  add(rule: Rule): void {
    const entry = this.#abi.multiplexes ? CALLS.get(rule.name) : undefined
    const number = entry && this.#abi.table().get(entry.multiplexer)
    if (entry === undefined || number === undefined) return
    const found = this.#found.get(rule.name) ?? { number, call: entry.call }
    this.#found.set(rule.name, found)
    if (rule.conditions.length === 0) found.plain ??= rule
    else if (isAsStrict(rule.action, this.#otherwise)) found.strict ??= rule
    else this.#unchecked.push([number, rule.name])
  }

  /** Multiplexer's number and call, for calls that the profile allows only under conditions. */
  get unchecked(): readonly (readonly [number, string])[] {
    return this.#unchecked.filter(([, name]) => this.#found.get(name)?.plain === undefined)
  }

  *rules(): Iterable<{ readonly number: number; readonly rule: Rule }> {
    for (const { number, call, plain, strict } of this.#found.values()) {
      const rule = plain ?? strict
      if (rule === undefined) continue
      const condition = { index: 0, op: 'SCMP_CMP_EQ', value: BigInt(call), mask: ALL_BITS } as const
      yield { number, rule: { ...rule, conditions: [condition] } }
    }
  }
}
