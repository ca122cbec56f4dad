/** `berth delete` */

import { deleteContainer } from '../container/delete.ts'
import { inspectAll, notFound } from '../container/inspect.ts'
import { checkId } from '../spec/id.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: 'ID',
  flags: { force: { type: 'boolean', alias: 'f', describe: 'whatever state it is in; not there at all is no error' } },
  args: [1, 1],
  run: async (context) => {
    const { step, globals, first } = context
    const force = context.flag('force')
    const id = checkId(first)
    const [container] = await inspectAll(step, globals.root, [id], { tolerant: force })
    if (container !== undefined) context.warnings.push(...(await deleteContainer(step, container, force)))
    else if (!force) throw notFound(id)
    return {}
  },
}
