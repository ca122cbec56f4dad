import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseLayout } from '../../src/cgroup/layout.ts'
import { containerPaths } from '../../src/container/layout.ts'
import { type PreparedInput, preparedDelete, preparedPlan } from '../../src/container/prepared.ts'
import { encodePlan } from '../../src/plan/encode.ts'
import { type Op, SITUATIONS } from '../../src/plan/ops.ts'
import type { Spec } from '../../src/spec/types.ts'

const paths = containerPaths('/run/berth', 'x')
const mountinfo = [
  '31 23 0:21 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n',
  '32 23 0:22 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n',
].join('')
const cgroups = parseLayout(mountinfo, '1:freezer:/\n0::/\n', '')
const cgroupPaths = ['/sys/fs/cgroup/unified/berth/x', '/sys/fs/cgroup/freezer/berth/x']

const input = (state: Partial<PreparedInput['state']> = {}, spec: Partial<Spec> = {}): PreparedInput => ({
  id: 'x',
  paths,
  state: {
    ociVersion: '1.3.0',
    bundle: '/b',
    rootfs: '/b/rootfs',
    created: '2026-11-23T00:45:08Z',
    annotations: {},
    cgroupPaths,
    sharedPid: false,
    ...state,
  },
  spec: { ociVersion: '1.3.0', process: { args: ['/x'], cwd: '/', user: { uid: 0, gid: 0 } }, ...spec } as Spec,
  start: [{ op: 'resume', key: 'init', until: 3, slot: 0 }],
  exec: [{ op: 'resume', key: 'exec', until: 3, slot: 0 }],
  build: 'b',
  cgroups,
})
const prepared = (given: PreparedInput, verb: string, word: string) => {
  const plan = preparedPlan(given)
  encodePlan(plan)
  return plan.filter(
    (op): op is Extract<Op, { op: 'prepare' }> => op.op === 'prepare' && op.verb === verb && op.words.includes(word),
  )
}
const { parked, released, frozen } = SITUATIONS

test('a situation is told from every freezer that the container is in', () => {
  const [situation] = preparedPlan(input())
  assert.ok(situation?.op === 'situation')
  assert.deepEqual(situation.files, [
    '/sys/fs/cgroup/freezer/berth/x/freezer.state',
    '/sys/fs/cgroup/unified/berth/x/cgroup.events',
  ])
})

test('no verb is prepared twice for a word and a situation', () => {
  const seen = new Set<string>()
  for (const op of preparedPlan(input({ sharedPid: true }))) {
    if (op.op !== 'prepare') continue
    for (const situation of Object.values(SITUATIONS).filter((bit) => op.situations & bit))
      for (const word of op.words) {
        const key: string = `${op.verb} ${word} ${situation}`
        assert.ok(!seen.has(key), key)
        seen.add(key)
      }
  }
})

test('what is lent is for launchers of the same build', () => {
  const lent = (given: PreparedInput) => preparedPlan(given).filter(({ op }) => op === 'lend')
  const [op, ...more] = lent(input())
  assert.ok(op?.op === 'lend')
  assert.deepEqual([op.verb, op.words, op.situations, more], ['exec', ['b'], parked | released, []])
  assert.deepEqual(lent({ ...input(), exec: undefined }), [])
})

test('what has something to say is left out', () => {
  assert.equal(prepared(input(), 'start', '').length, 1)
  const { process: _, ...without } = input().spec
  assert.deepEqual(prepared({ ...input(), spec: without }, 'start', ''), [])
  assert.deepEqual(prepared(input({ annotations: { 'org.opencontainers.image.stopSignal': 'NONE' } }), 'kill', ''), [])
  assert.deepEqual(prepared(input({ cgroupPaths: [] }), 'pause', ''), [])
  assert.deepEqual(prepared(input(), 'kill', 'NONE'), [])
  assert.deepEqual(prepared(input(), 'delete', ''), [])
})

test('situations', () => {
  const of = (verb: string, word = '') => prepared(input(), verb, word).map(({ situations }) => situations)
  assert.deepEqual(of('state'), [parked, released, frozen])
  assert.deepEqual(of('start'), [parked])
  assert.deepEqual(of('kill', 'SIGTERM'), [parked | released])
  assert.deepEqual(of('pause'), [parked | released])
  assert.deepEqual(of('resume'), [frozen])
})

test('signals go to the init, and SIGKILL to all where nothing else would end them', () => {
  const plan = (given: PreparedInput, word: string) => prepared(given, 'kill', word).map((op) => op.plan)
  assert.deepEqual(plan(input(), '9'), [[{ op: 'signal', key: 'init', signal: 9 }]])
  assert.deepEqual(plan(input(), 'TERM'), [[{ op: 'signal', key: 'init', signal: 15 }]])
  const stop = input({ annotations: { 'org.opencontainers.image.stopSignal': 'SIGUSR2' } })
  assert.deepEqual(plan(stop, ''), [[{ op: 'signal', key: 'init', signal: 12 }]])
  const shared = input({ sharedPid: true })
  assert.deepEqual(plan(shared, 'KILL'), [[{ op: 'kill-cgroup', path: cgroupPaths[0], signal: 9, flags: 1 }]])
  assert.deepEqual(plan(input({ sharedPid: true, cgroupPaths: [] }), 'KILL'), [])
  assert.deepEqual(
    plan(input({ sharedPid: true, annotations: { 'org.opencontainers.image.stopSignal': '9' } }), ''),
    [],
  )
})

test('a delete looks first whether the container has ended; with hooks after the end there is none', () => {
  assert.deepEqual(preparedDelete(paths, { poststop: [] })?.[0], { op: 'stat', path: paths.exit, flags: 0 })
  const hook: Op = { op: 'hook', path: '/h', args: [], env: [], cwd: '', input: [], timeoutMs: 0 }
  assert.equal(preparedDelete(paths, { poststop: [hook] }), undefined)
})
