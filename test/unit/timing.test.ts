import assert from 'node:assert/strict'
import { test } from 'node:test'
import { timingRows, traceFile } from '../../src/container/timing.ts'
import { ByteWriter } from '../../src/plan/bytes.ts'
import { OPS } from '../../src/plan/ops.ts'

const ZERO = 1_795_394_708_000_000_000n

const trace = (
  program: number,
  ...records: readonly (readonly [start: number, end: number, code: number, inside?: 1])[]
) => {
  const writer = new ByteWriter().u64(ZERO + BigInt(program) * 1000n)
  for (const [start, end, code, inside = 0] of records)
    writer
      .u64(ZERO + BigInt(start) * 1000n)
      .u64(ZERO + BigInt(end) * 1000n)
      .u32(code)
      .u32(inside)
  return writer.finish()
}

const { read, mkdir, clone, pivot, remote, resume } = OPS
const traces = {
  launcher: trace(0, [100, 110, read.code], [111, 112, mkdir.code], [300, 900, remote.code]),
  // As they were recorded, at their ends.
  monitor: trace(
    200,
    [310, 320, mkdir.code],
    [321, 330, mkdir.code],
    [330, 400, clone.code],
    [450, 800, pivot.code, 1],
    [400, 850, resume.code],
  ),
}

test('rows: the launcher start, the wait for the controller, what came in a row', () => {
  assert.deepEqual(timingRows(traces).slice(1), [
    ['0', '100', 'launcher', 'start'],
    ['100', '10', 'launcher', 'read'],
    ['111', '1', 'launcher', 'mkdir'],
    ['112', '188', 'controller', 'plan'],
    ['310', '19', 'monitor', 'mkdir (2)'],
    ['330', '70', 'monitor', 'clone'],
    ['450', '350', 'init', 'pivot'],
  ])
})

test('a trace file has every operation, also those that hold others', () => {
  const { traceEvents } = JSON.parse(traceFile(traces))
  const names = traceEvents.filter(({ ph }: { ph: string }) => ph === 'X').map(({ name }: { name: string }) => name)
  assert.deepEqual(names, ['start', 'read', 'mkdir', 'plan', 'remote', 'mkdir', 'mkdir', 'clone', 'resume', 'pivot'])
})

test('an operation of another build is told by its number', () => {
  const rows = timingRows({ launcher: trace(0, [1, 2, 65535]), monitor: trace(0) })
  assert.deepEqual(rows.at(-1), ['1', '1', 'launcher', '65535'])
})
