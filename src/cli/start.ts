/** `berth start` */

import { deleteContainer } from '../container/delete.ts'
import { notifyPlan } from '../container/notify.ts'
import { needCompiled } from '../container/recompile.ts'
import { checkStartable, startContainer } from '../container/start.ts'
import { BerthError } from '../errors.ts'
import { checkId } from '../spec/id.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: 'ID',
  flags: {},
  args: [1, 1],
  run: async ({ request, step, globals, first, warnings }) => {
    const { id, paths, state, status, recompiled } = await needCompiled(step, globals.root, checkId(first))
    const attempt = request.attempt.length > 0 ? request.attempt : undefined
    if (attempt === undefined) checkStartable(id, status)
    const { compiled, spec } = recompiled()
    const around = await notifyPlan(step, request, paths, state, true)
    try {
      await startContainer(step, paths, state, compiled.start, { around, attempt })
    } catch (error) {
      // What a failed hook leaves is to be destroyed (runtime.md, lifecycle); what could not be executed stays, stopped.
      if (error instanceof BerthError && error.pointer?.startsWith('/hooks/'))
        warnings.push(...(await deleteContainer(step, { id, paths, state, status: 'stopped' }, true)))
      throw error
    }
    if (spec.process === undefined) warnings.push('config.json has no process: nothing was run')
    return {}
  },
}
