/**
 * Bundles what runs under Node into dist/: the controller's program, with what V8 has compiled of it, the modules that are loaded by need, the
 * workers; and what the shim's `-info` says. All of it is CommonJS, which Node loads in fewer steps than ES modules.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { featuresText } from '../src/cli/features.ts'
import { rehearse } from './rehearsal/rehearse.ts'

const DIST = 'dist'
/** One entry without others: the paths of what it became. */
const bundle = async (name: string, entry: string, more: BuildOptions = {}): Promise<string[]> => {
  const { metafile } = await build({
    entryPoints: { [name]: entry },
    outdir: DIST,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    // What grpc-js asks for only where its own services (channelz, orca) are used.
    external: ['@grpc/proto-loader'],
    target: 'node26',
    // A stack trace in a log has names.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'linked',
    ...more,
    metafile: true,
  })
  return Object.keys(metafile.outputs)
}

/** A module that is loaded where it is needed, from a file of its own: `import()` becomes a `require` of that. */
const separate = (module: RegExp, file: string): Plugin => ({
  name: 'separate',
  setup: ({ onResolve }) => onResolve({ filter: module }, () => ({ path: `./${file}`, external: true })),
})
const HASHED = { entryNames: '[name]-[hash]' }
const codeOf = (paths: readonly string[]): string => basename(paths.find((path) => path.endsWith('.js')) ?? '')

const front = await bundle('front', 'shim/grpc/front.ts', HASHED)
const program = await bundle('program', 'src/controller/main.ts', {
  ...HASHED,
  plugins: [separate(/\/grpc\/front\.ts$/, codeOf(front))],
  supported: { 'dynamic-import': false },
  // yargs makes itself a `require` of where it is, which is nowhere here, and asks it for nothing that is bundled.
  define: { 'import.meta.dirname': 'dirname', 'import.meta.url': '"file:///"' },
  banner: { js: '(function(require,dirname){' },
  footer: { js: '})' },
})
const PROGRAM = codeOf(program).replace(/\.js$/, '')
const boot = await bundle('controller', 'src/controller/boot.ts', {
  define: { PROGRAM: JSON.stringify(PROGRAM), 'import.meta.dirname': '__dirname' },
})
const proxy = await bundle('http-proxy', 'src/policy/worker/http/entry.ts')
const names = await bundle('names', 'src/policy/worker/names/entry.ts')
const judge = await bundle('judge', 'src/policy/worker/judge/entry.ts')

const COMPILED = `${PROGRAM}.compiled`
writeFileSync(`${DIST}/package.json`, '{"type":"commonjs"}\n')
const id = readFileSync('build/build-id', 'utf8')
writeFileSync(`${DIST}/build-id`, id)
await rehearse(`${DIST}/${PROGRAM}.js`, `${DIST}/${COMPILED}`, id.trim())

/** The names of a build's files, one a line: what `make install` copies. */
const LIST = `${DIST}/files`
/** What the build before this one made: a controller of it may still run, and loads some of its modules only when it needs them. */
const before = ((): string[] => {
  try {
    return readFileSync(LIST, 'utf8').trim().split('\n')
  } catch {
    return [] // there was none
  }
})()
const FEATURES = 'features.json'
writeFileSync(`${DIST}/${FEATURES}`, featuresText())
const files = [
  ...[...front, ...program, ...boot, ...proxy, ...names, ...judge].map((path) => basename(path)),
  COMPILED,
  FEATURES,
]
const kept = new Set([...before, ...files])
for (const name of readdirSync(DIST))
  if (/\.(js|compiled|LEGAL\.txt)$/.test(name) && !kept.has(name)) rmSync(`${DIST}/${name}`)
writeFileSync(LIST, `${files.sort().join('\n')}\n`)
