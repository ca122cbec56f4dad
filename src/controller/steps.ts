/** The steps of one request: sent to the agent, settled by its outcomes. */

import { BerthError } from '../errors.ts'
import { decodeOutcome, encodePlan } from '../plan/encode.ts'
import type { Plan } from '../plan/ops.ts'
import { stepError } from './failure.ts'
import { resultsOf } from './results.ts'
import type { Results, RunStep } from './types.ts'

/** What a plan failed of that was run before anybody asked a controller. */
export const attemptError = (plan: Plan, data: Uint8Array): BerthError => {
  const { error } = decodeOutcome(data)
  return error === undefined
    ? new BerthError('internal', 'a plan that was done is said to have failed')
    : stepError(plan, error)
}

type SendStep = (name: string, plan: Uint8Array, whenDone?: Uint8Array) => void

interface Pending {
  readonly plan: Plan
  readonly resolve: (results: Results) => void
  readonly reject: (error: unknown) => void
}

/**
 * Runs steps for a handler. When the connection ends, this is dropped with everything that waits in it: the handler is abandoned in the
 * middle, never told, and collected as garbage; another controller runs it again from its top.
 */
export class Steps {
  readonly #pending = new Map<string, Pending>()
  readonly #send: SendStep

  constructor(send: SendStep) {
    this.#send = send
  }

  readonly run: RunStep<Uint8Array> = (name, plan, whenDone) =>
    new Promise((resolve, reject) => {
      // Outcomes carry a step's name only, so two of one name at a time could not be told apart.
      if (this.#pending.has(name)) throw new BerthError('internal', `step "${name}" is still running`)
      const encoded = encodePlan(plan)
      this.#pending.set(name, { plan, resolve, reject })
      this.#send(name, encoded, whenDone)
    })

  /** Settles a step; an outcome that nothing waits for is ignored. */
  settle(name: string, data: Uint8Array): void {
    const pending = this.#pending.get(name)
    if (pending === undefined) return
    this.#pending.delete(name)
    try {
      const outcome = decodeOutcome(data)
      if (outcome.error === undefined) pending.resolve(resultsOf(outcome))
      else pending.reject(stepError(pending.plan, outcome.error))
    } catch (error) {
      pending.reject(new BerthError('internal', `step "${name}": malformed outcome`, { cause: error }))
    }
  }
}
