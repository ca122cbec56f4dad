/** What TypeScript can reach: no file system, no program, no network of its own. All that a request names is opened by C, on descriptors. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')
/** Programs of workers, which have a container's network and no say in anything else. */
const WORKERS = 'src/policy/worker/'
const all = ['src', 'shim'].flatMap((dir) => globSync(`${dir}/**/*.ts`, { cwd: root })).sort()
const sources = all.filter((source) => !source.startsWith(WORKERS))

/** Modules without effects on the host. */
const PURE = new Set(['node:path', 'node:util', 'node:crypto', 'node:buffer', 'node:events'])
/** Each with its reason. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  // the build id that lies beside it
  'src/controller/main.ts': ['node:fs'],
  // a socket that it inherits by number
  'src/controller/server.ts': ['node:net'],
  // ttrpc for tests and benchmarks
  'shim/ttrpc/client.ts': ['node:net'],
  'shim/ttrpc/server.ts': ['node:net'],
}

test('only the controller’s entry reads a file, and nothing else imports what could', () => {
  assert.ok(sources.length > 100)
  for (const source of sources) {
    const text = readFileSync(join(root, source), 'utf8')
    const modules = [...text.matchAll(/(?:from|import|require)\s*\(?\s*['"]([^'"]+)['"]/g)].map(
      (match) => match[1] ?? '',
    )
    for (const name of modules) {
      const builtin = name.startsWith('node:') || !/^[./]/.test(name)
      if (!builtin || PURE.has(name) || ALLOWED[source]?.includes(name)) continue
      assert.ok(
        !/^(node:)?(fs|child_process|net|dgram|http|https|tls|worker_threads|vm|os|cluster|inspector|module)(\/|$)/.test(
          name,
        ),
        `${source} imports ${name}`,
      )
    }
    assert.doesNotMatch(text, /process\.(binding|dlopen|chdir|setuid)|\bdlopen\(|\beval\(|new Function\(/, source)
  }
})

test('nothing of a worker is in the controller', () => {
  for (const source of sources)
    for (const [line] of readFileSync(join(root, source), 'utf8').matchAll(/^import .*\/worker\/.*$/gm))
      assert.match(line, /^import type /, source)
})

test('the one file that is read has a name that no request decides', () => {
  const text = readFileSync(join(root, 'src/controller/main.ts'), 'utf8')
  const calls = [...text.matchAll(/\b(?:readFileSync|open\w*|readdir\w*|writeFile\w*)\((.*)\)/g)].map(
    ([, args]) => args,
  )
  assert.deepEqual(calls, ["new URL('build-id', import.meta.url), 'utf8').trim("])
})

test('gRPC is loaded where a connection speaks it, never at boot', () => {
  const importers = (what: RegExp) => sources.filter((source) => what.test(readFileSync(join(root, source), 'utf8')))
  assert.deepEqual(importers(/@grpc\//), ['shim/grpc/front.ts'])
  assert.deepEqual(importers(/from '[^']*grpc\/front/), [], 'a static import')
  assert.deepEqual(importers(/import\('[^']*grpc\/front\.ts'\)/), ['src/controller/main.ts'])
  // The bundler cuts at such an import.
  assert.match(readFileSync(join(root, 'scripts/bundle.ts'), 'utf8'), /splitting: true/)
})

test('native code truncates no file that it may not have made, and makes none by a name that may be a symlink', () => {
  for (const source of globSync('native/**/*.c', { cwd: root })) {
    const text = readFileSync(join(root, source), 'utf8')
    for (const [call] of text.matchAll(/\bopen(?:at|at2)?\([^;]*O_CREAT[^;]*;/g)) {
      assert.doesNotMatch(call, /O_TRUNC/, source)
      // The controller's own root is a new tmpfs; a lock and a log are files that stay.
      if (source !== 'native/launcher/confine_root.c') assert.match(call, /O_NOFOLLOW/, `${source}: ${call}`)
    }
    assert.doesNotMatch(text, /\b(creat|fopen|freopen|mkstemp|tmpfile)\([^)]*"[wa]/, source)
  }
})
