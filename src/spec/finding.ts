import { BerthError } from '../errors.ts'

/** Something about a document that is wrong, or (`warning`) that will have no effect. */
export interface Finding {
  /** JSON pointer (RFC 6901). */
  readonly pointer: string
  /** What is wrong, to be read after the pointer. */
  readonly message: string
  readonly warning?: boolean
}

/** Appends names to a JSON pointer. */
export const point = (base: string, ...names: readonly (string | number)[]): string =>
  [base, ...names.map((name) => String(name).replaceAll('~', '~0').replaceAll('/', '~1'))].join('/')

/** A value as an error message shows it. */
export const show = (value: unknown): string => {
  if (value === undefined) return 'missing'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
  return String(value)
}

/** `config.json: /mounts/3/destination: must be a string (is 7)` */
export const describe = (file: string, { pointer, message }: Finding): string =>
  pointer === '' ? `${file}: ${message}` : `${file}: ${pointer}: ${message}`

/** Throws the first error among the findings; returns the warnings as text. */
export const settle = (file: string, findings: Iterable<Finding>): string[] => {
  const warnings: string[] = []
  for (const finding of findings) {
    if (!finding.warning) throw new BerthError('invalid', describe(file, finding), { pointer: finding.pointer })
    warnings.push(describe(file, finding))
  }
  return warnings
}
