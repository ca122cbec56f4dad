/** What `run` and `learn` share of commands on the host's root. */

import { commitLayers, describeChanges, dryRunText, scanLayers } from '../container/commit.ts'
import type { Created } from '../container/create.ts'
import type { CommandWish } from '../container/host-root.ts'
import { commitLock } from '../container/layout.ts'
import { BerthError } from '../errors.ts'
import type { Context, Flags } from './verb.ts'

export const WORKDIR_FLAG: Flags = {
  workdir: { type: 'string', describe: 'only this directory takes changes, all else is read-only' },
}

export const COMMAND_FLAGS: Flags = {
  ...WORKDIR_FLAG,
  network: {
    type: 'string',
    describe: "host, or none but a loopback device (default: the host's where --policy allows something of it)",
  },
  'dry-run': { type: 'boolean', describe: 'tell what the command has changed, and throw it away' },
  commit: { type: 'boolean', describe: 'apply what the command has changed to the host, if it ends with 0' },
  'commit-always': { type: 'boolean', describe: 'the same whatever it ends with' },
}

export const commandWish = (context: Context): CommandWish => {
  const args = context.command ?? []
  if (args.length === 0) throw new BerthError('usage', 'no command is given behind --')
  if (context.args.length > 0)
    throw new BerthError('usage', `unexpected argument ${JSON.stringify(context.first)} before --`)
  if (context.flag('dry-run') && (context.flag('commit') || context.flag('commit-always')))
    throw new BerthError('usage', '--dry-run and --commit exclude each other')
  const network = context.text('network')
  return {
    args,
    workdir: context.path('workdir'),
    network: network === undefined ? undefined : (context.choice('network', ['host', 'none'], '') as 'host' | 'none'),
  }
}

/** A container needs a name, and a command has none: that of its launcher, and the moment. */
export const commandId = async ({ step, request }: Context): Promise<string> => {
  const now = (await step('id', [{ op: 'clock' }])).u64(0)
  return `run-${request.pid}-${(now / 1_000_000n).toString(36)}`
}

/** Shows, applies or throws away what was changed. What could not be applied is kept. */
export const finishLayers = async (
  context: Context,
  { state, remove }: Created,
  exitCode: number,
): Promise<{ readonly stderr?: string }> => {
  const { step, request } = context
  const commits = context.flag('commit-always') || (context.flag('commit') && exitCode === 0)
  const shows = context.flag('dry-run')
  const layers = commits || shows ? await scanLayers(step, state.layers ?? []) : []
  if (commits)
    try {
      await commitLayers(step, commitLock(request.runDir), layers)
    } catch (error) {
      if (!(error instanceof BerthError)) throw error
      const { kind, message } = error
      const way = `berth commit ${state.id} goes on, berth delete ${state.id} throws the changes away`
      throw new BerthError(kind, `--commit: ${message}; ${way}`, { cause: error })
    }
  else if (context.flag('commit'))
    context.warnings.push(
      `nothing was applied, as the command ended with ${exitCode} (--commit-always applies it still)`,
    )
  if (context.flag('keep'))
    context.warnings.push(
      `kept: berth commit ${state.id} applies the changes, berth delete ${state.id} throws them away`,
    )
  else context.warnings.push(...(await remove()))
  return shows ? { stderr: dryRunText(describeChanges(layers)) } : {}
}
