/** Bundles the controller into dist/: one file per entry, modules that are loaded on demand in files of their own. */
import { rmSync } from 'node:fs'
import { build } from 'esbuild'

rmSync('dist/chunks', { recursive: true, force: true })
await build({
  entryPoints: { controller: 'src/controller/main.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  chunkNames: 'chunk-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node26',
  minify: true,
  keepNames: true,
  legalComments: 'linked',
  // CommonJS dependencies inside an ES module bundle ask for `require`.
  banner: {
    js: "import{createRequire as berthCreateRequire}from'node:module';const require=berthCreateRequire(import.meta.url);",
  },
})
