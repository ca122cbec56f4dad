/** The operation that starts a container's worker. */

import { posix } from 'node:path'
import { type Helper, helperRecord } from './helpers.ts'
import type { Op } from './ops.ts'
import type { workerRules } from './worker-rules.ts'

const BOOT_MS = 20_000
/** Of a build: the controller's files and the workers' are in one directory. */
export const DIST = import.meta.dirname

interface WorkerWish {
  /** Its program. */
  readonly entry: string
  readonly helper: Helper
  /** A file of the container's directory. */
  readonly log: string
  readonly config: object
  /** Slots, in the order that its configuration counts them in. */
  readonly fds: readonly number[]
  readonly rules: ReturnType<typeof workerRules>
}

export const startWorker = (stateDir: string, { entry, helper, log, config, fds, rules }: WorkerWish): Op => ({
  op: 'worker',
  dist: DIST,
  entry,
  config: new TextEncoder().encode(JSON.stringify(config)),
  fds,
  scratch: stateDir,
  log: posix.join(stateDir, log),
  record: helperRecord(stateDir, helper),
  timeoutMs: BOOT_MS,
  ...rules,
  pointer: '/annotations',
})
