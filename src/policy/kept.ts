/** The policies of a shim's task, as they were at Create: a file beside its undo plan, as the record travels with every commit and they can be long. */

import { posix } from 'node:path'
import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { type Op, WRITE_FLAGS } from '../plan/ops.ts'
import type { Confinement } from './types.ts'

const MAX = 16 << 20

/** `dir`: the task's own. */
const policyFile = (dir: string): string => posix.join(dir, 'policy.json')

export const keepPolicies = (dir: string, confinement: Confinement | undefined): Op[] =>
  confinement === undefined
    ? []
    : [
        {
          op: 'write',
          path: policyFile(dir),
          data: [JSON.stringify(confinement)],
          flags: WRITE_FLAGS.create | WRITE_FLAGS.truncate,
          mode: 0o600,
        },
      ]

/** `confined`: whether the task's record says that it has any. */
export const keptPolicies = async (
  step: RunStep,
  dir: string,
  { confined }: { readonly confined?: boolean },
): Promise<Confinement | undefined> => {
  if (!confined) return undefined
  const path = policyFile(dir)
  const text = (await step('policies', [{ op: 'read', path, max: MAX, flags: 0 }])).text(0)
  if (text === undefined) throw new BerthError('internal', `no result for ${path}`)
  return JSON.parse(text) as Confinement
}
