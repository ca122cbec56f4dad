import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deviceRules } from '../../src/cgroup/devices.ts'
import { parseLayout } from '../../src/cgroup/layout.ts'
import { parseMountinfo } from '../../src/cgroup/mountinfo.ts'
import { cgroupDirs, cgroupPath, levels } from '../../src/cgroup/path.ts'
import { v1Settings } from '../../src/cgroup/v1.ts'
import { ioWeight, sharesToWeight, v2Settings } from '../../src/cgroup/v2.ts'
import type { BerthError } from '../../src/errors.ts'
import type { Resources } from '../../src/spec/types.ts'
import { layout, MOUNTINFO } from './plan-fixture.ts'

const shown = (settings: readonly { file: string; value: string }[]) =>
  settings.map(({ file, value }) => `${file}=${value}`)
const v1 = (resources: Resources, version = '1.3.0') => shown(v1Settings(resources, version).settings)
const v2 = (resources: Resources, version = '1.3.0') => shown(v2Settings(resources, version).settings)

test('mountinfo: optional fields and escapes', () => {
  const [mount] = parseMountinfo(
    '36 35 98:0 /r\\040oot /mnt\\011x rw shared:1 master:2 - ext4 /dev/root rw,errors=continue\nbad\n',
  )
  assert.deepEqual(mount, {
    id: 36,
    parent: 35,
    root: '/r oot',
    mountPoint: '/mnt\tx',
    options: ['rw'],
    type: 'ext4',
    superOptions: ['rw', 'errors=continue'],
  })
})

test('layout: hybrid, legacy and unified hosts', () => {
  const hybrid = layout('hybrid')
  assert.equal(hybrid.mode, 'hybrid')
  assert.equal(hybrid.v2?.mountPoint, '/sys/fs/cgroup/unified')
  assert.deepEqual(hybrid.v1[0], {
    controllers: ['cpu', 'cpuacct'],
    name: '',
    mountPoint: '/sys/fs/cgroup/cpu,cpuacct',
    label: 'cpu,cpuacct',
    own: '/a:b',
  })
  assert.equal(hybrid.v1.find(({ name }) => name === 'systemd')?.own, '/init.scope')
  assert.equal(layout('legacy').mode, 'legacy')
  const unified = layout('unified')
  assert.equal(unified.mode, 'unified')
  assert.ok(unified.v2Controllers.includes('memory'))
})

test('layout: a hierarchy that is mounted twice counts once', () => {
  const again = `${MOUNTINFO.legacy}\n99 31 0:35 /x /other/memory rw - cgroup cgroup rw,memory`
  const memory = parseLayout(again, '', '').v1.filter(({ controllers }) => controllers.includes('memory'))
  assert.deepEqual(
    memory.map(({ mountPoint }) => mountPoint),
    ['/sys/fs/cgroup/memory'],
  )
})

test('cgroupsPath: absolute, relative, absent', () => {
  assert.equal(cgroupPath('/kubepods/pod1/x', 'id'), '/kubepods/pod1/x')
  assert.equal(cgroupPath('/a//./b/', 'id'), '/a/b')
  assert.equal(cgroupPath('a/b', 'id'), '/berth/a/b')
  assert.equal(cgroupPath(undefined, 'id'), '/berth-id')
  assert.equal(cgroupPath('', 'id'), '/berth-id')
})

test('cgroupsPath: what is refused', () => {
  const refused = (path: string, kind: string, text: RegExp) =>
    assert.throws(
      () => cgroupPath(path, 'id'),
      (error: BerthError) => error.kind === kind && error.pointer === '/linux/cgroupsPath' && text.test(error.message),
    )
  refused('/a/../b', 'invalid', /"\.\."/)
  refused('..', 'invalid', /"\.\."/)
  refused('/', 'invalid', /root cgroup/)
  refused('system.slice:docker:abc', 'unsupported', /--systemd-cgroup/)
})

test('the directories: v2 first, and the levels of each', () => {
  const dirs = cgroupDirs(layout('hybrid'), '/berth/x')
  assert.equal(dirs[0]?.dir, '/sys/fs/cgroup/unified/berth/x')
  assert.equal(dirs.length, 8)
  const cpuset = dirs.find(({ hierarchy }) => hierarchy.label === 'cpuset')
  assert.ok(cpuset)
  assert.deepEqual(levels(cpuset), ['/sys/fs/cgroup/cpuset/berth', '/sys/fs/cgroup/cpuset/berth/x'])
})

test('device rules: everything denied first, defaults last', () => {
  const rules = deviceRules([
    { allow: false, access: 'rwm' },
    { allow: true, type: 'c', major: 10n, minor: 229n, access: 'rw' },
    { allow: true, type: 'b', major: 8n },
  ])
  assert.deepEqual(
    rules.slice(0, 3).map(({ file, value }) => `${file} ${value}`),
    ['devices.deny a *:* rwm', 'devices.allow c 10:229 rw', 'devices.allow b 8:* rwm'],
  )
  assert.equal(rules[1]?.source, '/linux/resources/devices/1')
  assert.ok(rules.slice(3).every(({ file }) => file === 'devices.allow'))
  assert.ok(rules.some(({ value }) => value === 'c 1:3 rwm'))
  assert.equal(deviceRules()[0]?.value, 'a *:* rwm')
  assert.equal(deviceRules([{ allow: true }])[1]?.file, 'devices.allow')
  assert.throws(() => deviceRules([{ allow: true, type: 'a', major: 1n }]), { pointer: '/linux/resources/devices/0' })
})

test('v1: memory before memory and swap, unset values left out', () => {
  assert.deepEqual(
    v1({ memory: { swap: 200n, limit: 100n, reservation: 50n, swappiness: 0n, disableOOMKiller: true } }),
    [
      'memory.limit_in_bytes=100',
      'memory.memsw.limit_in_bytes=200',
      'memory.soft_limit_in_bytes=50',
      'memory.swappiness=0',
      'memory.oom_control=1',
    ],
  )
  assert.deepEqual(v1({ memory: { limit: 0n, swap: 0n, disableOOMKiller: false } }), [])
  assert.deepEqual(v1({ memory: { limit: -1n } }), ['memory.limit_in_bytes=-1'])
})

test('v1: cpu, pids, blkio, hugetlb, net', () => {
  assert.deepEqual(v1({ cpu: { shares: 512n, quota: 5000n, period: 10000n, cpus: '0-1', mems: '' } }), [
    'cpu.shares=512',
    'cpu.cfs_period_us=10000',
    'cpu.cfs_quota_us=5000',
    'cpuset.cpus=0-1',
  ])
  assert.deepEqual(v1({ pids: { limit: 10n } }), ['pids.max=10'])
  assert.deepEqual(v1({ pids: { limit: -1n } }), ['pids.max=max'])
  assert.deepEqual(v1({ pids: { limit: 0n } }), ['pids.max=0'])
  assert.deepEqual(v1({ pids: { limit: 0n } }, '1.0.2-dev'), [])
  assert.deepEqual(v1({ blockIO: { weight: 100, throttleReadBpsDevice: [{ major: 8n, minor: 0n, rate: 5n }] } }), [
    'blkio.bfq.weight=100',
    'blkio.throttle.read_bps_device=8:0 5',
  ])
  assert.deepEqual(v1({ hugepageLimits: [{ pageSize: '2MB', limit: 18446744073709551615n }] }), [
    'hugetlb.2MB.rsvd.limit_in_bytes=18446744073709551615',
    'hugetlb.2MB.limit_in_bytes=18446744073709551615',
  ])
  assert.deepEqual(v1({ network: { classID: 1048577, priorities: [{ name: 'eth0', priority: 5 }] } }), [
    'net_cls.classid=1048577',
    'net_prio.ifpriomap=eth0 5',
  ])
  assert.throws(() => v1({ blockIO: { leafWeight: 10 } }), { pointer: '/linux/resources/blockIO/leafWeight' })
})

test('v2: shares and weights keep ends, default and order', () => {
  assert.deepEqual([0n, 2n, 1024n, 262144n, 1n << 40n].map(sharesToWeight), [1, 1, 100, 10000, 10000])
  for (let shares = 4n; shares < 262144n; shares *= 2n) assert.ok(sharesToWeight(shares) <= sharesToWeight(shares * 2n))
  assert.deepEqual([10, 1000].map(ioWeight), [1, 10000])
})

test('v2: conversions', () => {
  assert.deepEqual(v2({ memory: { limit: 100n, swap: 300n, reservation: -1n } }), [
    'memory.max=100',
    'memory.swap.max=200',
    'memory.low=max',
  ])
  assert.deepEqual(v2({ memory: { limit: 100n, swap: 100n } }), ['memory.max=100', 'memory.swap.max=0'])
  assert.deepEqual(v2({ memory: { swap: -1n } }), ['memory.swap.max=max'])
  assert.deepEqual(v2({ cpu: { quota: 5000n, period: 10000n } }), ['cpu.max=5000 10000'])
  assert.deepEqual(v2({ cpu: { quota: -1n, period: 10000n } }), ['cpu.max=max 10000'])
  assert.deepEqual(v2({ cpu: { quota: 5000n } }), ['cpu.max=5000'])
  assert.deepEqual(v2({ blockIO: { throttleWriteIOPSDevice: [{ major: 8n, minor: 0n, rate: 0n }] } }), [
    'io.max=8:0 wiops=max',
  ])
  assert.deepEqual(v2({ unified: { 'memory.high': '1G', 'io.max': '8:0 rbps=1\n8:16 rbps=2' } }), [
    'memory.high=1G',
    'io.max=8:0 rbps=1',
    'io.max=8:16 rbps=2',
  ])
  assert.deepEqual(v2({ blockIO: { weight: 100 } }), ['io.bfq.weight=100', 'io.weight=default 910'])
  assert.deepEqual(v2({ cpu: { idle: 0n, shares: 1024n } }), ['cpu.idle=0', 'cpu.weight=100'])
  assert.deepEqual(v2({ cpu: { idle: 1n, shares: 1024n } }), ['cpu.idle=1'])
})

test('what not every kernel has is written where it is', () => {
  const optional = (resources: Resources) =>
    v2Settings(resources, '1.3.0')
      .settings.filter((setting) => setting.optional)
      .map(({ file }) => file)
  assert.deepEqual(optional({ hugepageLimits: [{ pageSize: '2MB', limit: 1n }] }), ['hugetlb.2MB.rsvd.max'])
  assert.deepEqual(optional({ blockIO: { weight: 100 } }), ['io.bfq.weight'])
  assert.deepEqual(optional({ memory: { limit: 10n, swap: -1n } }), ['memory.swap.max'])
  assert.deepEqual(optional({ memory: { limit: 10n, swap: 10n } }), [])
})

test('v2: what it can not do is refused by name', () => {
  const refused = (resources: Resources, pointer: string) => assert.throws(() => v2(resources), { pointer })
  refused({ memory: { limit: 300n, swap: 100n } }, '/linux/resources/memory/swap')
  refused({ memory: { swap: 100n } }, '/linux/resources/memory/swap')
  refused({ network: { classID: 1 } }, '/linux/resources/network')
  refused({ unified: { '../x': '1' } }, '/linux/resources/unified/..~1x')
  assert.equal(v2Settings({ memory: { swappiness: 5n } }, '1.3.0').warnings.length, 1)
})
