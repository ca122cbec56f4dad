/** What the operations of a step returned, decoded on demand. */

import { BerthError } from '../errors.ts'
import { decodeOutcome, type Outcome } from '../plan/encode.ts'
import type { Results } from './types.ts'

export const resultsOf = ({ results }: Outcome): Results => {
  const need = (index: number, size: number): DataView => {
    const data = results.get(index)
    if (data === undefined || data.length < size)
      throw new BerthError('internal', `operation ${index} gave ${data === undefined ? 'no' : 'too short a'} result`)
    return new DataView(data.buffer, data.byteOffset, data.byteLength)
  }
  return {
    bytes: (index) => results.get(index),
    text: (index) => {
      const data = results.get(index)
      return data === undefined ? undefined : new TextDecoder('utf-8', { ignoreBOM: true }).decode(data)
    },
    u32: (index, offset = 0) => need(index, offset + 4).getUint32(offset, true),
    u64: (index, offset = 0) => need(index, offset + 8).getBigUint64(offset, true),
    nested: (index) => {
      const data = results.get(index)
      if (data === undefined) throw new BerthError('internal', `operation ${index} gave no result`)
      return resultsOf(decodeOutcome(data))
    },
  }
}
