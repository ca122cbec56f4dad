import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Check, examine, sound } from '../../src/host/examine.ts'
import type { Findings, Probed, ProbeName } from '../../src/host/findings.ts'
import { probeNames } from '../../src/host/findings.ts'
import { facts, layout } from './plan-fixture.ts'

const ENOSYS = 38
const EPERM = 1
const RUN = { path: '/run/berth', stat: { mode: 0o700, uid: 0 } }

const findings = (change: Partial<Findings> = {}, errnos: Partial<Record<ProbeName, number>> = {}): Findings => ({
  uid: 0,
  facts: facts({ apparmor: true, selinux: true }),
  probes: Object.fromEntries(
    probeNames.map((name) => [name, { errno: errnos[name] ?? 0, value: name === 'landlock' ? 7n : 0n }]),
  ) as Record<ProbeName, Probed>,
  files: {
    maxUserNamespaces: '1000\n',
    unprivilegedUserns: undefined,
    apparmorUserns: undefined,
    fileSystems: 'nodev\tproc\nnodev\tresctrl\n',
    subuid: 'u:100000:65536\n',
    subgid: 'u:100000:65536\n',
    passwd: 'root:x:0:0::/:\nu:x:1000:1000::/:\n',
  },
  lists: { hugePages: ['hugepages-2048kB'] },
  programs: { newuidmap: '/usr/bin/newuidmap', newgidmap: '/usr/bin/newgidmap', criu: '/usr/sbin/criu' },
  runDir: RUN,
  controllers: [{ socket: '/run/berth/.controller/controller-1.sock', listens: true }],
  own: { node: '26.0.0', build: 'b' },
  ...change,
})

const find = (checks: readonly Check[], name: string): Check =>
  checks.find((check) => check.name === name) ?? assert.fail(name)

test('a host that has it all, but for what version 1 of cgroups leaves out', () => {
  const checks = examine(findings())
  assert.ok(sound(checks))
  assert.deepEqual(
    checks.filter(({ ok }) => !ok).map(({ name }) => name),
    ['blkio', 'hugetlb', 'rdma', 'net_cls', 'net_prio'].map((name) => `controller ${name}`),
  )
  assert.equal(find(checks, 'Landlock').found, 'ABI 7')
  assert.match(find(checks, 'controller').found, /controller-1\.log/)
  assert.equal(new Set(checks.map(({ name }) => name)).size, checks.length)
})

test('each check says who needs it, and how to get it', () => {
  for (const check of [...examine(findings()), ...examine(findings({ uid: 1000 }))]) {
    assert.ok(check.needs.length > 0, check.name)
    assert.ok(check.fix.length > 0, check.name)
  }
})

test('what nothing can do without makes the host unsound, the rest does not', () => {
  for (const probe of [
    'openat2',
    'mountTree',
    'mountNew',
    'mountAttributes',
    'closeRange',
    'pidfdOpen',
    'pid',
  ] as const) {
    const checks = examine(findings({}, { [probe]: ENOSYS }))
    assert.ok(!sound(checks), probe)
    assert.deepEqual(
      checks.filter(({ ok, required }) => !ok && required).map(({ found }) => found),
      ['ENOSYS'],
    )
  }
  for (const probe of probeNames.filter((name) => /^(seccomp|landlock|clone|time|user|memory|systemd)/.test(name)))
    assert.ok(sound(examine(findings({}, { [probe]: ENOSYS }))), probe)
})

test('an old kernel is told, and tried', () => {
  const checks = examine(findings({ facts: facts({ kernel: '5.4.0-42-generic' }) }))
  assert.equal(find(checks, 'version').ok, false)
  assert.ok(sound(checks))
  assert.ok(find(examine(findings({ facts: facts({ kernel: '5.15.0-rc1' }) })), 'version').ok)
})

test('cgroups: by the mode of the host', () => {
  const unified = examine(findings({ facts: facts({ cgroup: layout('unified') }) }, { deviceFilter: EPERM }))
  assert.deepEqual(find(unified, 'devices (BPF)').needs, ['linux.resources.devices'])
  assert.ok(!sound(unified))
  assert.ok(find(unified, 'controller io').ok)
  assert.ok(
    !unified.some(({ name }) => ['controller freezer', 'controller net_cls', 'controller blkio'].includes(name)),
  )
  const legacy = examine(findings({ facts: facts({ cgroup: layout('legacy') }) }, { deviceFilter: EPERM }))
  assert.ok(sound(legacy))
  assert.ok(!legacy.some(({ name }) => name === 'cgroup.kill'))
  assert.match(find(legacy, 'controller cpu').fix, /mount -t cgroup -o cpu /)
  const none = { mode: 'legacy', v1: [], v2: undefined, v2Controllers: [] } as const
  assert.ok(!sound(examine(findings({ facts: facts({ cgroup: none }) }))))
})

test('user namespaces: the switch that is off', () => {
  const fix = (files: Partial<Findings['files']>, uid = 1000) =>
    find(examine(findings({ uid, files: { ...findings().files, ...files } }, { user: EPERM })), 'user').fix
  assert.match(fix({ maxUserNamespaces: '0\n' }), /user\.max_user_namespaces/)
  assert.match(fix({ unprivilegedUserns: '0\n' }), /unprivileged_userns_clone/)
  assert.match(fix({ apparmorUserns: '1\n' }), /apparmor_restrict_unprivileged_userns/)
  assert.doesNotMatch(fix({ apparmorUserns: '1\n' }, 0), /apparmor/)
})

test('subordinate ids: of an ordinary user, by name or number', () => {
  const ids = (uid: number, text: string) =>
    examine(findings({ uid, files: { ...findings().files, subuid: text, subgid: text } })).find(
      ({ name }) => name === 'subordinate ids',
    )
  assert.equal(ids(0, ''), undefined)
  assert.ok(ids(1000, 'u:1:1\n')?.ok)
  assert.ok(ids(1000, '1000:1:1\n')?.ok)
  assert.equal(ids(1000, 'v:1:1\n')?.ok, false)
  assert.match(ids(1000, '')?.fix ?? '', /usermod .* u$/)
  assert.match(ids(1001, '')?.fix ?? '', /usermod .* 1001$/)
})

test('the run directory is nobody else’s', () => {
  const run = (stat: { mode: number; uid: number } | undefined, uid = 0) =>
    sound(examine(findings({ uid, runDir: { ...RUN, stat } })))
  assert.ok(run(undefined))
  assert.ok(run({ mode: 0o755, uid: 0 }))
  assert.ok(!run({ mode: 0o777, uid: 0 }))
  assert.ok(!run({ mode: 0o700, uid: 5 }))
  assert.ok(run({ mode: 0o700, uid: 5 }, 5))
})
