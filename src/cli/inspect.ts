/** `berth inspect`: the policies of a container, as written and as enforced, and what they have refused. */

import { asItIs } from '../container/addresses.ts'
import { denialsOf } from '../container/denials.ts'
import { need } from '../container/inspect.ts'
import { enforcedBy } from '../policy/protections.ts'
import { listGaps, listRules } from '../policy/rules.ts'
import { checkId } from '../spec/id.ts'
import { stringifyJson } from '../spec/json.ts'
import { renderRules } from './policy.ts'
import { table } from './table.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: 'ID',
  flags: { json: { type: 'boolean', describe: 'for programs' } },
  args: [1, 1],
  run: async (context) => {
    const { step, globals, first } = context
    const { id, state, status } = await need(step, globals.root, checkId(first))
    const confinement = await asItIs(step, globals.root, state)
    // The programs go with the cgroup, which a container that has ended may have lost.
    const denied = status === 'stopped' ? [] : await denialsOf(step, globals.root, state)
    if (context.flag('json')) {
      const { policies, addresses } = confinement
      return {
        stdout: `${stringifyJson({ id, policies, ...(addresses ? { addresses } : {}), enforced: enforcedBy(confinement), denied })}\n`,
      }
    }
    const rows = denied.map(({ rule, value = '', denied: count, from }) => [String(count), rule, value, from])
    const counts = rows.length === 0 ? '' : `\n${table([['DENIED', 'RULE', 'VALUE', 'FROM'], ...rows])}`
    return { stdout: renderRules(listRules(confinement), listGaps(confinement)) + counts }
  },
}
