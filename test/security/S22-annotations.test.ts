/** S22: no annotation loosens a container unless `features` names it as one that may. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { describeFeatures } from '../../src/cli/features.ts'
import { root } from '../harness/host.ts'

const sources = ['src', 'shim'].flatMap((dir) => globSync(`${dir}/**/*.ts`, { cwd: root }))

test('S22: annotations that could loosen what a container may do are in the list of unsafe ones', () => {
  const { potentiallyUnsafeConfigAnnotations: unsafe } = describeFeatures() as {
    potentiallyUnsafeConfigAnnotations: readonly string[]
  }
  // A key that code looks for is a literal of this form, with its domain in front.
  const keys = new Set(
    sources.flatMap((source) =>
      [
        ...readFileSync(join(root, source), 'utf8').matchAll(
          /['"`]((?:org\.systemd|run\.oci|org\.berth|io\.berth|org\.criu)\.[\w.-]*)/g,
        ),
      ].map((match) => match[1] ?? ''),
    ),
  )
  keys.delete('org.berth.version') // of features itself
  for (const key of keys)
    assert.ok(
      unsafe.some((each) => key === each || key.startsWith(each)),
      key,
    )
})
