/** Checkpoints: what CRIU is told, and what of its log is passed on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroupDirs } from '../../src/cgroup/path.ts'
import { descriptorName, hostMounts, outsideMounts, sourceOf } from '../../src/criu/external.ts'
import type { Image } from '../../src/criu/image.ts'
import { adviceOn, causeOf } from '../../src/criu/log.ts'
import { both, type CriuOptions, readOptions, sharedArguments } from '../../src/criu/options.ts'
import { compileRestore, type RestoreSource } from '../../src/plan/restore.ts'
import type { Spec } from '../../src/spec/types.ts'
import { all, facts, input, layout, one, plainSpec } from './plan-fixture.ts'

const bind = (destination: string, source: string) => ({ destination, source, type: 'bind', options: ['rbind'] })
const withMounts = (...mounts: NonNullable<Spec['mounts']>): Spec => {
  const spec = plainSpec()
  return { ...spec, mounts: [...(spec.mounts ?? []), ...mounts] }
}

test('mounts of the host: binds with what they brought along, and cgroups; not what was hidden in them', () => {
  const spec = withMounts(bind('/data', 'd'), bind('/etc/hosts', '/h'), { destination: '/data/t', type: 'tmpfs' })
  const hidden = { ...spec, linux: { ...spec.linux, maskedPaths: ['/data/secret'], readonlyPaths: ['/data/ro'] } }
  const hosts = hostMounts(hidden, '/bundle', cgroupDirs(layout('hybrid'), '/c1'), false)
  assert.equal(sourceOf('/data', hosts), '/bundle/d')
  assert.equal(sourceOf('/data/sub/x', hosts), '/bundle/d/sub/x')
  assert.equal(sourceOf('/datastore', hosts), undefined)
  assert.equal(sourceOf('/sys/fs/cgroup/memory', hosts), '/sys/fs/cgroup/memory/c1')
  const points = ['/', '/proc', '/data', '/data/sub', '/data/t', '/data/t/x', '/data/secret', '/data/ro', '/etc/hosts']
  assert.deepEqual(outsideMounts([...points, '/sys/fs/cgroup/memory', '/datastore'], hidden, hosts), [
    '/data',
    '/data/sub',
    '/etc/hosts',
    '/sys/fs/cgroup/memory',
  ])
})

test('v2: the one cgroup is where the configuration mounts it', () => {
  const spec = withMounts({ destination: '/cg', type: 'cgroup2' })
  const inNamespaces = (...namespaces: NonNullable<NonNullable<Spec['linux']>['namespaces']>) =>
    hostMounts({ ...spec, linux: { namespaces } }, '/bundle', cgroupDirs(layout('unified'), '/c1'), true)
  assert.equal(sourceOf('/cg', inNamespaces({ type: 'cgroup' })), '/sys/fs/cgroup/c1')
  assert.equal(sourceOf('/sys/fs/cgroup', inNamespaces({ type: 'cgroup' })), '/sys/fs/cgroup/c1')
  assert.equal(sourceOf('/cg', inNamespaces()), '/sys/fs/cgroup')
})

test('descriptors: pipes by their number, files of the host by mount and inode, others as they are', () => {
  const mounts = new Set([301])
  const named = (link: string, mount: number) =>
    descriptorName({ link, info: `pos:\t0\nflags:\t02\nmnt_id:\t${mount}\n`, inode: 255n }, mounts)
  assert.equal(named('pipe:[7]', 16), 'pipe:[7]')
  assert.equal(named('/dev/null', 301), '/dev/null')
  assert.equal(named('/dev/null', 26), 'file[1a:ff]')
  assert.equal(named('socket:[8]', 9), 'socket:[8]')
})

test('the cause of a failure is the first error that is one', () => {
  const log = [
    "(00.000100) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted",
    '(00.000200) Warn  (criu/x.c:1): something',
    "(00.231006) Error (criu/files-reg.c:1790): Can't lookup mount=223 for fd=1 path=/out",
    '(00.231022)     12: Error (criu/cr-dump.c:1545): Dump files (pid: 155) failed with -1',
    '(00.280343) Error (criu/cr-dump.c:1975): Dumping FAILED.',
  ].join('\n')
  assert.equal(causeOf(log), "Can't lookup mount=223 for fd=1 path=/out")
  assert.equal(causeOf('(00.1) fine\n'), undefined)
  assert.match(adviceOn("Can't get rlimit 0: Operation not permitted"), /^: .*CAP_SYS_RESOURCE/)
  assert.equal(adviceOn('else'), '')
})

test('options: a restore is told what the dump was, and what it is asked for', () => {
  const dumped: CriuOptions = { fileLocks: true, emptyNamespaces: ['network'], cgroupsMode: 'full' }
  assert.deepEqual(readOptions(JSON.parse(JSON.stringify({ ...dumped, leaveRunning: true, evil: true }))), dumped)
  assert.deepEqual(sharedArguments(both(dumped, { extUnixSk: true, cgroupsMode: 'ignore' })), [
    '--ext-unix-sk',
    '--file-locks',
    '--empty-ns',
    'net',
    '--manage-cgroups=ignore',
  ])
  assert.deepEqual(sharedArguments({}), ['--manage-cgroups=soft'])
})

const image = (change: Partial<Image> = {}): Image => ({ dir: '/i', descriptors: [], outside: undefined, ...change })
const source = (change: Partial<Image> = {}): RestoreSource => ({
  criu: '/usr/sbin/criu',
  image: image(change),
  work: '/w',
  options: {},
})
const restore = (spec: Spec, change: Partial<Image> = {}) => compileRestore({ ...input(spec), restore: source(change) })
const valuesOf = (args: readonly string[], flag: string) => args.filter((_, index) => args[index - 1] === flag)

test('restore: given descriptors follow each other from 3 on, each name once', () => {
  const spec = plainSpec()
  const network = { type: 'network', path: '/ns/net' } as const
  const namespaces = [...(spec.linux?.namespaces ?? []).filter(({ type }) => type !== 'network'), network]
  const { create } = restore(
    { ...spec, linux: { ...spec.linux, namespaces } },
    { descriptors: ['/dev/null', 'pipe:[7]', 'pipe:[7]'] },
  )
  const { args, slots } = one(create, 'run')
  assert.deepEqual(valuesOf(args, '--inherit-fd'), ['fd[3]:pipe:[7]', 'fd[4]:extRootNetNS'])
  assert.deepEqual(slots, [1, one(create, 'open-namespace').slot])
})

test('restore: the cgroups are joined by CRIU itself, and the root is let go of again', () => {
  const { create, undo, cgroupPaths } = restore(plainSpec())
  const { cgroups, args } = one(create, 'run')
  assert.deepEqual(cgroups, cgroupPaths)
  const roots = valuesOf(args, '--cgroup-root')
  assert.deepEqual(roots.slice(0, 3), [':/berth-c1', 'cpu:/berth-c1', 'cpuset:/berth-c1'])
  assert.equal(roots.at(-1), 'name=systemd:/berth-c1')
  assert.equal(all(create, 'umount').length, 1)
  assert.deepEqual(one(undo, 'umount').path, one(create, 'mount').target)
})

test('restore: hooks find the container at a standstill', () => {
  const { create } = restore({
    ...plainSpec(),
    hooks: { createRuntime: [{ path: '/h' }], poststart: [{ path: '/p' }] },
  })
  assert.ok(one(create, 'run').args.includes('--leave-stopped'))
  assert.equal(one(create, 'hook').path, '/h')
  assert.equal(create.at(-1)?.op, 'kill-cgroup')
})

test('restore: what it can not bring back is an error that says so', () => {
  const spec = plainSpec()
  const terminal = { ...spec, process: { cwd: '/', user: { uid: 0, gid: 0 }, terminal: true } }
  assert.throws(() => restore(terminal), /the container has a terminal/)
  assert.throws(() => restore({ ...spec, linux: { ...spec.linux, netDevices: {} } }), /linux.netDevices/)
  assert.throws(() => restore({ ...spec, linux: { namespaces: [{ type: 'pid' }] } }), /no mount namespace/)
  const gone = { mounts: ['/data'], namespaces: [], options: {} }
  assert.throws(() => restore(spec, { outside: gone }), /mounted on "\/data"/)
  const joined = { mounts: [], namespaces: ['network'], options: {} }
  assert.throws(() => restore(spec, { outside: joined }), /a network namespace by path when it was dumped/)
  const systemd = { ...input(spec), systemdCgroup: true, restore: source() }
  assert.throws(() => compileRestore(systemd), /a unit of systemd/)
  const landlock = { policies: [{ files: { read: ['/'] } }], landlock: 6 }
  assert.throws(() => compileRestore({ ...input(spec), confinement: landlock, restore: source() }), /Landlock/)
  assert.equal(facts().cgroup.mode, 'hybrid')
})
