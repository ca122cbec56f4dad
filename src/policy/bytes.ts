/** Sizes in policies. */

const UNITS = 'KMGT'

/** Bytes: a whole number, by itself or with K, M, G or T (powers of 1024). undefined for anything else, and for more than 2^53 - 1. */
export const parseBytes = (value: number | string): number | undefined => {
  const match = /^([1-9]\d{0,15})([KMGT])?$/i.exec(String(value))
  if (!match) return undefined
  const [, digits = '', unit = ''] = match
  const bytes = Number(digits) * (unit === '' ? 1 : 1024 ** (UNITS.indexOf(unit.toUpperCase()) + 1))
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
