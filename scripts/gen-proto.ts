/** Renders spec-schemas/*.proto as shim/proto/messages.gen.js and its types. Run with: node scripts/gen-proto.ts */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

type Main = (args: string[], callback: (error: Error | null, output?: string) => void) => void

const require = createRequire(import.meta.url)
const pbjs = promisify((require('protobufjs-cli/pbjs') as { main: Main }).main)
const top = dirname(import.meta.dirname)
const root = join(top, 'spec-schemas')
const out = join(top, 'shim/proto/messages.gen.js')
const FILES = ['wellknown', 'task', 'events', 'options', 'metrics-v1', 'metrics-v2']

// Long: a limit of 2^64-1 ("max") has to survive, which a number can't hold. `.js`: Node resolves ESM imports as written.
const options = [
  ...['--target', 'static-module', '--wrap', 'esm', '--dependency', 'protobufjs/minimal.js', '--force-long'],
  ...['--no-verify', '--no-convert', '--no-delimited', '--no-typeurl', '--no-create', '--no-service'],
  ...['--path', root, '--out', out],
]
const files = FILES.map((name) => join(root, `${name}.proto`))
// The types are made from the comments, which are two thirds of the code: once with them, once without.
await pbjs([...options, '--dts', ...files])
await pbjs([...options, '--no-comments', ...files])

const types = out.replace(/\.js$/, '.d.ts')
const text = readFileSync(types, 'utf8')
writeFileSync(types, text.replace('import Long = require("long");', 'import type Long from "long";'))
