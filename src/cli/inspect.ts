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
    const { id, namespace, status } = seen
    const confinement = await asItIs(step, seen)
    // The programs go with the cgroup, which a container that has ended may have lost.
    const denied = status === 'stopped' ? [] : await denialsOf(step, seen)
    if (context.flag('json')) {
      const { policies, addresses } = confinement
      return {
        stdout: `${stringifyJson({ id, ...(namespace === undefined ? {} : { namespace }), policies, ...(addresses ? { addresses } : {}), enforced: enforcedBy(confinement), denied })}\n`,
      }
    }
    const rows = denied.map(({ rule, value = '', denied: count, from }) => [String(count), rule, value, from])
    const counts = rows.length === 0 ? '' : `\n${table([['DENIED', 'RULE', 'VALUE', 'FROM'], ...rows])}`
    return { stdout: renderRules(listRules(confinement), listGaps(confinement)) + counts }
  },
}
