/** `berth state` */

import { stateText } from '../container/describe.ts'
import { need } from '../container/inspect.ts'
import { checkId } from '../spec/id.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: 'ID',
  flags: {},
  args: [1, 1],
  run: async ({ step, globals, first }) => {
    const { id, state, status, reason } = await need(step, globals.root, checkId(first))
    return { stdout: stateText(id, state, status, reason) }
  },
}
