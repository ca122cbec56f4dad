/** `berth commit`: what a command that was kept has changed, applied to the host. */

import { commitLayers, describeChanges, dryRunText, scanLayers } from '../container/commit.ts'
import { deleteContainer } from '../container/delete.ts'
import { need } from '../container/inspect.ts'
import { commitLock } from '../container/layout.ts'
import { BerthError } from '../errors.ts'
import { checkId } from '../spec/id.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: 'ID',
  flags: { 'dry-run': { type: 'boolean', describe: 'only tell what was changed' } },
  args: [1, 1],
  run: async (context) => {
    const { step, globals, request, first } = context
    const { id, paths, state, status } = await need(step, globals.root, checkId(first))
    if (state.layers === undefined)
      throw new BerthError('state', `"${id}" is no command on the host's root, and has nothing to apply`)
    if (status !== 'stopped')
      throw new BerthError('state', `cannot apply the changes of a command that still runs: "${id}"`)
    const layers = await scanLayers(step, state.layers)
    if (context.flag('dry-run')) return { stderr: dryRunText(describeChanges(layers)) }
    await commitLayers(step, commitLock(request.runDir), layers)
    context.warnings.push(...(await deleteContainer(step, { id, paths, state, status }, true)))
    return {}
  },
}
