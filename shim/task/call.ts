/** What the methods of the task service have in common. */

import type { Results, RunStep } from '../../src/controller/types.ts'
import type { Plan } from '../../src/plan/ops.ts'
import type { Events } from '../events.ts'
import type { Compiler } from './compile.ts'
import type { Known } from './known.ts'
import type { ShimRecord, Waiter } from './record.ts'

/** One shim as its methods see it: nothing here changes. */
export interface Env {
  readonly events: Events
  readonly compiler: Compiler
  /** containerd's, of all of this shim's containers. */
  readonly namespace: string
  /** Where this shim's containers have their directories. */
  readonly stateDir: string
  /** The monitor's, which is the shim's. */
  readonly pid: number
  /** Of the containers of all shims that this controller serves: known.ts. */
  readonly known: Map<string, Known>
  /** The record as it is now. */
  record(): ShimRecord
}

/** What a commit changes, as a method sees it. */
export interface Effect {
  /** The new record; left out where it does not change. */
  readonly record?: ShimRecord
  /** The answer of this request; a Wait that is parked has none. */
  readonly answer?: Uint8Array
  /** The answer is an error; the rest is applied all the same. */
  readonly error?: Error
  /** Parked Waits and their answers. */
  readonly settled?: readonly { readonly waiter: Waiter; readonly answer: Uint8Array }[]
  readonly events?: readonly Uint8Array[]
  /** Names of what the monitor keeps no longer. */
  readonly drops?: readonly string[]
  readonly leave?: boolean
}

/** Computes the effect from the record as it is at the moment of the commit; an error that it throws is the answer. */
export type Commit = (record: ShimRecord) => Effect

export interface Caller {
  readonly id: string
  readonly connection: string
  /** When the request came, in nanoseconds since the epoch. */
  readonly time: bigint
}

/** Runs a plan. `whenDone`: the answer once that is done without a failure, where it is known beforehand: the client has it then, and the method goes on. */
export type Step = RunStep<Uint8Array>

/** A method: runs steps, then says what to commit. An error that it throws is the answer. */
export type Method<R> = (env: Env, request: R, step: Step, caller: Caller) => Promise<Commit> | Commit

/** Runs a plan with the clock read at its end. */
export const timedStep = async <T = never>(
  step: RunStep<T>,
  name: string,
  plan: Plan,
  whenDone?: T,
): Promise<{ readonly results: Results; readonly time: bigint }> => {
  const results = await step(name, [...plan, { op: 'clock' }], whenDone)
  return { results, time: results.u64(plan.length) }
}
