import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { CALLS, FLOOR, type KernelFeature, missingCall, PARTS } from '../../src/host/kernel.ts'

const top = new URL('../../', import.meta.url).pathname
const doc = readFileSync(`${top}docs/kernels.md`, 'utf8')

const table = (features: Readonly<Record<string, KernelFeature>>): string =>
  [
    '| | since | used for | without it |',
    '|---|---|---|---|',
    ...Object.entries(features).map(
      ([name, { since, use, without }]) => `| ${name} | ${since} | ${use} | ${without} |`,
    ),
  ].join('\n')

test('docs/kernels.md has these tables', () => {
  assert.ok(doc.includes(`Linux ${FLOOR} and newer`))
  for (const features of [CALLS, PARTS]) assert.ok(doc.includes(table(features)), table(features))
})

/** Calls that any kernel in question has. */
const OLD = new Set(
  `capget capset clone getcwd ioprio_set keyctl mount pivot_root prlimit64 get_mempolicy renameat2 sched_setaffinity sched_setattr seccomp set_mempolicy
  setgroups setresgid
  setresuid statx umount2`.split(/\s+/),
)

test('every system call that native/ makes by number is old, or in the table', () => {
  const made = new Set(
    globSync(`${top}native/**/*.[ch]`).flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/\bSYS_([a-z0-9_]+)/g)].map(([, name]) => name ?? ''),
    ),
  )
  assert.ok(made.size > 20)
  assert.deepEqual(
    [...made].filter((name) => !OLD.has(name) && !(name in CALLS)),
    [],
  )
})

test('a missing call is named with the Linux that has it', () => {
  assert.match(missingCall('openat2') ?? '', /^Linux has openat2 since 5\.6: /)
  assert.equal(missingCall('open'), undefined)
  assert.equal(missingCall('constructor'), undefined)
})
