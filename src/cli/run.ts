/** `berth run` */

import { deleteContainer } from '../container/delete.ts'
import { notifyPlan } from '../container/notify.ts'
import { startContainer } from '../container/start.ts'
import { awaitProcess } from '../container/wait.ts'
import { CREATE_FLAGS, create } from './create.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: 'ID',
  flags: {
    ...CREATE_FLAGS,
    detach: { type: 'boolean', alias: 'd', describe: 'do not wait for the container' },
    keep: { type: 'boolean', describe: 'keep the container after its end' },
    'no-subreaper': { type: 'boolean', describe: 'accepted for compatibility' },
  },
  args: [1, 1],
  run: async (context) => {
    const { step } = context
    const detach = context.flag('detach')
    const { paths, state, compiled, spec, warnings } = await create(context, detach)
    context.notes.push(...warnings)
    const remove = () => deleteContainer(step, { id: state.id, paths, state, status: 'running' }, true)
    try {
      const around = await notifyPlan(step, context.request, paths, state, detach)
      await startContainer(step, paths, state, compiled.start, { around })
    } catch (error) {
      await remove()
      throw error
    }
    if (detach) return {}
    const exitCode = await awaitProcess(step, state.init, spec.process?.terminal ?? false)
    if (!context.flag('keep')) context.warnings.push(...(await remove()))
    return { exitCode }
  },
}
