/** Files of the image that say more than the image has them say. */

import { NO_SLOT, type Op } from './ops.ts'

const NO_BYTES = new Uint8Array(0)

export const extendFile = (path: string, how: Partial<Extract<Op, { op: 'extend-file' }>>): Op => ({
  op: 'extend-file',
  path,
  head: NO_BYTES,
  tail: NO_BYTES,
  from: NO_SLOT,
  make: 0,
  pointer: '/annotations',
  ...how,
})
