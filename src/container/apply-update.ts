/** Runs what `planUpdate` planned, whole or not at all. */

import type { RunStep } from '../controller/types.ts'
import { OP_FLAGS, type Plan } from '../plan/ops.ts'
import { readOp } from './inspect.ts'

const MAX_FILE = 1 << 16

/** A write that fails takes back those before it; `undo` says how to take back what is no write. */
export const applyUpdate = async (step: RunStep, plan: Plan, undo: () => Plan = () => []): Promise<void> => {
  if (plan.length === 0) return
  const writes = plan.filter((op) => op.op === 'write')
  const before = await step(
    'before',
    writes.map(({ path }) => readOp(path, MAX_FILE, OP_FLAGS.tolerate)),
  )
  try {
    await step('update', plan)
  } catch (error) {
    const values = writes.flatMap((op, index): Plan => {
      const value = before.text(index)?.trimEnd()
      // files of more than a line take a line at a time, and what was not in them can't be written back
      return value === undefined || value.includes('\n') ? [] : [{ ...op, data: [value] }]
    })
    await step(
      'restore',
      [...undo(), ...values].map((op) => ({ ...op, opFlags: OP_FLAGS.tolerate })),
    )
    throw error
  }
}
