/** What names of hosts stand for by now, where they are looked up again. */

import type { RunStep } from '../controller/types.ts'
import { NAMES_FILE } from '../plan/lookups.ts'
import { OP_FLAGS } from '../plan/ops.ts'
import type { Addresses } from '../policy/network.ts'
import type { Confinement } from '../policy/types.ts'
import { readOp } from './inspect.ts'
import type { Seen } from './seen.ts'

const MAX = 16 << 20

/** The worker's file; nothing where it has written none, or is about to. */
const parse = (text: string | undefined): Addresses | undefined => {
  try {
    return JSON.parse(text ?? '') as Addresses
  } catch {
    return undefined
  }
}

export const asItIs = async (
  step: RunStep,
  { dir, confinement }: Pick<Seen, 'dir' | 'confinement'>,
): Promise<Confinement> => {
  if (confinement?.addresses === undefined) return confinement ?? { policies: [], landlock: 0 }
  const file = readOp(`${dir}/${NAMES_FILE}`, MAX, OP_FLAGS.tolerate)
  const since = parse((await step('names', [file])).text(0))
  return { ...confinement, addresses: { ...confinement.addresses, ...since } }
}
