/** `berth restore` */

import { createContainer } from '../container/create.ts'
import { deleteContainer } from '../container/delete.ts'
import { containerPaths } from '../container/layout.ts'
import { awaitProcess } from '../container/wait.ts'
import { readImage } from '../criu/image.ts'
import { findCriu } from '../criu/program.ts'
import { checkId } from '../spec/id.ts'
import { announcement, CREATE_FLAGS, createFlags } from './create.ts'
import { CRIU_FLAGS, criuOptions, imagePath, workPath } from './criu-flags.ts'
import type { Context, Verb } from './verb.ts'

/** Descriptors and keyrings come from the checkpoint. */
const { 'preserve-fds': _fds, 'no-new-keyring': _keyring, ...MAKING_FLAGS } = CREATE_FLAGS

export const verb: Verb = {
  usage: 'ID',
  flags: {
    ...CRIU_FLAGS,
    ...MAKING_FLAGS,
    detach: { type: 'boolean', alias: 'd', describe: 'do not wait for the container' },
    'no-subreaper': { type: 'boolean', describe: 'accepted for compatibility' },
    'lsm-profile': { type: 'string', describe: 'apparmor:NAME or selinux:LABEL, in the place of what it had' },
    'lsm-mount-context': { type: 'string', describe: 'context of mounts, in the place of what they had' },
  },
  args: [1, 1],
  run: async (context) => {
    const { step } = context
    const { paths, state, warnings, gaps } = await restore(context)
    context.notes.push(...warnings)
    context.warnings.push(...gaps)
    if (context.flag('detach')) return {}
    const exitCode = await awaitProcess(step, state.init, false)
    const container = { id: state.id, paths, state, status: 'running' } as const
    context.warnings.push(...(await deleteContainer(step, container, true)))
    return { exitCode }
  },
}

const restore = async (context: Context) => {
  const { request, step, globals, first } = context
  const options = {
    ...criuOptions(context),
    lsmProfile: context.text('lsm-profile'),
    lsmMountContext: context.text('lsm-mount-context'),
  }
  const dir = containerPaths(globals.root, checkId(first)).dir
  return createContainer(request, step, {
    root: globals.root,
    id: first,
    bundle: context.path('bundle') ?? request.cwd,
    announcement: announcement(context),
    consoleSocket: context.path('console-socket'),
    detach: context.flag('detach'),
    flags: createFlags(context),
    nodeConfig: globals.nodeConfig,
    restore: async (node) => ({
      criu: await findCriu(step, globals.criu, node),
      image: await readImage(step, imagePath(context)),
      work: workPath(context, dir),
      options,
    }),
  })
}
