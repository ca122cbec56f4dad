/** The one table from kinds of error to exit codes. */

import type { ErrorKind } from '../errors.ts'

const EXIT_CODES: Readonly<Record<ErrorKind, number>> = {
  usage: 2,
  invalid: 1,
  'not-found': 1,
  exists: 1,
  state: 1,
  unsupported: 1,
  failed: 1,
  internal: 1,
}

export const exitCodeOf = (kind: ErrorKind): number => EXIT_CODES[kind]
