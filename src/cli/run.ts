/** `berth run` */

import { startAndWait } from '../container/run.ts'
import { BerthError } from '../errors.ts'
import { CREATE_FLAGS, create } from './create.ts'
import { COMMAND_FLAGS, commandId, commandWish, finishLayers } from './host-command.ts'
import type { Context, Verb } from './verb.ts'

/** What makes no sense of a command on the host's root. */
const OF_BUNDLES = ['bundle', 'console-socket', 'detach', 'no-pivot']
const OF_COMMANDS = Object.keys(COMMAND_FLAGS)

export const verb: Verb = {
  usage: 'ID (or -- COMMAND [ARGUMENT...])',
  flags: {
    ...CREATE_FLAGS,
    policy: { type: 'string', describe: 'file of a policy that holds too' },
    detach: { type: 'boolean', alias: 'd', describe: 'do not wait for the container' },
    keep: { type: 'boolean', describe: 'keep the container after its end' },
    'no-subreaper': { type: 'boolean', describe: 'accepted for compatibility' },
    ...COMMAND_FLAGS,
  },
  args: [1, 1],
  command: true,
  run: async (context) => {
    const isCommand = context.command !== undefined
    for (const name of isCommand ? OF_BUNDLES : OF_COMMANDS)
      if (context.given(name))
        throw new BerthError('usage', `--${name}: is for ${isCommand ? 'bundles' : 'commands (-- COMMAND)'} only`)
    return isCommand ? runCommand(context) : runBundle(context)
  },
}

const runBundle = async (context: Context) => {
  const detach = context.flag('detach')
  const created = await create(context, detach, { policy: context.path('policy') })
  context.notes.push(...created.warnings)
  context.warnings.push(...created.gaps)
  const exitCode = await startAndWait(context.step, context.request, created, detach)
  if (detach) return {}
  if (context.flag('keep')) return { exitCode }
  const silent = [...context.notes, ...context.warnings].length === 0
  context.warnings.push(...(await created.remove(silent ? { exitCode, stdout: '', stderr: '' } : undefined)))
  return { exitCode }
}

const runCommand = async (context: Context) => {
  const command = commandWish(context)
  const id = await commandId(context)
  const created = await create(context, false, { id, command, policy: context.path('policy') })
  context.notes.push(...created.warnings)
  context.warnings.push(...created.gaps)
  const exitCode = await startAndWait(context.step, context.request, created, false)
  return { exitCode, ...(await finishLayers(context, created, exitCode)) }
}
