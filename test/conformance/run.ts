/**
 * The public validation suite (build-suite makes it, outside of the checkout) against bin/berth.
 *   run.ts [TEST…]    what does not pass has to be in failures.json, with the reason, and nothing else
 *   run.ts --table    the same for runc and crun too, and writes docs/conformance.md
 * BERTH_SUITE: where the suite is built (default /var/tmp/berth-suite).
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../harness/host.ts'
import failures from './failures.json' with { type: 'json' }

const CGROUPS = '/sys/fs/cgroup'
/** v1 controllers that a host may have in its kernel, but not mounted: two of the suite's files each look for them. */
const OPTIONAL = 'hugetlb,net_cls,net_prio'
const suite = process.env.BERTH_SUITE ?? '/var/tmp/berth-suite'
const here = import.meta.dirname

type Results = Readonly<Record<string, { readonly status: string }>>

/** Runs the files (none: all), with the optional hierarchies. */
const runSuite = (runtime: string, files: readonly string[], echo: boolean): Results => {
  const out = mkdtempSync(join(tmpdir(), 'berth-conformance-'))
  try {
    const command = [join(here, 'run-suite'), join(suite, 'suite'), runtime, ...files, '-o', out]
    const { status, error } = spawnSync(join(root, 'scripts/with-hierarchies'), [OPTIONAL, ...command], {
      stdio: ['ignore', echo ? 'inherit' : 'ignore', 'inherit'],
    })
    if (error !== undefined || status === null) throw new Error(`run-suite ${runtime}: ${error?.message ?? 'killed'}`)
    return JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8'))
  } finally {
    clearCgroups()
    rmSync(out, { recursive: true, force: true })
  }
}

/** The suite removes none of the cgroups that it has runtimes make above those of its containers. */
const PARENTS = ['testdir/cgrouptest', 'testdir', 'berth/testdir/cgrouptest', 'berth/testdir', 'berth']

const clearCgroups = (): void => {
  for (const hierarchy of readdirSync(CGROUPS))
    for (const parent of PARENTS.map((path) => join(CGROUPS, hierarchy, path)))
      if (existsSync(parent)) rmdirSync(parent)
}

const passed = (results: Results, name: string) => results[name]?.status === 'PASS'
/** Files that can't pass, those whose outcome depends on the host, and those that a process and a hook can win or lose. */
const never: Readonly<Record<string, string>> = failures.never
const hosts: Readonly<Record<string, string>> = failures.hosts
const races: Readonly<Record<string, string>> = failures.races
const reasonOf = (name: string): string | undefined => never[name] ?? hosts[name]

/** What is otherwise than failures.json says, in lines. */
const surprises = (results: Results): string[] =>
  Object.keys(results).flatMap((name) => {
    if (passed(results, name)) return never[name] === undefined ? [] : [`${name}: passes, but failures.json says never`]
    return reasonOf(name) === undefined
      ? [`${name}: ${results[name]?.status}, and failures.json has no reason for it`]
      : []
  })

/** As often as a race may be lost in a row before it counts. */
const ATTEMPTS = 6

/** A lost race says nothing; lost each time, it does. */
const decideRaces = (runtime: string, first: Results): Results => {
  const known = { ...first }
  const lost = (name: string) => known[name] !== undefined && !passed(known, name)
  for (const [name, reason] of Object.entries(races))
    for (let attempt = 2; attempt <= ATTEMPTS && lost(name); attempt += 1) {
      console.log(`conformance: ${name}, attempt ${attempt}: ${reason}`)
      Object.assign(known, runSuite(runtime, [name], true))
    }
  return known
}

const version = (runtime: string) => execFileSync(runtime, ['--version'], { encoding: 'utf8' }).split('\n')[0] ?? ''

/** Debian's newest, unpacked beside the host's: the directory of its program. */
const newest = (name: string): string => {
  const dir = execFileSync(join(here, '../containerd/matrix'), ['newest', name, `/var/tmp/berth-newest-${name}`], {
    encoding: 'utf8',
  })
  return join(dir.trim().split('\n').at(-1) ?? '', name)
}

const table = (columns: readonly { readonly title: string; readonly results: Results }[]): string => {
  const [berth] = columns
  const names = Object.keys(berth?.results ?? {})
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const count = ({ results }: { results: Results }) => String(names.filter((name) => passed(results, name)).length)
  const differ = names.filter((name) => columns.some(({ results }) => !passed(results, name)))
  return [
    '# The public validation suite',
    '',
    "Written by `make conformance-table`: every file of opencontainers/runtime-tools' validation suite, each runtime in the same run on",
    `the same machine (Linux ${execFileSync('uname', ['-r'], { encoding: 'utf8' }).trim()}, cgroup v1 and an empty v2 hierarchy). \`make conformance\` runs it for berth alone and fails on any`,
    'file that does not pass and has no reason in `test/conformance/failures.json`.',
    '',
    row(['', ...columns.map(({ title }) => title)]),
    row(['---', ...columns.map(() => '---:')]),
    row([`files that pass, of ${names.length}`, ...columns.map(count)]),
    '',
    'Files that do not pass with each of them:',
    '',
    row(['file', ...columns.map(({ title }) => title), 'why berth does not pass']),
    row(['---', ...columns.map(() => '---'), '---']),
    ...differ.map((name) =>
      row([
        name,
        ...columns.map(({ results }) => (passed(results, name) ? 'pass' : 'no')),
        passed(berth?.results ?? {}, name) ? '' : (reasonOf(name) ?? ''),
      ]),
    ),
    '',
  ].join('\n')
}

const main = (args: readonly string[]): number => {
  if (process.getuid?.() !== 0) {
    console.error('conformance: skipped: needs root')
    return 0
  }
  execFileSync(join(here, 'build-suite'), [suite], { stdio: 'inherit' })
  const berth = join(root, 'bin/berth')
  const withTable = args[0] === '--table'
  const results = decideRaces(berth, runSuite(berth, withTable ? [] : args, true))
  if (withTable) {
    const others = ['runc', 'crun'].flatMap((name) => [name, newest(name)])
    const columns = others.map((program) => ({
      title: version(program),
      results: decideRaces(program, runSuite(program, [], false)),
    }))
    const text = table([{ title: version(berth), results }, ...columns])
    writeFileSync(join(root, 'docs/conformance.md'), text)
  }
  const wrong = surprises(results)
  for (const line of wrong) console.error(`conformance: ${line}`)
  const names = Object.keys(results)
  const good = names.filter((name) => passed(results, name)).length
  console.log(`conformance: ${good} of ${names.length} files pass, ${wrong.length} otherwise than expected`)
  return wrong.length === 0 ? 0 : 1
}

process.exitCode = main(process.argv.slice(2))
