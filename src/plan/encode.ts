/** Plans and outcomes as bytes: docs/internals.md, "Plan" and "Outcome". */

import { BerthError } from '../errors.ts'
import { ByteReader, ByteWriter, MalformedError } from './bytes.ts'
import {
  HOLES,
  NO_SLOT,
  OPS,
  type Op,
  type OpName,
  PLAN_MAGIC,
  PLAN_VERSION,
  type Plan,
  SLOTS,
  type Template,
} from './ops.ts'

const U32_MAX = 0xffffffff
const U64_MAX = 0xffffffffffffffffn
const I64_MAX = 0x7fffffffffffffffn

interface Encoding {
  readonly code: number
  /** Names and types. */
  readonly fields: readonly (readonly [string, string])[]
}
const ENCODINGS = Object.fromEntries(
  Object.entries(OPS).map(([name, { code, fields }]) => [name, { code, fields: Object.entries(fields) }]),
) as unknown as Readonly<Record<OpName, Encoding>>

/** Encodes a plan; throws BerthError 'invalid', with the operation's pointer, for a value that can't be encoded. */
export const encodePlan = (plan: Plan): Uint8Array => {
  const out = new ByteWriter()
  writePlan(out, plan)
  return out.finish()
}

const writePlan = (out: ByteWriter, plan: Plan): void => {
  out.u32(PLAN_MAGIC).u32(PLAN_VERSION).u32(plan.length)
  for (const op of plan) writeOp(out, op)
}

const writeOp = (out: ByteWriter, op: Op): void => {
  const { code, fields } = ENCODINGS[op.op]
  out.u16(code).u16(op.opFlags ?? 0)
  const sizeAt = out.length
  out.u32(0)
  const values = op as unknown as Readonly<Record<string, unknown>>
  for (const [name, type] of fields) writeField(out, op, name, type, values[name])
  out.patchU32(sizeAt, out.length - sizeAt - 4)
}

const writeField = (out: ByteWriter, op: Op, name: string, type: string, value: unknown): void => {
  switch (type) {
    case 'u32':
      out.u32(unsigned(op, name, value))
      break
    case 'slot':
      out.u32(slot(op, name, value))
      break
    case 'u64':
      out.u64(wide(op, name, value, 0n, U64_MAX))
      break
    case 'i64':
      out.i64(wide(op, name, value, -I64_MAX - 1n, I64_MAX))
      break
    case 'str':
      out.str(string(op, name, value))
      break
    case 'strs':
      out.strs(list(op, name, value).map((item) => string(op, name, item)))
      break
    case 'u32s': {
      const items = list(op, name, value)
      out.u32(items.length)
      for (const item of items) out.u32(unsigned(op, name, item))
      break
    }
    case 'bytes':
      if (!(value instanceof Uint8Array)) throw refuse(op, name, 'is no byte string')
      out.bytes(value)
      break
    case 'tmpl':
      writeTemplate(out, op, name, list(op, name, value) as Template)
      break
    case 'plan': {
      const sizeAt = out.length
      out.u32(0)
      writePlan(out, list(op, name, value) as Plan)
      out.patchU32(sizeAt, out.length - sizeAt - 4)
      break
    }
    default:
      throw new BerthError('internal', `operation "${op.op}": field "${name}" has the unknown type "${type}"`)
  }
}

const writeTemplate = (out: ByteWriter, op: Op, name: string, template: Template): void => {
  out.u32(template.length)
  for (const part of template) {
    if (typeof part === 'string') out.u8(HOLES.literal).utf8(part)
    else if (part instanceof Uint8Array) out.u8(HOLES.literal).bytes(part)
    else if (Object.hasOwn(HOLES, part.hole)) out.u8(HOLES[part.hole])
    else throw refuse(op, name, `has the unknown hole "${part.hole}"`)
  }
}

const unsigned = (op: Op, name: string, value: unknown): number => {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw refuse(op, name, 'is no integer')
  if (value < 0 || value > U32_MAX) throw refuse(op, name, `is ${value}, out of the range 0 to ${U32_MAX}`)
  return value
}

const slot = (op: Op, name: string, value: unknown): number => {
  const number = unsigned(op, name, value)
  if (number >= SLOTS && number !== NO_SLOT) throw refuse(op, name, `is ${number}, no slot`)
  return number
}

const wide = (op: Op, name: string, value: unknown, least: bigint, most: bigint): bigint => {
  if (typeof value !== 'bigint') throw refuse(op, name, 'is no 64-bit integer')
  if (value < least || value > most) throw refuse(op, name, `is ${value}, out of the range ${least} to ${most}`)
  return value
}

const string = (op: Op, name: string, value: unknown): string => {
  if (typeof value !== 'string') throw refuse(op, name, 'is no string')
  if (value.includes('\0')) throw refuse(op, name, 'holds a NUL character')
  return value
}

const list = (op: Op, name: string, value: unknown): readonly unknown[] => {
  if (!Array.isArray(value)) throw refuse(op, name, 'is no list')
  return value
}

const refuse = (op: Op, field: string, what: string): BerthError =>
  new BerthError('invalid', `operation "${op.op}": ${field} ${what}`, {
    op: op.op,
    ...(op.pointer === undefined ? {} : { pointer: op.pointer }),
  })

/** Why an operation failed, as C tells it. */
export interface ErrorRecord {
  /** Position of the operation, from the outer plan to the nested one. */
  readonly index: readonly number[]
  readonly op: string
  /** "" where no system call failed. */
  readonly syscall: string
  readonly subject: string
  /** 0 where none applies. */
  readonly errno: number
  readonly detail: string
}

/** What came of a plan: results by the index of their operation, and the error where one failed. */
export interface Outcome {
  readonly error: ErrorRecord | undefined
  readonly results: ReadonlyMap<number, Uint8Array>
}

/** Decodes an outcome; throws a MalformedError. Results point into `data`. */
export const decodeOutcome = (data: Uint8Array): Outcome => {
  const reader = new ByteReader(data)
  const status = reader.u8()
  if (status > 1) throw new MalformedError(`the unknown outcome ${status}`)
  const error = status === 1 ? readError(reader) : undefined
  const count = reader.count(8)
  const results = new Map<number, Uint8Array>()
  for (let i = 0; i < count; i++) {
    const index = reader.u32()
    results.set(index, reader.bytes())
  }
  reader.end()
  return { error, results }
}

const readError = (reader: ByteReader): ErrorRecord => ({
  index: reader.u32s(),
  op: reader.str(),
  syscall: reader.str(),
  subject: reader.str(),
  errno: reader.i32(),
  detail: reader.str(),
})

/** Encodes an outcome, for tests that stand in for C. */
export const encodeOutcome = (outcome: Outcome): Uint8Array => {
  const out = new ByteWriter()
  const { error } = outcome
  out.u8(error === undefined ? 0 : 1)
  if (error !== undefined) {
    out.u32(error.index.length)
    for (const index of error.index) out.u32(index)
    out.str(error.op).str(error.syscall).str(error.subject)
    out.u32(error.errno >>> 0).str(error.detail)
  }
  out.u32(outcome.results.size)
  for (const [index, result] of outcome.results) out.u32(index).bytes(result)
  return out.finish()
}

/**
 * The operation at a path of indices; the innermost one known where the path goes on into a plan that is not at hand (`stored`).
 * A process's error is its `resume`'s error, so below a resume the path goes on in the plan of the process.
 */
export const findOp = (plan: Plan, path: readonly number[]): Op | undefined => {
  let at: Plan | undefined = plan
  let found: Op | undefined
  for (const index of path) {
    const op: Op | undefined = at?.[index]
    if (op === undefined) break
    found = op
    at = op.op === 'resume' ? planOfProcess(at ?? [], op.key) : 'plan' in op ? op.plan : undefined
  }
  return found
}

const planOfProcess = (plan: Plan, key: string): Plan | undefined => {
  for (const op of plan) if (op.op === 'clone' && op.key === key) return op.plan
  return undefined
}
