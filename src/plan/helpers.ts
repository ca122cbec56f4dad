/**
 * The processes beside a container that enforce its policy. They end with it, by themselves; who they are stands in a directory of records, so that
 * one that somebody has stopped does not stay behind when the container is removed.
 */

import { posix } from 'node:path'
import { DIR_FLAGS, OP_FLAGS, type Op, type Plan } from './ops.ts'

/** Only one that is stuck is helped along. */
const END_MS = 2000

const HELPERS = ['guard', 'supervisor', 'http-worker', 'http-accept', 'names-worker', 'names-apply'] as const
export type Helper = (typeof HELPERS)[number]

const recordsDir = (stateDir: string): string => posix.join(stateDir, 'helpers')

/** The file that says who this helper is. */
export const helperRecord = (stateDir: string, helper: Helper): string => posix.join(recordsDir(stateDir), helper)

/** What has to be there before `plan`, and what ends the helpers that it leaves: nothing where it leaves none. */
export const planHelpers = (stateDir: string, plan: Plan): { readonly make: Plan; readonly undo: Plan } => {
  const path = recordsDir(stateDir)
  if (!plan.some((op) => 'record' in op && posix.dirname(op.record) === path)) return { make: [], undo: [] }
  return { make: [{ op: 'mkdir', path, mode: 0o700, flags: DIR_FLAGS.existOk }], undo: [endHelpers(stateDir)] }
}

/** Ends those that there are. */
export const endHelpers = (stateDir: string): Op => ({
  op: 'end-spawned',
  path: recordsDir(stateDir),
  eofMs: END_MS,
  termMs: 0,
  opFlags: OP_FLAGS.keepGoing,
})
