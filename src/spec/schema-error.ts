import { type Finding, point, show } from './finding.ts'
import type { ValidationError } from './validate.gen.js'

/** What a pattern of the schemas asks for. */
export const PATTERNS: Readonly<Record<string, string>> = {
  '^/': 'must be an absolute path',
  '^(/|$)': 'must be an absolute path',
  '^[^]': 'must not be empty',
  '^[rwm]*$': 'must consist of the letters r, w and m',
  '^[1-9][0-9]*[KMG]B$': 'must be a page size such as 2MB',
  '^\\s*([0-9]+(-[0-9]+)?(\\s*,\\s*[0-9]+(-[0-9]+)?)*)?\\s*$': 'must be a list of numbers and ranges such as 0-3,7',
}

/** Bounds of the schemas' keyword `integer`, in words. */
const RANGES: Readonly<Record<string, string>> = {
  uint16: '0 to 65535',
  uint32: '0 to 4294967295',
  id: '0 to 4294967294',
  int32: '-2147483648 to 2147483647',
  int64: '-9223372036854775808 to 9223372036854775807',
  uint64: '0 to 18446744073709551615',
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a string',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'an array',
  object: 'an object',
}

/** Says in words what the schema found wrong in the document. */
export const explain = (document: unknown, { instancePath, keyword, params }: ValidationError): Finding => {
  if (keyword === 'required') {
    return { pointer: point(instancePath, String(params.missingProperty)), message: 'is required' }
  }
  const value = lookUp(document, instancePath)
  return { pointer: instancePath, message: `${demand(keyword, params)} (is ${show(value)})` }
}

const demand = (keyword: string, params: ValidationError['params']): string => {
  switch (keyword) {
    case 'type':
      return `must be ${[params.type]
        .flat()
        .map((type) => TYPES[String(type)] ?? type)
        .join(' or ')}`
    case 'integer':
      return `must be an integer from ${RANGES[String(params.range)]}`
    case 'enum':
      return `must be one of ${(params.allowedValues as readonly string[]).map((value) => value || '""').join(', ')}`
    case 'pattern':
      return PATTERNS[String(params.pattern)] ?? `must match ${params.pattern}`
    case 'minimum':
      return `must be at least ${params.limit}`
    case 'maximum':
      return `must be at most ${params.limit}`
    case 'minItems':
      return `must have at least ${params.limit} item`
    default:
      return `is against the schema's ${keyword}`
  }
}

const lookUp = (document: unknown, pointer: string): unknown =>
  pointer
    .split('/')
    .slice(1)
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>(
      (value, name) =>
        typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined,
      document,
    )
