/**
 * Renders spec-schemas/*.proto as shim/proto/messages.gen.js and, for what only Stats needs, metrics.gen.js, and their types. Run with: node
 * scripts/gen-proto.ts
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

type Main = (args: string[], callback: (error: Error | null, output?: string) => void) => void

const require = createRequire(import.meta.url)
const pbjs = promisify((require('protobufjs-cli/pbjs') as { main: Main }).main)
const top = dirname(import.meta.dirname)
const root = join(top, 'spec-schemas')
const MODULES = { messages: ['wellknown', 'task', 'events', 'options'], metrics: ['metrics-v1', 'metrics-v2'] }

// Long: a limit of 2^64-1 ("max") has to survive, which a number can't hold. `.js`: Node resolves ESM imports as written.
const options = [
  ...['--target', 'static-module', '--wrap', 'esm', '--dependency', 'protobufjs/minimal.js', '--force-long'],
  ...['--no-verify', '--no-convert', '--no-delimited', '--no-typeurl', '--no-create', '--no-service'],
]

for (const [name, protos] of Object.entries(MODULES)) {
  const out = join(top, `shim/proto/${name}.gen.js`)
  const files = protos.map((proto) => join(root, `${proto}.proto`))
  const own = [...options, '--root', name, '--path', root, '--out', out]
  // The types are made from the comments, which are two thirds of the code: once with them, once without.
  await pbjs([...own, '--dts', ...files])
  await pbjs([...own, '--no-comments', ...files])
  const types = out.replace(/\.js$/, '.d.ts')
  const text = readFileSync(types, 'utf8')
  writeFileSync(types, text.replace('import Long = require("long");', 'import type Long from "long";'))
}
