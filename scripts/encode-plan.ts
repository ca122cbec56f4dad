/**
 * Encodes a plan from JSON, for work on the C side: a list of operations on stdin, its encoding on stdout. 64-bit integers may be
 * strings, byte strings are {"hex": "…"}, the parts of a template are strings, byte strings or {"hole": "pid"}. Fields left out are zero, empty or no slot.
 *
 *   echo '[{"op":"read","path":"/proc/version","max":4096}]' | node scripts/encode-plan.ts > plan
 */

import { readFileSync, writeSync } from 'node:fs'
import { encodePlan } from '../src/plan/encode.ts'
import { NO_SLOT, OPS, type OpName, type Plan } from '../src/plan/ops.ts'

type Json = Readonly<Record<string, unknown>>

const bytesOf = (value: unknown): Uint8Array =>
  typeof value === 'string' ? Buffer.from(value) : Buffer.from(String((value as { hex: string }).hex), 'hex')

const fieldOf = (type: string, value: unknown): unknown => {
  switch (type) {
    case 'u32':
      return value ?? 0
    case 'slot':
      return value ?? NO_SLOT
    case 'u64':
    case 'i64':
      return BigInt((value ?? 0) as string | number)
    case 'str':
      return value ?? ''
    case 'bytes':
      return bytesOf(value ?? '')
    case 'tmpl':
      return ((value ?? []) as unknown[]).map((part) =>
        typeof part === 'object' && part !== null && 'hex' in part ? bytesOf(part) : part,
      )
    case 'plan':
      return planOf((value ?? []) as Json[])
    default:
      return value ?? []
  }
}

const planOf = (list: readonly Json[]): Plan =>
  list.map((entry) => {
    const name = entry.op as OpName
    if (!Object.hasOwn(OPS, name)) throw new Error(`unknown operation ${JSON.stringify(entry.op)}`)
    const unknown = Object.keys(entry).filter(
      (key) => key !== 'op' && key !== 'opFlags' && key !== 'pointer' && !Object.hasOwn(OPS[name].fields, key),
    )
    if (unknown.length > 0) throw new Error(`operation "${name}" has no field ${unknown.join(', ')}`)
    const fields = Object.entries(OPS[name].fields).map(([field, type]) => [field, fieldOf(type, entry[field])])
    return { ...entry, ...Object.fromEntries(fields) }
  })

const encoded = encodePlan(planOf(JSON.parse(readFileSync(0, 'utf8')) as Json[]))
for (let at = 0; at < encoded.length; ) at += writeSync(1, encoded, at)
