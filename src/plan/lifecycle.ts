/** The plans that are made at create and run later: start, and what follows the container's end. */

import type { Spec } from '../spec/types.ts'
import { planHooks } from './hooks.ts'
import { OP_FLAGS, type Op, type Plan, type Template } from './ops.ts'
import { resume } from './terminal.ts'

export { freezePlan, freezerDir } from './cgroups.ts'

/** Lets the parked init go. A failed poststart hook is an error (1.3): the caller then stops the container. */
export const startPlan = (spec: Spec, id: string, bundle: string, key: string): Plan => [
  resume(key, 'exec', '/process/args'),
  ...planHooks(spec, 'poststart', id, bundle),
]

/** After the container is gone: each hook runs, whatever became of those before it. */
export const poststopPlan = (spec: Spec, id: string, bundle: string): Plan =>
  planHooks(spec, 'poststop', id, bundle, OP_FLAGS.keepGoing)

/** What a plan's holes stand for, for a plan that runs apart from the one that cloned the process. */
export interface HoleValues {
  readonly pid: number
  readonly startTime: bigint
}

const fillTemplate = (template: Template, values: HoleValues): Template =>
  template.map((part) => {
    if (typeof part === 'string' || part instanceof Uint8Array) return part
    return part.hole === 'pid' ? String(values.pid) : part.hole === 'startTime' ? String(values.startTime) : part
  })

/** The plan with the process known; the time stays open until it runs. */
export const fillHoles = (plan: Plan, values: HoleValues): Plan =>
  plan.map((op): Op => {
    if (op.op === 'hook') return { ...op, input: fillTemplate(op.input, values) }
    if (op.op === 'write') return { ...op, data: fillTemplate(op.data, values) }
    return op
  })

/** The plan with more that is done while the init makes its root, where there is such a time. */
export const meanwhile = (create: Plan, more: Plan): Plan => {
  const go = create.findLastIndex(({ op }) => op === 'go')
  return go < 0 ? [...create, ...more] : create.toSpliced(go + 1, 0, ...more)
}
