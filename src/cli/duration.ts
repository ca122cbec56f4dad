/** Lengths of time on the command line, as Go writes them: engines and people pass runc's. */

import { BerthError } from '../errors.ts'

const UNITS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}
const PART = /(\d{1,12})(?:\.(\d{1,9}))?(ns|us|µs|μs|ms|s|m|h)/y
const MAX = 0x7fffffffffffffffn

/** Nanoseconds of `5s`, `1m30s`, `1.5h`, `100ms`; more than none. */
export const parseDuration = (flag: string, text: string): bigint => {
  const refuse = (why: string) => new BerthError('usage', `--${flag} ${JSON.stringify(text)}: ${why}`)
  let sum = 0n
  let at = 0
  while (at < text.length) {
    PART.lastIndex = at
    const match = PART.exec(text)
    if (match === null) throw refuse('expected a length of time such as 5s or 1m30s')
    const [whole, number = '', fraction = '', unit = ''] = match
    const scaled = BigInt(number + fraction) * (UNITS[unit] ?? 0n)
    const parts = 10n ** BigInt(fraction.length)
    if (scaled % parts !== 0n) throw refuse('is no whole number of nanoseconds')
    sum += scaled / parts
    at += whole.length
  }
  if (sum === 0n) throw refuse('must be greater than 0')
  if (sum > MAX) throw refuse('is more than 2^63 - 1 nanoseconds')
  return sum
}
