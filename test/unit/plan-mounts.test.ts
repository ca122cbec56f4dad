import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroupDirs } from '../../src/cgroup/path.ts'
import type { HostFacts } from '../../src/plan/facts.ts'
import { describeOptions, MOUNT_OPTIONS, parseMountOptions } from '../../src/plan/mount-options.ts'
import { planMounts } from '../../src/plan/mounts.ts'
import { Namespaces } from '../../src/plan/namespaces.ts'
import { MOUNT_FLAGS, NO_SLOT } from '../../src/plan/ops.ts'
import type { Linux, Mount } from '../../src/spec/types.ts'
import { all, facts, layout, one, plainSpec } from './plan-fixture.ts'

const planWith = (mounts: readonly Mount[], linux: Linux, change: Partial<HostFacts> = {}) => {
  const spec = plainSpec({ mounts, linux: { ...plainSpec().linux, ...linux } })
  const host = facts(change)
  return planMounts({
    bundle: '/bundle',
    spec,
    cgroups: cgroupDirs(host.cgroup, '/berth/x'),
    namespaces: new Namespaces(spec),
    facts: host,
    propagation: 0x84000n,
  })
}
const plan = (mounts: readonly Mount[], mode: 'hybrid' | 'unified' = 'hybrid') =>
  planWith(mounts, {}, { cgroup: layout(mode) })
const mountOf = (mount: Mount) => one(plan([mount]).ops, 'mount-in')

// runtime-spec 1.3, config.md, "Linux mount options".
const SPECIFIED = `async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec
  noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime remount rexec
  rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave
  rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap`

test('every option of the specification is known', () => {
  for (const option of SPECIFIED.split(/\s+/)) assert.ok(MOUNT_OPTIONS.includes(option), option)
})

test('options: attributes, superblock, propagation, data', () => {
  const parsed = parseMountOptions(['nosuid', 'strictatime', 'mode=755', 'size=65536k', 'sync', 'rslave'])
  assert.equal(parsed.attrSet, 0x2n | 0x20n)
  assert.equal(parsed.attrClear, 0x70n)
  assert.equal(parsed.sbFlags, 0x10n)
  assert.equal(parsed.propagation, 0x80000n | 0x4000n)
  assert.equal(parsed.data, 'mode=755,size=65536k')
})

test('an option that nobody could carry out is left out, and said', () => {
  const warnings = (...options: string[]) => plan([{ destination: '/a', type: 'tmpfs', options }]).warnings
  assert.match(warnings('iversion').join(), /mounts\[0\]: option iversion left out/)
  assert.deepEqual(warnings('iversion', 'noiversion', 'loud', 'sync'), [])
})

test('options: the later one wins', () => {
  assert.equal(parseMountOptions(['ro', 'rw']).readonly, false)
  assert.equal(parseMountOptions(['rw', 'ro']).readonly, true)
  assert.equal(parseMountOptions(['rw', 'ro']).sbFlags, 1n)
  assert.deepEqual(
    [parseMountOptions(['suid', 'nosuid']).attrSet, parseMountOptions(['suid', 'nosuid']).attrClear],
    [2n, 0n],
  )
  assert.equal(parseMountOptions(['private', 'rshared']).propagation, 0x100000n | 0x4000n)
  assert.equal(parseMountOptions(['rbind', 'bind']).recursive, false)
})

test('options: those of the whole tree', () => {
  const parsed = parseMountOptions(['rro', 'rnosuid', 'rexec', 'rnoatime'])
  assert.equal(parsed.recAttrSet, 0x1n | 0x2n | 0x10n)
  assert.equal(parsed.recAttrClear, 0x8n | 0x70n)
  assert.equal(parsed.attrSet, 0n)
  assert.equal(parsed.readonly, false)
})

test('options: shown again', () => {
  const parsed = parseMountOptions(['rbind', 'ro', 'nosuid', 'exec', 'rnodev', 'rprivate', 'strictatime'])
  assert.deepEqual(
    describeOptions(parsed).split(',').sort(),
    ['exec', 'nosuid', 'rnodev', 'ro', 'rprivate', 'strictatime'].sort(),
  )
})

test('remount: what is there is changed, its file system only without bind', () => {
  const options = ['remount', 'ro', 'nosuid', 'size=2m']
  const changes = MOUNT_FLAGS.remount
  const whole = mountOf({ destination: '/dev', type: 'tmpfs', source: 'tmpfs', options })
  assert.deepEqual([whole.flags, whole.type, whole.options], [changes | MOUNT_FLAGS.notOnProc, 'tmpfs', 'size=2m'])
  assert.deepEqual([whole.sbFlags, whole.attrSet], [1n, 3n])
  const bind = mountOf({ destination: '/dev', options: ['bind', ...options] })
  assert.equal(mountOf({ destination: '/proc', options: ['bind', 'remount', 'ro'] }).flags, changes)
  assert.deepEqual(
    [bind.flags, bind.type, bind.options, bind.attrSet],
    [changes | MOUNT_FLAGS.notOnProc, 'bind', '', 3n],
  )
})

test('bind: by type or by option, source relative to the bundle', () => {
  const mount = mountOf({ destination: '/data', type: 'none', source: 'data', options: ['rbind', 'ro', 'mode=1'] })
  assert.equal(mount.type, 'bind')
  assert.equal(mount.source, '/bundle/data')
  assert.equal(mount.flags, MOUNT_FLAGS.makeTarget | MOUNT_FLAGS.notOnProc | MOUNT_FLAGS.recursive)
  assert.equal(mount.sbFlags, 0n)
  assert.equal(mount.attrSet, 1n)
  assert.equal(mount.options, '')
  assert.equal(mountOf({ destination: 'rel', type: 'bind', source: '/x' }).target, '/rel')
  assert.equal(mount.pointer, '/mounts/0')
})

test('a read-only tmpfs becomes that last, other file systems at once', () => {
  const late = plan([{ destination: '/run', type: 'tmpfs', source: 'tmpfs', options: ['ro', 'nodev', 'tmpcopyup'] }])
  const tmpfs = one(late.ops, 'mount-in')
  assert.deepEqual([tmpfs.sbFlags, tmpfs.attrSet], [0n, 4n])
  assert.equal(tmpfs.flags & MOUNT_FLAGS.copyUp, MOUNT_FLAGS.copyUp)
  assert.deepEqual(late.lateReadonly, [{ path: '/run', pointer: '/mounts/0' }])
  const sysfs = mountOf({ destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['ro'] })
  assert.deepEqual([sysfs.sbFlags, sysfs.attrSet], [1n, 1n])
  assert.equal(sysfs.flags, MOUNT_FLAGS.makeTarget | MOUNT_FLAGS.notOnProc | MOUNT_FLAGS.noSymlink)
})

test('cgroup: the directories of the container on v1, a cgroup2 on v2', () => {
  const mount: Mount = { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['ro', 'nosuid'] }
  const v1 = one(plan([mount]).ops, 'mount-cgroups')
  assert.equal(v1.readonly, 1)
  assert.ok(v1.names.includes('systemd') && !v1.names.includes('unified'))
  assert.equal(v1.dirs[v1.names.indexOf('memory')], '/sys/fs/cgroup/memory/berth/x')
  assert.deepEqual(v1.links, ['cpu=cpu,cpuacct', 'cpuacct=cpu,cpuacct'])
  const v2 = one(plan([mount], 'unified').ops, 'mount-in')
  assert.equal(v2.type, 'cgroup2')
  assert.equal(all(plan([mount], 'unified').ops, 'mount-cgroups').length, 0)
})

test('a label is data of the file systems that take it; without SELinux it is left out, and said', () => {
  const mounts: Mount[] = [
    { destination: '/tmp', type: 'tmpfs', options: ['size=1m'] },
    { destination: '/proc', type: 'proc' },
  ]
  const linux = { mountLabel: 'u:r:t:s0:c1,c2' }
  const options = (selinux: boolean) =>
    all(planWith(mounts, linux, { selinux }).ops, 'mount-in').map((op) => op.options)
  assert.deepEqual(options(true), ['size=1m,context="u:r:t:s0:c1,c2"', ''])
  assert.deepEqual(options(false), ['size=1m', ''])
  assert.deepEqual(planWith(mounts, linux, { selinux: true }).warnings, [])
  assert.match(planWith(mounts, linux).warnings.join(), /linux\.mountLabel.*SELinux/)
})

const MAP = [{ containerID: 0, hostID: 1000, size: 10 }]
const mapped = (options: string[], own = true): Mount => ({
  destination: '/data',
  type: 'bind',
  source: '/src',
  options,
  ...(own ? { uidMappings: MAP, gidMappings: MAP } : {}),
})
const USERNS: Linux = { namespaces: [{ type: 'mount' }, { type: 'user' }], uidMappings: MAP, gidMappings: MAP }

test('idmap: opened and mapped outside, by one user namespace for all mounts of a mapping', () => {
  const { open, ops, close } = planWith([mapped(['rbind', 'idmap']), mapped(['rbind', 'ridmap']), mapped(['bind'])], {})
  const userns = one(open, 'map-ids')
  assert.deepEqual([userns.uidMap, userns.gidMap], ['0 1000 10\n', '0 1000 10\n'])
  const sources = all(open, 'mount-source')
  assert.deepEqual(
    sources.map(({ path, flags, propagation, userns }) => [path, flags, propagation, userns]),
    [
      ['/src', MOUNT_FLAGS.recursive, 0x84000n, userns.slot],
      ['/src', MOUNT_FLAGS.recursive | MOUNT_FLAGS.idmapTree, 0x84000n, userns.slot],
      // mappings alone say enough (config.md: the options SHOULD be there)
      ['/src', 0, 0x84000n, userns.slot],
    ],
  )
  assert.deepEqual(
    all(ops, 'mount-in').map(({ from, userns }) => [from, userns]),
    sources.map(({ slot }) => [slot, NO_SLOT]),
  )
  assert.deepEqual(
    all(close, 'close').map(({ slot }) => slot),
    [userns.slot, ...sources.map(({ slot }) => slot)],
  )
})

test('idmap without mappings: those of the container, or the user namespace that it joins', () => {
  assert.equal(one(planWith([mapped(['idmap'], false)], USERNS).open, 'map-ids').uidMap, '0 1000 10\n')
  const joined = planWith([mapped(['idmap'], false)], {
    namespaces: [{ type: 'mount' }, { type: 'pid', path: '/p' }, { type: 'user', path: '/u' }],
  })
  assert.equal(one(joined.open, 'mount-source').userns, 41)
  assert.deepEqual(
    all(joined.close, 'close').map(({ slot }) => slot),
    [one(joined.open, 'mount-source').slot],
  )
  assert.throws(() => plan([mapped(['idmap'], false)]), /mounts\[0\]: idmap needs uidMappings/)
})

test('idmap of a new file system: mapped by who makes it', () => {
  const { open, ops } = planWith([{ ...mapped([]), type: 'tmpfs' }], {})
  assert.equal(one(ops, 'mount-in').userns, one(open, 'map-ids').slot)
  assert.equal(one(ops, 'mount-in').from, NO_SLOT)
})

test('a bind in a user namespace is opened outside, unless who is there could not', () => {
  assert.equal(one(planWith([mapped([], false)], USERNS).open, 'mount-source').userns, NO_SLOT)
  assert.equal(planWith([mapped([], false)], USERNS, { permitted: 0n }).open.length, 0)
  assert.equal(plan([mapped([], false)]).open.length, 0)
  assert.throws(() => planWith([mapped(['idmap'])], USERNS, { permitted: 0n }), /CAP_SYS_ADMIN/)
  const many = Array.from({ length: 600 }, () => mapped([], false))
  assert.throws(() => planWith(many, USERNS), /mounts\[448\]: more than 448 mounts/)
})

test('mounts that are refused, with their place', () => {
  const refused = (mount: Mount, text: RegExp) =>
    assert.throws(
      () => plan([{ destination: '/x', type: 'tmpfs' }, mount]),
      (error: Error & { pointer?: string }) => error.pointer === '/mounts/1' && text.test(error.message),
    )
  refused(
    { destination: '/proc/sys', type: 'bind', source: '/x' },
    /mounts\[1\]: destination "\/proc\/sys" is inside \/proc/,
  )
  refused({ destination: '/proc/../proc/sys/kernel', type: 'tmpfs' }, /inside \/proc/)
  refused({ destination: '/proc', type: 'bind', source: '/x' }, /can only be a procfs/)
  refused({ destination: '/', type: 'tmpfs' }, /the root itself/)
  refused({ destination: '/a' }, /neither a type/)
  refused({ destination: '/a', type: 'bind' }, /without a source/)
  plan([{ destination: '/proc/uptime', type: 'bind', source: '/lxcfs/uptime' }])
  plan([{ destination: '/proc', type: 'bind', source: '/proc' }])
})
