/** process.rlimits → rlimit operations. */

import { BerthError } from '../errors.ts'
import { rlimitResource } from '../spec/rlimits.ts'
import type { Rlimit } from '../spec/types.ts'
import type { Op } from './ops.ts'

export const planRlimits = (rlimits: readonly Rlimit[] = []): Op[] =>
  rlimits.map(({ type, soft, hard }, index) => {
    const pointer = `/process/rlimits/${index}`
    const resource = rlimitResource(type)
    if (resource === undefined)
      throw new BerthError('invalid', `process.rlimits[${index}]: unknown type "${type}"`, { pointer })
    return { op: 'rlimit', resource, soft, hard, pointer }
  })
