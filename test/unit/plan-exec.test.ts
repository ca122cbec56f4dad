import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cpuMask } from '../../src/plan/affinity.ts'
import { encodePlan } from '../../src/plan/encode.ts'
import { compileExec, compileLentExec, type ExecInput } from '../../src/plan/exec.ts'
import { factsPlan, readFacts } from '../../src/plan/facts.ts'
import { REPORTS } from '../../src/plan/ops.ts'
import type { Process, Spec } from '../../src/spec/types.ts'
import { all, facts, inside, MOUNTINFO, names, OWN, one, plainSpec } from './plan-fixture.ts'

const input = (change: Partial<Process> = {}): ExecInput => ({
  id: 'c1',
  bundle: '/bundle',
  stateDir: '/run/berth/c',
  key: 'exec-1',
  process: { user: { uid: 0, gid: 0 }, cwd: '/', args: ['ps'], noNewPrivileges: true, ...change },
  init: { pid: 77, start: 1234n },
  spec: plainSpec(),
  cgroupPaths: ['/sys/fs/cgroup/pids/berth-c1'],
  facts: facts(),
  stdio: [0, 1, 2],
  preserveFds: 0,
  afterTerminal: [],
  arch: 'x86_64',
})

const NET_IPC_UTS_MOUNT = 0x4c020000

test('exec: by the init itself into its namespaces', () => {
  const plan = compileExec(input())
  assert.deepEqual(names(plan), ['pidfd', 'join-pid', 'clone', 'resume'])
  const init = one(plan, 'pidfd')
  assert.deepEqual([init.pid, init.start], [77, 1234n])
  assert.deepEqual(names(inside(plan))[0], 'alive')
  const slots = [one(plan, 'join-pid'), one(inside(plan), 'alive'), one(inside(plan), 'setns')].map(({ slot }) => slot)
  assert.deepEqual(slots, [init.slot, init.slot, init.slot])
  const clone = one(plan, 'clone')
  assert.deepEqual([clone.join, clone.flags, clone.cgroups], [[], 0n, ['/sys/fs/cgroup/pids/berth-c1']])
  assert.equal(one(inside(plan), 'setns').nstype, NET_IPC_UTS_MOUNT)
  assert.equal(one(plan, 'resume').until, REPORTS.exec)
  assert.ok(!names(inside(plan)).includes('park'))
  assert.equal(names(inside(plan)).at(-1), 'exec')
})

test('exec: a user namespace that may be the own one is opened, then believed, then joined', () => {
  const namespaces = [{ type: 'pid' }, { type: 'user', path: '/proc/1/ns/user' }, { type: 'mount' }] as const
  const plan = compileExec({ ...input(), spec: plainSpec({ linux: { namespaces } }) })
  assert.deepEqual(
    all(plan, 'open-namespace').map(({ path }) => path),
    ['pid', 'user', 'mnt'].map((name) => `/proc/77/ns/${name}`),
  )
  assert.deepEqual(names(plan).slice(3), ['pidfd', 'clone', 'resume'])
  assert.deepEqual(one(plan, 'clone').join, [40])
})

test('exec: what a launcher is lent has the arguments that it was given', () => {
  const { init: _, ...lent } = input()
  const plan = compileLentExec(lent)
  assert.ok(plan)
  encodePlan(plan)
  assert.deepEqual(names(plan), ['take', 'join-pid', 'clone', 'resume'])
  const long = compileExec(input())
  const given = names(inside(long)).map((name) => name.replace(/^(find|exec)(-exec)?$/, '$1-given'))
  assert.deepEqual(names(inside(plan)), given)
  assert.equal(one(inside(plan), 'find-given').path, one(inside(long), 'find-exec').path)
  assert.deepEqual(one(inside(plan), 'exec-given').env, one(inside(long), 'exec').env)
})

test('exec: nothing is lent where more than the init is needed', () => {
  const { init: _, ...lent } = input()
  const spec = (linux: Spec['linux']) => plainSpec({ linux: { ...plainSpec().linux, ...linux } })
  const none = {
    'no mounts of its own': { spec: spec({ namespaces: [{ type: 'pid' }] }) },
    'a user namespace that may be the own one': {
      spec: spec({ namespaces: [{ type: 'mount' }, { type: 'user', path: '/proc/1/ns/user' }] }),
    },
    'no privilege': { facts: facts({ permitted: 0n }) },
    'a listener': {
      spec: spec({
        seccomp: {
          defaultAction: 'SCMP_ACT_ALLOW',
          listenerPath: '/agent',
          syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }],
        },
      }),
    },
  }
  for (const [why, change] of Object.entries(none))
    assert.equal(compileLentExec({ ...lent, ...change }), undefined, why)
})

test('exec: into a container without mounts of its own by its root', () => {
  const spec = plainSpec({ linux: { namespaces: [{ type: 'pid' }] } })
  const plan = compileExec({ ...input(), spec })
  assert.equal(one(plan, 'open').path, '/proc/77/root')
  assert.equal(one(inside(plan), 'enter-root').slot, one(plan, 'open').slot)
  assert.ok(names(plan).indexOf('open') < names(plan).indexOf('pidfd'))
})

test('exec: who lacks the privilege gains it in the user namespace, in a process between', () => {
  const namespaces = [{ type: 'user' }, { type: 'pid' }, { type: 'mount' }] as const
  const map = [{ containerID: 0, hostID: 1000, size: 1 }]
  const spec = plainSpec({ linux: { namespaces, uidMappings: map, gidMappings: map } })
  const root = compileExec({ ...input(), spec })
  assert.deepEqual(one(root, 'clone').join, [])
  assert.deepEqual(
    all(inside(root), 'setns').map(({ nstype }) => nstype),
    [0x20000, 0x10000000],
  )
  const user = compileExec({ ...input(), spec, facts: facts({ permitted: 0n }) })
  assert.deepEqual(one(user, 'clone').join, [40, 41])
  assert.equal(one(inside(user), 'setns').nstype, 0x20000)
})

test('exec: the score before the namespaces, a terminal that is no console', () => {
  const plan = inside(compileExec(input({ oomScoreAdj: 5, terminal: true })))
  const order = names(plan)
  assert.ok(order.indexOf('oom-score') < order.indexOf('setns'))
  assert.equal(one(plan, 'terminal').console, 0)
})

test('exec: without capabilities of its own it has none', () => {
  const { permitted, bounding } = one(inside(compileExec(input())), 'caps')
  assert.deepEqual([permitted, bounding], [0n, 0n])
})

test('exec: CPU affinity', () => {
  const plan = compileExec(input({ execCPUAffinity: { initial: '0', final: '1-2' } }))
  // from its maker, as it is before it enters the cgroup; and its own in there
  const order = names(plan)
  assert.ok(order.indexOf('affinity') < order.indexOf('clone'))
  assert.equal(one(plan, 'affinity').mask[0], 1)
  assert.equal(one(inside(plan), 'affinity').mask[0], 6)
  assert.throws(() => compileExec(input({ execCPUAffinity: { final: '2-1' } })), {
    pointer: '/process/execCPUAffinity/final',
  })
})

test('CPU lists', () => {
  assert.deepEqual(cpuMask('0-3,9'), Uint8Array.from([15, 2, 0, 0, 0, 0, 0, 0]))
  assert.equal(cpuMask('64')?.length, 16)
  for (const bad of ['', 'x', '1-', '-1', '3-1', '99999', '0-9999', '1,,2']) assert.equal(cpuMask(bad), undefined, bad)
})

test('facts: from what the operations read', () => {
  const files: Readonly<Record<string, string>> = {
    '/proc/self/mountinfo': `${MOUNTINFO.hybrid}\n50 23 0:9 / /sys/fs/selinux rw - selinuxfs selinuxfs rw`,
    '/proc/self/cgroup': OWN,
    '/proc/sys/kernel/osrelease': '6.1.0-test\n',
    '/proc/sys/kernel/cap_last_cap': '40\n',
    '/proc/self/status':
      'Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapPrm:\t000001ffffffffff\nCapEff:\t0\nCapBnd:\t000001fffeffffff\n',
    '/sys/module/apparmor/parameters/enabled': 'Y\n',
    '/proc/kcore': 'stat',
  }
  const text = (index: number) => {
    const op = factsPlan[index]
    return op?.op === 'read' || op?.op === 'stat' ? files[op.path] : undefined
  }
  const results = {
    text,
    bytes: (index: number) => {
      const found = text(index)
      return found === undefined ? undefined : Buffer.from(found)
    },
    u32: () => 0,
    u64: () => 0n,
    nested: () => results,
  }
  const read = readFacts(results)
  assert.equal(read.cgroup.mode, 'hybrid')
  assert.deepEqual(
    [read.kernel, read.lastCap, read.permitted, read.boundingSet, read.apparmor, read.selinux, read.kcore],
    ['6.1.0-test', 40, 0x1ffffffffffn, 0x1fffeffffffn, true, true, true],
  )
})
