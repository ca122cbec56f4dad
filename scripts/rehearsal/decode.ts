/** Reads plans back, as the C side does. */
import { ByteReader } from '../../src/plan/bytes.ts'
import { HOLES, OPS, type Op, type Plan, type Template } from '../../src/plan/ops.ts'

const NAMES = new Map(Object.entries(OPS).map(([name, { code }]) => [code, name as keyof typeof OPS]))
const HOLE_NAMES = new Map(Object.entries(HOLES).map(([name, kind]) => [kind as number, name]))

export const decodePlan = (data: Uint8Array): Plan => planOf(new ByteReader(data))

const planOf = (reader: ByteReader): Plan => {
  reader.u32() // what it is
  reader.u32() // of which version
  return Array.from({ length: reader.count(8) }, () => opOf(reader))
}

const opOf = (reader: ByteReader): Op => {
  const head = reader.u32()
  const name = NAMES.get(head & 0xffff)
  if (name === undefined) throw new Error(`an operation of the unknown code ${head & 0xffff}`)
  const fields = new ByteReader(reader.bytes())
  const values = Object.entries(OPS[name].fields).map(([field, type]) => [field, fieldOf(fields, type)])
  return { op: name, opFlags: head >>> 16, ...Object.fromEntries(values) } as Op
}

const fieldOf = (reader: ByteReader, type: string): unknown => {
  switch (type) {
    case 'u32':
    case 'slot':
      return reader.u32()
    case 'u64':
      return reader.u64()
    case 'i64':
      return BigInt.asIntN(64, reader.u64())
    case 'str':
      return reader.str()
    case 'strs':
      return reader.strs()
    case 'u32s':
      return reader.u32s()
    case 'bytes':
      return reader.bytes()
    case 'tmpl':
      return templateOf(reader)
    case 'plan':
      return planOf(new ByteReader(reader.bytes()))
    default:
      throw new Error(`a field of the unknown type ${type}`)
  }
}

const templateOf = (reader: ByteReader): Template =>
  Array.from({ length: reader.count(1) }, () => {
    const kind = reader.u8()
    return kind === HOLES.literal ? reader.bytes() : { hole: HOLE_NAMES.get(kind) as never }
  })
