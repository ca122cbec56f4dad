/** Sizes on the command line. */

import { BerthError } from '../errors.ts'

const UNITS = 'kmgtp'

/**
 * Bytes, with a suffix k, m, g, t or p (powers of 1024; `b` or `ib` may follow), a fraction where it comes to whole bytes, or -1 for unlimited:
 * what runc takes.
 */
export const parseSize = (flag: string, text: string): bigint => {
  if (text === '-1') return -1n
  const match = /^(\d{1,18})(?:\.(\d{1,9}))?\s?([kmgtp])?i?b?$/i.exec(text)
  const refuse = (why: string) => new BerthError('usage', `--${flag} ${JSON.stringify(text)}: ${why}`)
  if (!match) throw refuse('expected bytes, such as 1048576 or 64m')
  const [, whole = '0', fraction = '', unit = ''] = match
  const scale = unit === '' ? 1n : 1024n ** BigInt(UNITS.indexOf(unit.toLowerCase()) + 1)
  const parts = 10n ** BigInt(fraction.length)
  const value = BigInt(whole + fraction) * scale
  if (value % parts !== 0n) throw refuse('is no whole number of bytes')
  if (value / parts > 0x7fffffffffffffffn) throw refuse('is more than 2^63 - 1 bytes')
  return value / parts
}
