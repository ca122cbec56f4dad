/** What `create --timing` and `--trace` say. */

import { type Traces, timingRows, traceFile } from '../container/timing.ts'
import { WRITE_FLAGS } from '../plan/ops.ts'
import { table } from './table.ts'
import type { Context } from './verb.ts'

export const timingReport = async (context: Context, traces: Traces): Promise<{ readonly stderr: string }> => {
  const path = context.path('trace')
  if (path !== undefined)
    await context.step('trace file', [
      { op: 'write', path, data: [traceFile(traces)], flags: WRITE_FLAGS.create | WRITE_FLAGS.truncate, mode: 0o644 },
    ])
  return { stderr: context.flag('timing') ? table(timingRows(traces)) : '' }
}
