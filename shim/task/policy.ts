/** A task's policies, as they were at Create: a file beside its undo plan, as the record travels with every commit and they can be long. */

import { join } from 'node:path'
import type { RunStep } from '../../src/controller/types.ts'
import { BerthError } from '../../src/errors.ts'
import { type Op, WRITE_FLAGS } from '../../src/plan/ops.ts'
import type { Confinement } from '../../src/policy/types.ts'
import type { Env } from './call.ts'
import type { Task } from './record.ts'

const MAX = 16 << 20

const policyFile = (env: Env, id: string): string => join(env.stateDir, id, 'policy.json')

export const keepPolicies = (env: Env, id: string, confinement: Confinement | undefined): Op[] =>
  confinement === undefined
    ? []
    : [
        {
          op: 'write',
          path: policyFile(env, id),
          data: [JSON.stringify(confinement)],
          flags: WRITE_FLAGS.create | WRITE_FLAGS.truncate,
          mode: 0o600,
        },
      ]

export const keptPolicies = async (
  env: Env,
  id: string,
  { confined }: Task,
  step: RunStep,
): Promise<Confinement | undefined> => {
  if (!confined) return undefined
  const path = policyFile(env, id)
  const text = (await step('policies', [{ op: 'read', path, max: MAX, flags: 0 }])).text(0)
  if (text === undefined) throw new BerthError('internal', `no result for ${path}`)
  return JSON.parse(text) as Confinement
}
