/** `berth inspect`: the policies of a container, as written and as enforced, and what they have refused. */

import { asItIs } from '../container/addresses.ts'
import { denialsOf } from '../container/denials.ts'
import { see } from '../container/seen.ts'
import { enforcedBy } from '../policy/protections.ts'
import { listGaps, listRules } from '../policy/rules.ts'
import { stringifyJson } from '../spec/json.ts'
import { renderRules } from './policy.ts'
import { table } from './table.ts'
import type { Verb } from './verb.ts'
import { NAMESPACE_FLAG, wanted } from './wanted.ts'

export const verb: Verb = {
  usage: 'ID',
  flags: { json: { type: 'boolean', describe: 'for programs' }, ...NAMESPACE_FLAG },
  args: [1, 1],
  run: async (context) => {
    const { step } = context
    const seen = await see(step, wanted(context))
    const { id, namespace } = seen
    const confinement = await asItIs(step, seen)
    const { denied, unknown } = await denialsOf(step, seen)
    if (context.flag('json')) {
      const { policies, addresses } = confinement
      const whose = { id, ...(namespace === undefined ? {} : { namespace }) }
      const told = { policies, ...(addresses ? { addresses } : {}), enforced: enforcedBy(confinement), denied }
      return { stdout: `${stringifyJson({ ...whose, ...told, ...(unknown.length > 0 ? { unknown } : {}) })}\n` }
    }
    const rows = denied.map(({ rule, value = '', denied: count, from }) => [String(count), rule, value, from])
    const counts = rows.length === 0 ? '' : `\n${table([['DENIED', 'RULE', 'VALUE', 'FROM'], ...rows])}`
    const gone = unknown.map((what) => `\nnot known any more: ${what}\n`).join('')
    return { stdout: renderRules(listRules(confinement), listGaps(confinement)) + counts + gone }
  },
}
