/** Why CRIU failed, from its log. */

import { ERRNO } from '../controller/errno.ts'
import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { OP_FLAGS, READ_FLAGS } from '../plan/ops.ts'

/** What it writes between an error and its end is short of this by far. */
const TAIL = 64 << 10

/** Of hosts that don't let it have more descriptors than it needs; and what only sums up. */
const BESIDE = /^(rlimit: Can't setup RLIMIT_NOFILE|(Dumping|Pre-dumping|Restoring) FAILED)/

/** The first error of a log that is one; undefined where it has none. */
export const causeOf = (log: string): string | undefined => {
  for (const line of log.split('\n')) {
    const what = /^\(\d+\.\d+\)\s+(?:\d+: )?Error \([^)]*\): (.*)$/.exec(line)?.[1]?.trim()
    if (what && !BESIDE.test(what)) return what
  }
  return undefined
}

/** What CRIU does not say itself. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/^Can't get rlimit \d+: Operation not permitted/, 'of processes of other users than root it needs CAP_SYS_RESOURCE'],
  [/^File .* has bad size/, 'a regular file that is given has to be as long as it was at the checkpoint'],
]

export const adviceOn = (cause: string): string => {
  const advice = ADVICE.find(([pattern]) => pattern.test(cause))?.[1]
  return advice === undefined ? '' : `: ${advice}`
}

/** The error with what the log says, where it is CRIU that failed. */
export const explained = async (
  step: RunStep,
  error: unknown,
  verb: string,
  log: string,
  hint = '',
): Promise<unknown> => {
  if (!(error instanceof BerthError) || error.op !== 'run') return error
  if (error.errno === ERRNO.ENOENT || error.errno === ERRNO.EACCES) return error
  const results = await step('log', [
    { op: 'tail', path: log, max: TAIL, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate },
  ])
  const cause = causeOf(results.text(0) ?? '')
  const why = cause === undefined ? error.message : `criu ${verb}: ${cause}${adviceOn(cause)}`
  return new BerthError('failed', `${why}${hint} (its log: ${log})`, { op: 'run', subject: log, cause: error })
}
