import assert from 'node:assert/strict'
import { test } from 'node:test'
import { delegated, delegationPlan } from '../../src/cgroup/delegation.ts'
import { resultsOf } from '../../src/controller/results.ts'
import { BerthError } from '../../src/errors.ts'
import { ByteWriter } from '../../src/plan/bytes.ts'
import { compileCreate } from '../../src/plan/create.ts'
import type { HostFacts } from '../../src/plan/facts.ts'
import type { Plan } from '../../src/plan/ops.ts'
import { usernsRefusal } from '../../src/plan/rootless.ts'
import { defaultSpec } from '../../src/spec/default.ts'
import type { Linux, Process, Spec } from '../../src/spec/types.ts'
import { all, facts, input, inside, layout, type MOUNTINFO, names, one } from './plan-fixture.ts'

const UID = 1000
const USER: Partial<HostFacts> = {
  permitted: 0n,
  caller: { uid: UID, gid: UID, setgroupsDenied: false },
}
/** No cgroup is the user's, as after a plain login. */
const none = (mode: keyof typeof MOUNTINFO = 'hybrid') => answered(mode, () => 13)

/** The layout as narrowed to what `errnoOf` says may be written to. */
const answered = (mode: keyof typeof MOUNTINFO, errnoOf: (path: string) => number) => {
  const from = layout(mode)
  const results = new Map<number, Uint8Array>()
  for (const [index, op] of delegationPlan(from).entries()) {
    if (op.op === 'access') results.set(index, new ByteWriter().u32(errnoOf(op.path)).finish())
    if (op.op === 'stat') results.set(index, new ByteWriter().u32(0o40755).u32(0).raw(new Uint8Array(40)).finish())
  }
  return delegated(from, resultsOf({ error: undefined, results }), UID)
}

const rootless = (linux: Partial<Linux> = {}, more: Partial<Spec> = {}, process: Partial<Process> = {}): Spec => {
  const spec = defaultSpec({ rootless: { uid: UID, gid: UID } })
  const base = { ...spec.process, terminal: false, user: { uid: 0, gid: 0 }, cwd: '/', ...process }
  return { ...spec, process: base, linux: { ...spec.linux, ...linux }, ...more }
}

const compile = (spec: Spec, change: Partial<HostFacts> = {}) =>
  compileCreate(input(spec, { facts: facts({ ...USER, cgroup: none(), ...change }) }))

const refused = (spec: Spec, pointer: string, text: RegExp, change: Partial<HostFacts> = {}) =>
  assert.throws(
    () => compile(spec, change),
    (error) => {
      assert.ok(error instanceof BerthError)
      assert.equal(error.pointer, pointer)
      assert.match(error.message, text)
      return true
    },
  )

const RANGE = [
  { containerID: 0, hostID: UID, size: 1 },
  { containerID: 1, hostID: 100000, size: 65536 },
]

test('the own id is mapped directly, and groups are given up', () => {
  const { create } = compile(rootless())
  const clone = one(create, 'clone')
  assert.deepEqual(
    [clone.uidMap, clone.gidMap, clone.uidMapper, clone.gidMapper, clone.setgroups],
    ['0 1000 1\n', '0 1000 1\n', '', '', 'deny'],
  )
  assert.equal(one(inside(create), 'user').setgroups, 0)
  refused(rootless({}, {}, { user: { uid: 0, gid: 0, additionalGids: [0] } }), '/process/user/additionalGids', /subgid/)
})

test('other ids are mapped by newuidmap and newgidmap, which keeps groups', () => {
  const { create } = compile(rootless({ uidMappings: RANGE, gidMappings: RANGE }))
  const clone = one(create, 'clone')
  assert.deepEqual(
    [clone.uidMapper, clone.gidMapper, clone.setgroups],
    ['/usr/bin/newuidmap', '/usr/bin/newgidmap', ''],
  )
  assert.equal(one(inside(create), 'user').setgroups, 1)
  // One id that is another's is as little the caller's to map.
  const foreign = rootless({ uidMappings: [{ containerID: 0, hostID: 0, size: 1 }] })
  assert.equal(one(compile(foreign).create, 'clone').uidMapper, '/usr/bin/newuidmap')
})

test('root of a user namespace maps ids itself, and knows where groups are denied', () => {
  const caller = { uid: 0, gid: 0, setgroupsDenied: true }
  const nested = { caller, inUserNamespace: true, permitted: facts().permitted }
  const mapped = compile(rootless({ uidMappings: RANGE, gidMappings: RANGE }), nested)
  assert.equal(one(mapped.create, 'clone').uidMapper, '')
  assert.equal(one(inside(mapped.create), 'user').setgroups, 0)
  const shared = rootless({
    namespaces: [{ type: 'mount' }, { type: 'pid' }, { type: 'uts' }],
    uidMappings: [],
    gidMappings: [],
  })
  assert.equal(one(inside(compile(shared, nested).create), 'user').setgroups, 0)
})

test('a user without privilege needs a user namespace that has the ids in use', () => {
  refused(
    rootless({ namespaces: [{ type: 'mount' }, { type: 'pid' }], uidMappings: [], gidMappings: [] }),
    '/linux/namespaces',
    /uid 1000 needs a user namespace.*spec --rootless/,
  )
  refused(rootless({}, {}, { user: { uid: 5, gid: 0 } }), '/process/user/uid', /5 is not in linux\.uidMappings/)
  refused(rootless({}, {}, { user: { uid: 0, gid: 7 } }), '/process/user/gid', /7 is not in linux\.gidMappings/)
  const mounts = [{ destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['nosuid', 'gid=5'] }]
  refused(rootless({}, { mounts }), '/mounts/0/options/1', /gid=5 is not in linux\.gidMappings/)
})

test('without a cgroup of one’s own: none is used, and limits are refused with the file, its owner and the fix', () => {
  const { create, undo, cgroupPaths } = compile(rootless())
  assert.deepEqual([cgroupPaths, undo], [[], []])
  assert.ok(!names(create).includes('mkdir'))
  const memory = { resources: { memory: { limit: 1n << 26n } } }
  refused(
    rootless(memory),
    '/linux/resources/memory/limit',
    /"\/sys\/fs\/cgroup\/memory\/user" belongs to uid 0, and uid 1000 may not write to it: .*Delegate=yes/,
  )
  refused(rootless(memory), '/linux/resources/memory/limit', /"\/sys\/fs\/cgroup" belongs to uid 0.*Delegate=yes/, {
    cgroup: none('unified'),
  })
  refused(rootless({ cgroupsPath: '/mine' }), '/linux/cgroupsPath', /belongs to uid 0/)
  refused(
    rootless({ namespaces: [{ type: 'mount' }, { type: 'user' }, { type: 'uts' }] }),
    '/linux/namespaces',
    /needs a pid namespace/,
  )
  const { warnings } = compile(rootless({ resources: { devices: [{ allow: false, access: 'rwm' }] } }))
  assert.ok(warnings.some((text) => /resources\.devices is ignored/.test(text)))
})

const limits = (plan: Plan) => all(plan, 'write').map(({ path }) => path)

test('v1: a hierarchy that was given to the user is used below the own cgroup', () => {
  const cgroup = answered('hybrid', (path) => (path === '/sys/fs/cgroup/memory/user' ? 0 : 13))
  const { create, cgroupPaths } = compile(rootless({ resources: { memory: { limit: 1n << 26n } } }), { cgroup })
  assert.deepEqual(cgroupPaths, ['/sys/fs/cgroup/memory/user/berth-c1'])
  assert.deepEqual(limits(create), ['/sys/fs/cgroup/memory/user/berth-c1/memory.limit_in_bytes'])
  refused(rootless({ resources: { pids: { limit: 5n } } }), '/linux/resources/pids/limit', /cgroup\/pids/, { cgroup })
})

test('v2: beside the own cgroup where that was delegated, else below it; controllers are handed down from there only', () => {
  const spec = rootless({ resources: { pids: { limit: 5n } } })
  const parent = compile(spec, { cgroup: answered('unified', () => 0) })
  assert.deepEqual(parent.cgroupPaths, ['/sys/fs/cgroup/berth-c1'])
  const cgroup = answered('unified', (path) => (path.startsWith('/sys/fs/cgroup/init.scope') ? 0 : 13))
  const { create, cgroupPaths } = compile(spec, { cgroup })
  assert.deepEqual(cgroupPaths, ['/sys/fs/cgroup/init.scope/berth-c1'])
  assert.deepEqual(
    all(create, 'subtree-control').map(({ path }) => path),
    ['/sys/fs/cgroup/init.scope'],
  )
  // The directory alone is not enough: no process could be moved into it.
  const procs = answered('unified', (path) => (path.endsWith('cgroup.procs') ? 13 : 0))
  assert.deepEqual(compile(rootless(), { cgroup: procs }).cgroupPaths, [])
})

test('S12: the host’s /sys comes with its cgroups read-only', () => {
  const { create } = compile(rootless())
  const sys = all(inside(create), 'mount-in').find(({ target }) => target === '/sys')
  assert.equal(sys?.recAttrSet, 1n)
})

test('no user namespaces: the sysctl that says so is named', () => {
  assert.match(usernsRefusal(['0\n', undefined, undefined]) ?? '', /user\.max_user_namespaces is 0/)
  assert.match(usernsRefusal(['9\n', '0\n', undefined]) ?? '', /kernel\.unprivileged_userns_clone is 0/)
  assert.match(usernsRefusal(['9\n', '1\n', '1\n']) ?? '', /apparmor_restrict_unprivileged_userns is 1/)
  assert.equal(usernsRefusal(['9\n', '1\n', '0\n']), undefined)
})
