/** `--log FILE --log-format text|json`: where engines read our errors from. */

import { rfc3339 } from '../container/time.ts'
import type { RunStep } from '../controller/types.ts'
import { WRITE_FLAGS } from '../plan/ops.ts'

export interface Log {
  readonly path: string
  readonly json: boolean
}

export interface LogEntry {
  readonly level: 'error' | 'warning'
  readonly message: string
}

/** Appends entries, in the shape runc writes them. */
export const writeLog = async (step: RunStep, { path, json }: Log, entries: readonly LogEntry[]): Promise<void> => {
  const time = rfc3339((await step('log time', [{ op: 'clock' }])).u64(0)).replace(/\.\d+Z$/, 'Z')
  const lines = entries.map(({ level, message }) =>
    json
      ? JSON.stringify({ level, msg: message, time })
      : `time=${JSON.stringify(time)} level=${level} msg=${JSON.stringify(message)}`,
  )
  const data = [lines.map((line) => `${line}\n`).join('')]
  await step('log', [{ op: 'write', path, data, flags: WRITE_FLAGS.create | WRITE_FLAGS.append, mode: 0o644 }])
}
