/** `berth kill` */

import { need } from '../container/inspect.ts'
import { processesOf } from '../container/processes.ts'
import { killAll, killPlan, STOP_SIGNAL } from '../container/signal.ts'
import { ERRNO } from '../controller/errno.ts'
import { BerthError } from '../errors.ts'
import { checkId } from '../spec/id.ts'
import { parseSignal, SIGKILL } from '../spec/signals.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: 'ID [SIGNAL]',
  flags: {
    all: { type: 'boolean', alias: 'a', describe: 'to all processes of the container, which may have stopped' },
  },
  args: [1, 2],
  run: async (context) => {
    const { step, globals, first, args } = context
    const given = args[1] === undefined ? undefined : parseSignal(args[1])
    const { id, state, status } = await need(step, globals.root, checkId(first))
    const signal = given ?? parseSignal(state.annotations[STOP_SIGNAL] || 'SIGTERM')
    // Without a pid namespace of its own nothing ends the others with the init, and they may be all that is left.
    const whole = state.sharedPid && signal === SIGKILL
    if (context.flag('all') || (whole && (status !== 'stopped' || (await processesOf(step, state)).length > 0))) {
      await killAll(step, state, status, signal)
      return {}
    }
    if (status === 'stopped') throw notRunning(id)
    try {
      await step('kill', killPlan(state, status, signal))
    } catch (error) {
      throw error instanceof BerthError && error.errno === ERRNO.ESRCH ? notRunning(id) : error
    }
    return {}
  },
}

/** Engines look for these words to tell a process that has ended from a kill that failed. */
const notRunning = (id: string): BerthError =>
  new BerthError('state', `container not running: "${id}" has stopped`, { subject: id })
