/** Keeps tries up with what names stand for: what is new is put in before what is old is taken out, and what nobody could tell stays. */

import { type Entry, entriesOf, VALUE_SIZE } from '../../../bpf/destinations.ts'
import { KEY } from '../../../bpf/network.ts'
import type { Addresses } from '../../network.ts'
import type { Refresh } from './config.ts'
import type { Looked } from './look.ts'

/** As native/executor/bpf_apply.c reads them. */
const RECORD = { size: 8 + KEY.size + VALUE_SIZE, map: 4, key: 8, value: 8 + KEY.size } as const
const [PUT, REMOVE] = [1, 2]

const record = (action: number, map: number, { key, counter }: Entry): Uint8Array => {
  const bytes = new Uint8Array(RECORD.size)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, action, true)
  view.setUint32(RECORD.map, map, true)
  bytes.set(key, RECORD.key)
  view.setUint32(RECORD.value, counter, true)
  return bytes
}

/** The records that lead from the one to the other. */
export const changes = (allow: Refresh['allow'], before: Addresses, after: Addresses): readonly Uint8Array[] => {
  const puts: Uint8Array[] = []
  const removals: Uint8Array[] = []
  for (const [map, texts] of allow.entries()) {
    const [old, fresh] = [entriesOf({ allow: texts }, before), entriesOf({ allow: texts }, after)]
    for (const [id, entry] of fresh) if (!old.has(id)) puts.push(record(PUT, map, entry))
    for (const [id, entry] of old) if (!fresh.has(id)) removals.push(record(REMOVE, map, entry))
  }
  return [...puts, ...removals]
}

/** With what was found, and as before where that is nothing. */
export const renewed = (before: Addresses, looked: Looked): Addresses => ({
  ...before,
  ...Object.fromEntries(
    Object.entries(looked)
      .filter(([, { addresses }]) => addresses.length > 0)
      .map(([name, { addresses }]) => [name, addresses]),
  ),
})
