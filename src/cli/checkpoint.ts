/** `berth checkpoint` */

import { checkpointContainer } from '../container/checkpoint.ts'
import { deleteContainer } from '../container/delete.ts'
import { need } from '../container/inspect.ts'
import { checkId } from '../spec/id.ts'
import { CRIU_FLAGS, criuOptions, imagePath, workPath } from './criu-flags.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: 'ID',
  flags: {
    ...CRIU_FLAGS,
    'parent-path': { type: 'string', describe: 'images of an earlier checkpoint, relative to --image-path' },
    'leave-running': { type: 'boolean', describe: 'the container goes on' },
    'pre-dump': { type: 'boolean', describe: 'memory only, for a checkpoint that comes later' },
    'page-server': { type: 'string', describe: 'not supported' },
    'status-fd': { type: 'string', describe: 'not supported' },
  },
  args: [1, 1],
  run: async (context) => {
    const { step, globals, first } = context
    const options = criuOptions(context)
    const container = await need(step, globals.root, checkId(first))
    const preDump = context.flag('pre-dump')
    const leaveRunning = preDump || context.flag('leave-running')
    await checkpointContainer(step, container, {
      criu: globals.criu,
      nodeConfig: globals.nodeConfig,
      images: imagePath(context),
      work: workPath(context, container.paths.dir),
      options: { ...options, leaveRunning, preDump, parent: context.text('parent-path') },
    })
    // As with runc: a container that does not go on is gone.
    if (!leaveRunning) context.warnings.push(...(await deleteContainer(step, container, true)))
    return {}
  },
}
