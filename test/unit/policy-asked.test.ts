/** What policies ask of the host, and how often. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resultsOf } from '../../src/controller/results.ts'
import type { RunStep } from '../../src/controller/types.ts'
import type { HostFacts } from '../../src/plan/facts.ts'
import { PROBES } from '../../src/plan/ops.ts'
import { confinementOf } from '../../src/policy/source.ts'
import { facts } from './plan-fixture.ts'

const MOUNTS = '30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n'
const ANNOTATIONS = { 'io.berth.network.allow': '10.0.0.1' }
const node = { path: '/etc/berth/config.json', bytes: undefined }

/** A host with this answer of its Landlock; counts what it is asked. */
const host = (landlock: number) => {
  const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer)
  let asked = 0
  const step: RunStep = async (_, plan) => {
    asked++
    const answers = plan.map((op) => {
      if (op.op === 'read') return new TextEncoder().encode(op.path.endsWith('.json') ? '{"tcp":{}}' : MOUNTS)
      return op.op === 'probe' && op.what === PROBES.networkFilter
        ? u32(0)
        : new Uint8Array([...u32(0), landlock, 0, 0, 0, 0, 0, 0, 0])
    })
    return resultsOf({ results: new Map(answers.map((bytes, index) => [index, bytes])) } as never)
  }
  return {
    resolve: (own: HostFacts, annotations: Record<string, string> = ANNOTATIONS) =>
      confinementOf(step, { annotations }, node, { facts: own }),
    get asked() {
      return asked
    },
  }
}

test('what a host has is asked once for each kind of caller', async () => {
  const own = facts({ kernel: '6.99.1' })
  const whole = host(7)
  for (let i = 0; i < 3; i++)
    assert.deepEqual(await whole.resolve(own).then((found) => [found?.landlock, found?.network]), [7, ''])
  assert.equal(whole.asked, 1)
  await whole.resolve({ ...own, permitted: 0n })
  assert.equal(whole.asked, 2, 'another caller')
  const named = await whole.resolve(own, { ...ANNOTATIONS, 'io.berth.policy': 'web' })
  assert.deepEqual([whole.asked, named?.policies.length], [3, 2], 'a profile is read each time')
})

test('what it lacks, or may be kept from, is asked each time', async () => {
  const less = host(0)
  for (let i = 0; i < 2; i++) assert.equal((await less.resolve(facts({ kernel: '6.99.2' })))?.landlock, 0)
  assert.equal(less.asked, 2)
  const filtered = host(7)
  for (let i = 0; i < 2; i++) await filtered.resolve(facts({ kernel: '6.99.3', filtered: true }))
  assert.equal(filtered.asked, 2)
})
