/** Compiles mutated configurations: each ends in plans, or in an error that says where. Nothing is executed. */

import { BerthError } from '../../src/errors.ts'
import { compileCreate } from '../../src/plan/create.ts'
import { encodePlan } from '../../src/plan/encode.ts'
import { loadSpec } from '../../src/spec/load.ts'
import { facts, input, layout } from '../unit/plan-fixture.ts'
import { mutation } from './mutate.ts'

const HOSTS = (['hybrid', 'unified', 'legacy'] as const).map((mode) =>
  facts({ cgroup: layout(mode), resctrl: '/sys/fs/resctrl' }),
)

/** What became of a case; throws what is no BerthError of a kind that is meant for configurations. */
export const compileMutation = (number: number): 'planned' | 'refused' => {
  const { text } = mutation(number)
  const host = HOSTS[number % HOSTS.length] as (typeof HOSTS)[number]
  try {
    const { spec } = loadSpec(text, 'config.json', { runnable: true })
    const compiled = compileCreate(input(spec, { facts: host }))
    for (const plan of [compiled.create, compiled.start, compiled.undo, compiled.poststop]) encodePlan(plan)
    return 'planned'
  } catch (error) {
    if (error instanceof BerthError && (error.kind === 'invalid' || error.kind === 'unsupported')) return 'refused'
    throw new Error(`case ${number}: ${error instanceof Error ? error.stack : error}\n${text.slice(0, 2000)}`, {
      cause: error,
    })
  }
}
