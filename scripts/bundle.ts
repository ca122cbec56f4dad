/** Bundles the controller into dist/: one file per entry, modules that are loaded on demand in files of their own; and what the shim's `-info` says. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { build } from 'esbuild'
import { featuresText } from '../src/cli/features.ts'

const { metafile } = await build({
  metafile: true,
  entryPoints: { controller: 'src/controller/main.ts', 'http-proxy': 'src/policy/worker/http/entry.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  chunkNames: 'chunk-[hash]',
  format: 'esm',
  platform: 'node',
  // What grpc-js asks for only where its own services (channelz, orca) are used.
  external: ['@grpc/proto-loader'],
  target: 'node26',
  minify: true,
  keepNames: true,
  legalComments: 'linked',
  // CommonJS dependencies inside an ES module bundle ask for `require`.
  banner: {
    js: "import{createRequire as berthCreateRequire}from'node:module';const require=berthCreateRequire(import.meta.url);",
  },
})

/** The names of a build's files, one a line: what `make install` copies. */
const LIST = 'dist/files'
/** What the build before this one made: a controller of it may still run, and loads some of its modules only when it needs them. */
const before = ((): string[] => {
  try {
    return readFileSync(LIST, 'utf8').trim().split('\n')
  } catch {
    return [] // there was none
  }
})()
const FEATURES = 'features.json'
writeFileSync(`dist/${FEATURES}`, featuresText())
const files = [...Object.keys(metafile.outputs).map((path) => basename(path)), FEATURES]
const kept = new Set([...before, ...files])
for (const name of readdirSync('dist')) if (/\.js(\.LEGAL\.txt)?$/.test(name) && !kept.has(name)) rmSync(`dist/${name}`)
writeFileSync(LIST, `${files.sort().join('\n')}\n`)
