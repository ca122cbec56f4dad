/** What repeats the tables of flags, or is made from them, says the same as they do. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { manPage } from '../../scripts/gen-man.ts'
import { verb as exec } from '../../src/cli/exec.ts'
import { GLOBAL_FLAGS, VERBS } from '../../src/cli/main.ts'
import { parseAny, parsePlain } from '../../src/cli/parse.ts'
import type { Flags } from '../../src/cli/verb.ts'

const launcher = readFileSync(new URL('../../native/launcher/arguments.c', import.meta.url), 'utf8')

/** The strings of an array in C. */
const names = (array: string): string[] => {
  const [, body = assert.fail(array)] = new RegExp(`${array}\\[\\] = \\{([^}]*)\\}`).exec(launcher) ?? []
  return [...body.matchAll(/"([^"]+)"/g)].map(([, name]) => name ?? '').sort()
}
const withValue = (flags: Flags) => Object.entries(flags).filter(([, { type }]) => type !== 'boolean')
const namesOf = (flags: Flags) =>
  withValue(flags)
    .map(([name]) => name)
    .sort()

test('the launcher knows which flags take the next argument', () => {
  assert.deepEqual(names('global_values'), namesOf(GLOBAL_FLAGS))
  assert.deepEqual(names('exec_values'), namesOf(exec.flags))
  // None of the global ones has a letter: the launcher looks for none there.
  assert.deepEqual(
    withValue(GLOBAL_FLAGS).flatMap(([, { alias }]) => alias ?? []),
    [],
  )
  const letters = /#define EXEC_LETTERS "([a-z]+)"/i.exec(launcher)?.[1] ?? ''
  assert.deepEqual(
    [...letters].sort(),
    withValue(exec.flags)
      .flatMap(([, { alias }]) => alias ?? [])
      .sort(),
  )
  assert.equal(GLOBAL_FLAGS['no-controller']?.type, 'boolean')
  assert.ok(launcher.includes('"--no-controller"'))
})

test('the verbs that the launcher looks for descriptors in are those that take them', async () => {
  const looked = [...launcher.matchAll(/strcmp\(argv\[verb\], "([a-z]+)"\)/g)].map(([, name]) => name)
  for (const [name, { load }] of Object.entries(VERBS))
    assert.equal('preserve-fds' in (await load()).verb.flags, looked.includes(name), name)
})

test('the manual has each command and each flag, and nothing that roff would take for its own', async () => {
  const page = await manPage()
  const parts = new Map(
    page
      .split(/^\.S[HS] /m)
      .map((part) => [part.split('\n')[0]?.replaceAll('"', '').replaceAll('\\-', '-') ?? '', part] as const),
  )
  const has = (part: string | undefined, flags: Flags) => {
    for (const [name, { alias }] of Object.entries(flags)) {
      assert.ok(part?.includes(`\\fB\\-\\-${name.replaceAll('-', '\\-')}\\fR`), name)
      if (alias !== undefined) assert.ok(part?.includes(`\\fB\\-${alias}\\fR, `), alias)
    }
  }
  has(parts.get('FLAGS'), GLOBAL_FLAGS)
  for (const [name, { load }] of Object.entries(VERBS)) {
    const [, part] = [...parts].find(([title]) => new RegExp(`^berth ${name}( |$)`).test(title)) ?? assert.fail(name)
    has(part, (await load()).verb.flags)
  }
  for (const line of page.trimEnd().split('\n')) {
    assert.match(line, /^(\.(\\"|TH|SH|SS|TP)( |$)|[^.'])/, line)
    assert.doesNotMatch(line, /[^\x20-\x7e]/, line)
    // Escapes: only those that are meant.
    assert.doesNotMatch(line.replaceAll(/\\(f[BIR]|-|e|&|\((cq|lq|rq))|^\.\\"/g, ''), /\\/, line)
  }
})

test('what is plain is read as yargs reads it, and nothing else is taken for plain', async () => {
  const flags: Flags = {
    force: { type: 'boolean', alias: 'f', describe: '' },
    bundle: { type: 'string', alias: 'b', describe: '' },
    'pid-file': { type: 'string', describe: '' },
    env: { type: 'list', alias: 'e', describe: '' },
  }
  const plain = [
    [],
    ['x'],
    ['x', 'y z', '9'],
    ['--force', 'x'],
    ['x', '-f'],
    ['--bundle', '/b', '--pid-file=p=q', 'x'],
    ['-b', '/b', 'x'],
    ['--env', 'A=1', '-e', 'B', 'x', '--env=C=--d'],
    ['--bundle', 'a', '--bundle', 'b', '007'],
    ['x', '--pid-file=a b'],
  ]
  const others = [
    ['--force=true', 'x'],
    ['--force', '--force', 'x'],
    ['--no-force', 'x'],
    ['--unknown', 'x'],
    ['--help'],
    ['-h'],
    ['-fb', '/b'],
    ['-b/b'],
    ['--bundle'],
    ['--bundle=', 'x'],
    ['--bundle', '', 'x'],
    ['--bundle', '-x'],
    ['--', 'x'],
    ['-'],
    ['--constructor', 'x'],
    ['--pidFile', 'x'],
  ]
  for (const stopAtFirst of [false, true]) {
    const grammar = { usage: '', flags, stopAtFirst }
    for (const argv of plain) {
      const read = parsePlain(argv, grammar)
      assert.deepEqual(read, await parseAny(argv, grammar), argv.join(' '))
    }
    for (const argv of others) assert.equal(parsePlain(argv, grammar), undefined, argv.join(' '))
  }
})
