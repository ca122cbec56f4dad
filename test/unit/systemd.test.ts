import assert from 'node:assert/strict'
import { test } from 'node:test'
import { marshalCall, PID, type Variant } from '../../src/cgroup/systemd/dbus.ts'
import { parseVariant } from '../../src/cgroup/systemd/gvariant.ts'
import { annotatedProperties, bitmap, resourceProperties } from '../../src/cgroup/systemd/properties.ts'
import { slicePath, unitOf } from '../../src/cgroup/systemd/unit.ts'
import type { BerthError } from '../../src/errors.ts'
import { compileCreate } from '../../src/plan/create.ts'
import type { Template } from '../../src/plan/ops.ts'
import { managerOf, updateUnit } from '../../src/plan/systemd.ts'
import type { Resources } from '../../src/spec/types.ts'
import { all, facts, input, layout, names, plainSpec } from './plan-fixture.ts'

const refusedAt = (pointer: string, kind: string, text: RegExp) => (error: BerthError) =>
  error.kind === kind && error.pointer === pointer && text.test(error.message)
const USER = { hostUid: 1000, caller: { uid: 1000, gid: 1000, setgroupsDenied: false } }
const UNIFIED = facts({ cgroup: layout('unified') })

test('a slice is below those that its name begins with', () => {
  for (const [slice, path] of [
    ['system.slice', '/system.slice'],
    ['a-b-c.slice', '/a.slice/a-b.slice/a-b-c.slice'],
    ['kubepods-besteffort-pod1_2.slice', '/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice'],
    ['-.slice', ''],
  ] as const)
    assert.equal(slicePath(slice), path)
})

test('no slice: another suffix, nothing before it, empty parts, a slash', () => {
  for (const slice of [
    'a',
    '.slice',
    'a--b.slice',
    '-a.slice',
    'a-.slice',
    'a/b.slice',
    'a b.slice',
    `${'a'.repeat(300)}.slice`,
  ])
    assert.throws(() => slicePath(slice), refusedAt('/linux/cgroupsPath', 'invalid', /slice|longer/), slice)
})

test('the unit of a container: what engines write, and what is left out', () => {
  for (const [path, user, name, where] of [
    ['machine.slice:libpod:abc', false, 'libpod-abc.scope', '/machine.slice/libpod-abc.scope'],
    ['system.slice:docker:abc', false, 'docker-abc.scope', '/system.slice/docker-abc.scope'],
    ['a-b.slice:cri-containerd:x', false, 'cri-containerd-x.scope', '/a.slice/a-b.slice/cri-containerd-x.scope'],
    [undefined, false, 'berth-c1.scope', '/system.slice/berth-c1.scope'],
    ['', true, 'berth-c1.scope', '/user.slice/berth-c1.scope'],
    ['::x', false, 'x.scope', '/system.slice/x.scope'],
    ['-:p:x', false, 'p-x.scope', '/p-x.scope'],
    ['a.slice:ignored:a-b.slice', false, 'a-b.slice', '/a.slice/a-b.slice'],
  ] as const) {
    const unit = unitOf(path, 'c1', user)
    assert.deepEqual([unit.name, unit.path], [name, where])
    assert.equal(unit.isSlice, name.endsWith('.slice'))
  }
})

test('what names no unit', () => {
  for (const path of [
    '/a/b',
    'a:b',
    'a.slice:b:c:d',
    'a.slice:b:',
    'a:b:c',
    'a.slice:b:c/d',
    'b.slice:p:a-b.slice',
    `:p:${'x'.repeat(250)}`,
  ])
    assert.throws(
      () => unitOf(path, 'id', false),
      refusedAt('/linux/cgroupsPath', 'invalid', /^linux\.cgroupsPath: /),
      path,
    )
})

const flat = (template: Template): Buffer =>
  Buffer.concat(
    template.map((part) =>
      part instanceof Uint8Array
        ? part
        : Buffer.from(typeof part === 'string' ? part : part.hole === 'pid32' ? [1, 2, 3, 4] : []),
    ),
  )

test('a D-Bus call, byte for byte', () => {
  const bytes = flat(
    marshalCall({
      serial: 7,
      destination: 'c.d',
      path: '/',
      interface: 'a.b',
      member: 'M',
      arguments: [
        { type: 's', value: 'é' },
        { type: 'a(sv)', value: [['P', { type: 'au', value: [PID] }]] },
      ],
    }),
  )
  const expected = [
    '6c 01 00 01', // little-endian, call, no flags, version 1
    '24 00 00 00 07 00 00 00', // 36 bytes of body, serial 7
    '4c 00 00 00', // 76 bytes of fields, and what fills up to a multiple of 8 is not counted
    '01 01 6f 00 01 00 00 00 2f 00 00 00 00 00 00 00', // path
    '06 01 73 00 03 00 00 00 63 2e 64 00 00 00 00 00', // destination
    '02 01 73 00 03 00 00 00 61 2e 62 00 00 00 00 00', // interface
    '03 01 73 00 01 00 00 00 4d 00 00 00 00 00 00 00', // member
    '08 01 67 00 06 73 61 28 73 76 29 00 00 00 00 00', // signature
    '02 00 00 00 c3 a9 00 00', // é
    '14 00 00 00 00 00 00 00', // 20 bytes of properties
    '01 00 00 00 50 00 02 61 75 00 00 00', // P, of type au
    '04 00 00 00 01 02 03 04', // the process
  ]
  assert.equal(bytes.toString('hex'), expected.join('').replaceAll(' ', ''))
})

test('the values of org.systemd.property annotations', () => {
  const of = (text: string): Variant => parseVariant(text)
  for (const [text, type, value] of [
    ["'inactive-or-failed'", 's', 'inactive-or-failed'],
    ['"a\\"b"', 's', 'a"b'],
    ["'it\\'s \\u00e9\\n'", 's', "it's é\n"],
    ['uint64 123456789', 't', 123456789n],
    ['uint32 0x10', 'u', 16n],
    ['-5', 'i', -5n],
    ['int64 -5', 'x', -5n],
    ['byte 255', 'y', 255n],
    ['true', 'b', true],
    [' false ', 'b', false],
    ['boolean true', 'b', true],
    ['1.5', 'd', 1.5],
    ['double 2', 'd', 2],
    ["['a', 'b']", 'as', ['a', 'b']],
    ['@as []', 'as', []],
    ['[uint64 1, 2]', 'at', [1n, 2n]],
    ['@at [1]', 'at', [1n]],
    ["[('/dev/null', 'rwm')]", 'a(ss)', [['/dev/null', 'rwm']]],
    ["('a', true)", '(sb)', ['a', true]],
  ] as const)
    assert.deepEqual(of(text), { type, value }, text)
})

test('a malformed annotation is an error that names it', () => {
  for (const text of [
    '',
    'x',
    "'a",
    "'a' b",
    '[1',
    '[]',
    '()',
    'uint64',
    'uint64 -1',
    'byte 256',
    '99999999999',
    "[1, 'a']",
    "uint64 'a'",
    '1x',
    "'\\u0000'",
    '['.repeat(100),
  ]) {
    const key = 'org.systemd.property.TimeoutStopUSec'
    assert.throws(
      () => annotatedProperties({ [key]: text }),
      refusedAt(`/annotations/${key}`, 'invalid', /TimeoutStopUSec/),
      text,
    )
  }
  for (const name of ['', 'x', 'a b', 'A/b', 'PIDs', 'Slice'])
    assert.throws(() => annotatedProperties({ [`org.systemd.property.${name}`]: '1' }), { kind: 'invalid' }, name)
})

test('seconds become microseconds', () => {
  const [property] = annotatedProperties({ 'org.systemd.property.TimeoutStopSec': 'uint64 2', other: 'x' })
  assert.deepEqual(property, { name: 'TimeoutStopUSec', value: { type: 't', value: 2_000_000n } })
  assert.throws(() => annotatedProperties({ 'org.systemd.property.TimeoutStopSec': "'2'" }), /seconds/)
})

const said = (resources: Resources, unified: boolean) =>
  Object.fromEntries(resourceProperties(resources, '1.2.0', unified).map(({ name, value }) => [name, value.value]))
const INFINITY = 0xffffffffffffffffn

test('limits as systemd knows them on cgroup v2', () => {
  const resources: Resources = {
    memory: { limit: 1n << 20n, swap: 3n << 20n, reservation: 4096n },
    cpu: { shares: 1024n, quota: 12_345n, period: 100_000n, cpus: '0-1,9', mems: '0' },
    pids: { limit: -1n },
    unified: { 'memory.high': '8192', 'memory.oom.group': '1' },
  }
  assert.deepEqual(said(resources, true), {
    MemoryMax: 1n << 20n,
    MemorySwapMax: 2n << 20n,
    MemoryLow: 4096n,
    MemoryHigh: 8192n,
    CPUWeight: 100n,
    CPUQuotaPeriodUSec: 100_000n,
    // 12.345 % of a second, as whole percents
    CPUQuotaPerSecUSec: 130_000n,
    AllowedCPUs: [3, 2],
    AllowedMemoryNodes: [1],
    TasksMax: INFINITY,
  })
  assert.equal(said({ cpu: { quota: -1n } }, true).CPUQuotaPerSecUSec, INFINITY)
  assert.equal(said({ unified: { 'cpu.max': '50000' } }, true).CPUQuotaPerSecUSec, 500_000n)
  assert.deepEqual(said({}, true), {})
})

test('limits as systemd knows them on cgroup v1', () => {
  const resources: Resources = {
    memory: { limit: -1n },
    cpu: { shares: 512n, quota: 50_000n },
    pids: { limit: 7n },
    blockIO: { weight: 100 },
  }
  assert.deepEqual(said(resources, false), {
    MemoryLimit: INFINITY,
    CPUShares: 512n,
    CPUQuotaPerSecUSec: 500_000n,
    TasksMax: 7n,
    BlockIOWeight: 100n,
  })
})

test('devices on cgroup v1: a list of what is allowed', () => {
  const devices = (rules: Resources['devices']) => said({ devices: rules ?? [] }, false)
  const listed = devices([
    { allow: false, access: 'rwm' },
    { allow: true, type: 'c', major: 10n, minor: 229n, access: 'rw' },
    { allow: true, type: 'b', major: 8n, access: 'r' },
    { allow: true, type: 'c', major: 4n, minor: 1n, access: 'rw' },
    { allow: false, type: 'c', major: 4n, access: 'w' },
  ])
  assert.equal(listed.DevicePolicy, 'strict')
  const list = (listed.DeviceAllow as string[][]).map((entry) => entry.join(' '))
  assert.deepEqual(list.slice(0, 2), ['/dev/char/10:229 rw', 'block-8 r'])
  assert.ok(list.includes('char-* m') && list.includes('/dev/char/1:3 rwm') && list.includes('char-136 rwm'))
  assert.ok(!list.some((entry) => entry.startsWith('/dev/char/4:1')), 'cut into by a later rule')
  assert.deepEqual(devices([{ allow: true, access: 'rwm' }]), { DevicePolicy: 'auto', DeviceAllow: [] })
})

test('sets of numbers as bits', () => {
  assert.deepEqual(bitmap('0-3,8'), [0x0f, 0x01])
  assert.deepEqual(bitmap('7'), [0x80])
  for (const text of ['', 'a', '3-1', '1,', '-1']) assert.equal(bitmap(text), undefined, text)
})

test('the plan on cgroup v2: systemd moves the process, then it is limited, and goes on', () => {
  const spec = plainSpec({
    linux: { ...plainSpec().linux, cgroupsPath: 'machine.slice:libpod:x', resources: { pids: { limit: 5n } } },
  })
  const { create, undo, cgroupPaths } = compileCreate(input(spec, { systemdCgroup: true, facts: UNIFIED }))
  assert.deepEqual(cgroupPaths, ['/sys/fs/cgroup/machine.slice/libpod-x.scope'])
  const order = names(create)
  assert.ok(order.indexOf('clone') < order.indexOf('dbus') && order.lastIndexOf('write') < order.indexOf('resume'))
  const [start] = all(create, 'dbus')
  assert.equal(start?.subject, 'StartTransientUnit libpod-x.scope')
  assert.equal(start?.data.filter((part) => typeof part === 'object' && 'hole' in part).length, 1)
  const first = all(create, 'write')[0]
  assert.deepEqual([first?.path, first?.data], [`${cgroupPaths[0]}/cgroup.procs`, [{ hole: 'pid' }]])
  assert.ok(!all(create, 'clone').some(({ cgroups }) => cgroups.length > 0))
  assert.deepEqual(
    all(undo, 'dbus').map(({ subject, onlyIf }) => [subject, onlyIf]),
    [['StopUnit libpod-x.scope', cgroupPaths[0]]],
  )
  const kept = { ...spec, annotations: { 'org.systemd.property.CollectMode': "'inactive'" } }
  const undoKept = compileCreate(input(kept, { systemdCgroup: true, facts: UNIFIED })).undo
  assert.deepEqual(
    all(undoKept, 'dbus').map(({ subject }) => subject.split(' ')[0]),
    ['StopUnit', 'ResetFailedUnit'],
  )
})

test('the plan on a hybrid host: the same path in each hierarchy, that of systemd first', () => {
  const { create, cgroupPaths } = compileCreate(input(plainSpec(), { systemdCgroup: true }))
  assert.ok(cgroupPaths.every((path) => path.endsWith('/system.slice/berth-c1.scope')))
  const joined = all(create, 'write').filter(({ path }) => path.endsWith('/cgroup.procs'))
  assert.equal(joined.length, cgroupPaths.length)
  assert.match(joined[0]?.path ?? '', /^\/sys\/fs\/cgroup\/systemd\//)
})

test('who is asked for the unit', () => {
  assert.deepEqual(managerOf(UNIFIED).sockets, ['/run/systemd/private', '/run/dbus/system_bus_socket'])
  const user = managerOf({ ...UNIFIED, ...USER })
  assert.deepEqual(
    [user.root, user.sockets[0]],
    ['/user.slice/user-1000.slice/user@1000.service', '/run/user/1000/systemd/private'],
  )
  assert.throws(
    () => managerOf({ ...UNIFIED, systemd: false }),
    refusedAt('/linux/cgroupsPath', 'unsupported', /not the init/),
  )
  assert.throws(() => managerOf(facts(USER)), refusedAt('/linux/cgroupsPath', 'unsupported', /cgroup v2/))
})

test('an update tells systemd of what it has a word for', () => {
  const manager = managerOf(UNIFIED)
  assert.deepEqual(updateUnit(manager, 'x.scope', { hugepageLimits: [] }, '1.2.0', true), [])
  const [op] = updateUnit(manager, 'x.scope', { pids: { limit: 9n } }, '1.2.0', true)
  assert.ok(op?.op === 'dbus')
  assert.equal(op.subject, 'SetUnitProperties x.scope')
  assert.ok(flat(op.data).includes(Buffer.from('TasksMax\0')))
})
