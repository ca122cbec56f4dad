/** What TypeScript can reach: no file system, no program, no network of its own. All that a request names is opened by C, on descriptors. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
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
  // the program that lies beside it
  'src/controller/boot.ts': ['node:fs', 'node:vm'],
  // the build id that lies beside it
  'src/controller/main.ts': ['node:fs'],
  // sockets that it inherits by number
  'src/controller/server.ts': ['node:net'],
  'src/controller/link.ts': ['node:fs'],
  // the function that collects garbage
  'src/controller/memory.ts': ['node:vm'],
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

test('the files that are read have names that no request decides', () => {
  const calls = ['boot', 'main', 'link', 'memory', 'server'].flatMap((name) => {
    const text = readFileSync(join(root, `src/controller/${name}.ts`), 'utf8')
    return [...text.matchAll(/\b((?:read\w*Sync|open\w*|readdir\w*|write\w*Sync|runIn\w*)\([^)]*)/g)].map(
      ([call]) => call,
    )
  })
  assert.deepEqual(calls, [
    // biome-ignore-start lint/suspicious/noTemplateCurlyInString: it is code
    'readFileSync(join(import.meta.dirname, `${PROGRAM}.compiled`',
    "readFileSync(filename, 'latin1'",
    'runInThisContext(',
    "readFileSync(`${import.meta.dirname}/build-id`, 'utf8'",
    // biome-ignore-end lint/suspicious/noTemplateCurlyInString: it is code
    'readSync(this.#fd, chunk',
    'writeSync(this.#fd, bytes',
    "runInNewContext('gc'",
  ])
})

/** What a module has loaded before it runs: itself, what it imports, what these import; and the packages among them. */
const loaded = (source: string, seen = new Set<string>()): ReadonlySet<string> => {
  if (seen.has(source)) return seen
  seen.add(source)
  if (!source.endsWith('.ts')) return seen
  const text = readFileSync(join(root, source), 'utf8')
  for (const [, name = ''] of text.matchAll(/^(?:import|export)(?! type)\b[^;'"]*?from '([^']+)'/gm))
    loaded(name.startsWith('.') ? join(dirname(source), name) : name, seen)
  return seen
}

test('a controller that boots for somebody who waits loads little', () => {
  assert.deepEqual([...loaded('src/controller/main.ts')].sort(), [
    'node:fs',
    'src/controller/errno.ts',
    'src/controller/failure.ts',
    'src/controller/idle.ts',
    'src/controller/link.ts',
    'src/controller/main.ts',
    'src/controller/results.ts',
    'src/controller/server.ts',
    'src/controller/session.ts',
    'src/controller/steps.ts',
    'src/controller/wire.ts',
    'src/errors.ts',
    'src/host/kernel.ts',
    'src/plan/bytes.ts',
    'src/plan/encode.ts',
    'src/plan/ops.ts',
  ])
})

test('a task’s create loads no part of the command line, and of packages the decoder only', () => {
  const all = [...loaded('shim/main.ts')]
  assert.ok(all.length > 60)
  const packages = all.filter((name) => !/^(src|shim)\//.test(name)).sort()
  assert.deepEqual(packages, ['node:path', 'protobufjs/minimal.js'])
  for (const name of all)
    assert.doesNotMatch(name, /^src\/(cli|criu|learn|layer|container\/create)|\/worker\/|shim\/grpc\/|restore/)
})

test('a create on the command line loads yargs for no plain command line', () => {
  const all = [...loaded('src/cli/main.ts'), ...loaded('src/cli/create.ts')]
  assert.deepEqual([...new Set(all.filter((name) => !/^(src|shim)\//.test(name)))].sort(), [
    'node:path',
    'package.json',
  ])
})

test('gRPC is loaded where a connection speaks it, never at boot', () => {
  const importers = (what: RegExp) => sources.filter((source) => what.test(readFileSync(join(root, source), 'utf8')))
  assert.deepEqual(importers(/@grpc\//), ['shim/grpc/front.ts'])
  assert.deepEqual(importers(/from '[^']*grpc\/front/), [], 'a static import')
  assert.deepEqual(importers(/import\('[^']*grpc\/front\.ts'\)/), ['src/controller/main.ts'])
  // The bundler makes it a file of its own.
  assert.match(readFileSync(join(root, 'scripts/bundle.ts'), 'utf8'), /separate\(\/\\\/grpc\\\/front/)
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
