/** `berth spec` */

import { ERRNO } from '../controller/errno.ts'
import { BerthError } from '../errors.ts'
import { WRITE_FLAGS } from '../plan/ops.ts'
import { defaultSpec } from '../spec/default.ts'
import { stringifyJson } from '../spec/json.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: '',
  flags: {
    bundle: {
      type: 'string',
      alias: 'b',
      describe: 'directory to write config.json to (default: the working directory)',
    },
    rootless: { type: 'boolean', describe: 'for a container of an unprivileged user' },
  },
  args: [0, 0],
  run: async (context) => {
    const { uid, gid, cwd } = context.request
    const path = `${context.path('bundle') ?? cwd}/config.json`
    const spec = defaultSpec(context.flag('rootless') ? { rootless: { uid, gid } } : {})
    try {
      await context.step('spec', [
        {
          op: 'write',
          path,
          data: [`${stringifyJson(spec, '\t')}\n`],
          flags: WRITE_FLAGS.create | WRITE_FLAGS.excl,
          mode: 0o644,
        },
      ])
    } catch (error) {
      if (error instanceof BerthError && error.errno === ERRNO.EEXIST)
        throw new BerthError('exists', `"${path}" exists already: remove it first`, { subject: path })
      throw error
    }
    return {}
  },
}
