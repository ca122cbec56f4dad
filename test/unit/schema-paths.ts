/** The properties that the schemas of config.json know, as JSON pointers with * for an index or a key of anybody's choice. */
import { readFileSync } from 'node:fs'

// biome-ignore lint/suspicious/noExplicitAny: a JSON schema
type Schema = any

const load = (name: string): Schema =>
  JSON.parse(readFileSync(new URL(`../../spec-schemas/${name}`, import.meta.url), 'utf8'))
const documents: Readonly<Record<string, Schema>> = {
  'config.schema.json': load('config.schema.json'),
  'process.schema.json': load('process.schema.json'),
}

const walk = (schema: Schema, file: string, at: string, found: Set<string>): void => {
  if (schema.$ref !== undefined) {
    const [name, pointer = ''] = schema.$ref.split('#')
    const document = name === '' ? file : name
    const target = pointer.split('/').slice(1)
    walk(
      target.reduce((value: Schema, key: string) => value[key], documents[document]),
      document,
      at,
      found,
    )
    return
  }
  for (const [name, property] of Object.entries<Schema>(schema.properties ?? {})) {
    found.add(`${at}/${name}`)
    walk(property, file, `${at}/${name}`, found)
  }
  for (const inner of [schema.items, schema.additionalProperties]) {
    if (typeof inner !== 'object') continue
    found.add(`${at}/*`)
    walk(inner, file, `${at}/*`, found)
  }
}

export const schemaPaths = (): string[] => {
  const found = new Set<string>()
  walk(documents['config.schema.json'], 'config.schema.json', '', found)
  return [...found].sort()
}
