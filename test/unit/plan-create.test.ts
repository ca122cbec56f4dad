import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BerthError } from '../../src/errors.ts'
import { compileCreate, TERMINAL_SLOT } from '../../src/plan/create.ts'
import { encodePlan } from '../../src/plan/encode.ts'
import { describePolicy, explainPlan, planJson } from '../../src/plan/explain.ts'
import { fillHoles, freezePlan, freezerDir } from '../../src/plan/lifecycle.ts'
import { OP_FLAGS, type OpName, REPORTS } from '../../src/plan/ops.ts'
import type { Linux, Process, Spec } from '../../src/spec/types.ts'
import { ALL, all, facts, input, inside, layout, names, one, plainSpec, writes } from './plan-fixture.ts'

const FILTER = {
  defaultAction: 'SCMP_ACT_ALLOW',
  syscalls: [{ names: ['reboot'], action: 'SCMP_ACT_ERRNO' }],
} as const

const withLinux = (linux: Linux): Spec => plainSpec({ linux: { ...plainSpec().linux, ...linux } })
const withProcess = (change: Partial<Process>): Spec => {
  const spec = plainSpec()
  return { ...spec, process: { user: { uid: 0, gid: 0 }, cwd: '/', ...spec.process, ...change } }
}
const compile = (spec: Spec, change = {}) => compileCreate(input(spec, change))
const refused = (spec: Spec, pointer: string, kind: string, change = {}) =>
  assert.throws(
    () => compile(spec, change),
    (error: BerthError) => error.pointer === pointer && error.kind === kind && /^[a-z-]/.test(error.message),
  )
/** The names in the order of the plan, which must be this order; each has to be there. */
const inOrder = (have: readonly string[], ...wanted: OpName[]) => {
  let at = -1
  for (const name of wanted) {
    const next = have.indexOf(name, at + 1)
    assert.ok(next > at, `${name} is not after ${at < 0 ? 'the start' : have[at]} in ${have.join(' ')}`)
    at = next
  }
}

test('what `spec` writes: the whole order', () => {
  const { create, cgroupPaths, rootfs } = compile(plainSpec())
  assert.equal(rootfs, '/bundle/rootfs')
  assert.equal(cgroupPaths[0], '/sys/fs/cgroup/unified/berth-c1')
  // Born in the one of v2; until the last device rule of v1 is written none can be made.
  inOrder(names(create), 'mkdir', 'clone', 'go', 'mkdir', 'cpuset-inherit', 'write', 'resume', 'go', 'resume')
  inOrder(
    names(inside(create)),
    ...([
      'session',
      'unshare',
      'loopback',
      'sync',
      'enter-cgroups',
      'propagation',
      'rootfs',
      'mount-in',
      'mount-cgroups',
      'mknod',
      'symlink',
      'pivot',
    ] as const),
    ...(['stdio', 'hostname', 'readonly', 'mask', 'remount-root', 'keyring', 'umask', 'chdir', 'rlimit'] as const),
    ...(['caps-bounding', 'user', 'caps', 'no-new-privs', 'find-exec', 'close-fds', 'park', 'exec'] as const),
  )
  const clone = one(create, 'clone')
  assert.equal(clone.flags, BigInt(0x20000 + 0x20000000))
  assert.equal(one(inside(create), 'unshare').flags, 0x4000000 + 0x8000000 + 0x40000000)
  assert.deepEqual([...clone.cgroups, ...one(inside(create), 'enter-cgroups').cgroups], cgroupPaths)
  assert.deepEqual(
    all(create, 'resume').map(({ until }) => until),
    [REPORTS.sync, REPORTS.parked],
  )
})

test('what takes a cgroup namespace of its own: made once the process is in its cgroups', () => {
  const plain = plainSpec()
  const namespaces = [...(plain.linux?.namespaces ?? []), { type: 'cgroup' } as const]
  const { create } = compile(withLinux({ namespaces }))
  inOrder(names(inside(create)), 'unshare', 'sync', 'enter-cgroups', 'unshare', 'rootfs')
  assert.equal(all(inside(create), 'unshare')[1]?.flags, 0x2000000)
  assert.equal(one(create, 'clone').flags & 0x2000000n, 0n)
})

test('without a network of its own, or a cgroup to be born in: all namespaces and cgroups by who makes the process', () => {
  const namespaces = (plainSpec().linux?.namespaces ?? []).filter(({ type }) => type !== 'network')
  const shared = compile(withLinux({ namespaces }))
  const legacy = compile(plainSpec(), { facts: facts({ cgroup: layout('legacy') }) })
  for (const { create, cgroupPaths } of [shared, legacy]) {
    inOrder(names(create), 'mkdir', 'write', 'clone', 'go', 'resume')
    assert.deepEqual(one(create, 'clone').cgroups, cgroupPaths)
    for (const name of ['unshare', 'enter-cgroups', 'sync']) assert.ok(!names(inside(create)).includes(name))
  }
})

test('cgroup v2: born in its cgroup, which has its limits before it makes its root', () => {
  const { create, cgroupPaths } = compile(plainSpec(), { facts: facts({ cgroup: layout('unified') }) })
  inOrder(names(create), 'mkdir', 'clone', 'go', 'device-filter', 'resume', 'go', 'resume')
  assert.deepEqual(one(create, 'clone').cgroups, cgroupPaths)
  inOrder(names(inside(create)), 'unshare', 'loopback', 'sync', 'rootfs')
  assert.ok(!names(inside(create)).includes('enter-cgroups'))
})

test('every operation says where it comes from, and the plan can be encoded and explained', () => {
  const compiled = compile(plainSpec({ linux: { ...plainSpec().linux, seccomp: FILTER } }))
  for (const op of [...compiled.create, ...inside(compiled.create)]) assert.match(op.pointer ?? '', /^\//, op.op)
  for (const plan of [compiled.create, compiled.start, compiled.undo, compiled.poststop])
    assert.ok(encodePlan(plan).length >= plan.length * 8)
  const lines = explainPlan(compiled.create).trimEnd().split('\n')
  assert.equal(lines.length, compiled.create.length + inside(compiled.create).length)
  assert.ok(lines.some((line) => /inside +mount tmpfs "tmpfs" on \/dev \(nosuid,strictatime/.test(line)))
  assert.ok(lines.some((line) => /inside root +park/.test(line)))
  assert.equal(JSON.parse(planJson(compiled.create)).length, compiled.create.length)
  assert.ok(describePolicy(plainSpec(), compiled).some((line) => line.includes('no_new_privs')))
})

test('after close-fds nothing needs a descriptor', () => {
  const plan = names(inside(compile(withLinux({ seccomp: FILTER })).create))
  const after = plan.slice(plan.indexOf('close-fds') + 1)
  assert.deepEqual(after, ['seccomp', 'park', 'exec'])
})

test('the filter: last with no_new_privs, before the user without', () => {
  const late = names(inside(compile(withLinux({ seccomp: FILTER })).create))
  inOrder(late, 'no-new-privs', 'close-fds', 'seccomp', 'park')
  const spec = { ...withProcess({ noNewPrivileges: false }), linux: { ...plainSpec().linux, seccomp: FILTER } }
  const early = names(inside(compile(spec).create))
  inOrder(early, 'caps-bounding', 'user', 'find-exec', 'close-fds', 'seccomp', 'caps', 'park')
  assert.ok(!early.includes('no-new-privs'))
})

test('a filter that init would not survive', () => {
  const deadly = {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['execve'], action: 'SCMP_ACT_KILL' }],
  } as const
  refused(withLinux({ seccomp: deadly }), '/linux/seccomp', 'invalid')
})

test('hooks: where each runs, with the state of its moment', () => {
  const hook = { path: '/h' }
  const hooks = {
    prestart: [{ path: '/h', args: ['h', 'x'], env: ['A=b'], timeout: 3 }],
    createRuntime: [hook],
    createContainer: [hook],
    startContainer: [hook],
    poststart: [hook],
    poststop: [hook],
  }
  const { create, start, poststop } = compile(plainSpec({ hooks, annotations: { 'b<': 'é&', a: '1' } }))
  const made = names(create).slice(names(create).lastIndexOf('go'))
  assert.deepEqual(made, ['go', 'resume', 'hook', 'hook', 'resume'])
  assert.equal(all(create, 'resume')[1]?.until, REPORTS.sync)
  const init = names(inside(create))
  inOrder(init, 'symlink', 'sync', 'hook', 'pivot', 'park', 'hook', 'exec')
  const prestart = all(create, 'hook')[0]
  assert.deepEqual([prestart?.args, prestart?.env, prestart?.timeoutMs], [['h', 'x'], ['A=b'], 3000])
  assert.deepEqual(all(create, 'hook')[1]?.args, ['/h'])
  assert.deepEqual(prestart?.input, [
    '{"ociVersion":"1.3.0","id":"c1","status":"created","pid":',
    { hole: 'pid' },
    ',"bundle":"/bundle","annotations":{"a":"1","b\\u003c":"é\\u0026"}}',
  ])
  const status = (stdin: readonly unknown[]) => /"status":"(\w+)"/.exec(String(stdin[0]))?.[1]
  assert.deepEqual(
    all(inside(create), 'hook').map(({ input }) => status(input)),
    ['creating', 'created'],
  )
  assert.deepEqual(names(start), ['resume', 'hook'])
  assert.equal(one(start, 'resume').until, REPORTS.exec)
  const filled = one(fillHoles(start, { pid: 42, startTime: 7n }), 'hook').input.join('')
  assert.deepEqual([JSON.parse(filled).pid, JSON.parse(filled).status], [42, 'running'])
  const stopped = one(poststop, 'hook')
  assert.equal(stopped.opFlags, OP_FLAGS.keepGoing)
  assert.equal('pid' in JSON.parse(stopped.input.join('')), false)
})

test('no hooks: the process is not stopped once it makes its root', () => {
  const init = names(inside(compile(plainSpec()).create))
  assert.ok(init.lastIndexOf('sync') < init.indexOf('rootfs'))
})

test('a terminal: asked for by the process, taken before it is parked', () => {
  const spec = withProcess({ terminal: true, consoleSize: { height: 24, width: 80 }, user: { uid: 5, gid: 5 } })
  const { create } = compile(spec, { afterTerminal: [{ op: 'keep', slot: TERMINAL_SLOT, name: 'tty' }] })
  inOrder(names(create), 'clone', 'resume', 'keep', 'resume')
  assert.deepEqual(
    all(create, 'resume').map(({ until, slot }) => [until, slot]),
    [
      [REPORTS.sync, 0xffffffff],
      [REPORTS.sync, TERMINAL_SLOT],
      [REPORTS.parked, 0xffffffff],
    ],
  )
  const { rows, cols, console } = one(inside(create), 'terminal')
  assert.deepEqual([rows, cols, console], [24, 80, 1])
  assert.ok(!names(inside(create)).includes('stdio'))
  assert.equal(one(inside(create), 'chown-stdio').uid, 5)
})

test('undo: kill, thaw what may be frozen, wait, remove; nothing of it stops at what is missing', () => {
  const { undo, cgroupPaths } = compile(plainSpec())
  inOrder(names(undo), 'kill-cgroup', 'write', 'wait-cgroup', 'rmdir')
  assert.deepEqual(
    all(undo, 'rmdir').map(({ path }) => path),
    cgroupPaths,
  )
  for (const op of undo) assert.notEqual(op.opFlags ?? 0, 0)
})

test('namespaces: joined by path, by descriptors opened outside', () => {
  const spec = withLinux({
    namespaces: [
      { type: 'mount' },
      { type: 'pid', path: '/proc/9/ns/pid' },
      { type: 'network', path: '/run/netns/x' },
      { type: 'ipc', path: '/proc/9/ns/ipc' },
      { type: 'uts', path: '/proc/9/ns/uts' },
    ],
  })
  const { create } = compile(spec)
  const opened = all(create, 'open-namespace')
  assert.deepEqual(
    opened.map(({ path, nstype, slot }) => [path, nstype, slot]),
    [
      ['/proc/9/ns/pid', 0x20000000, 40],
      ['/run/netns/x', 0x40000000, 41],
      ['/proc/9/ns/ipc', 0x8000000, 42],
      ['/proc/9/ns/uts', 0x4000000, 43],
    ],
  )
  assert.equal(opened[1]?.pointer, '/linux/namespaces/2/path')
  const clone = one(create, 'clone')
  assert.deepEqual([clone.join, clone.flags], [[40, 41, 42, 43], 0x20000n])
  // whoever stays must not keep them alive
  assert.deepEqual(
    all(create.slice(create.indexOf(clone)), 'close').map(({ slot }) => slot),
    [40, 41, 42, 43],
  )
  assert.ok(!names(inside(create)).includes('setns'))
  assert.ok(!names(inside(create)).includes('loopback'))
})

test('user namespaces: mapped when new, entered first when joined', () => {
  const mapped = withLinux({
    namespaces: [{ type: 'mount' }, { type: 'user' }, { type: 'uts' }],
    uidMappings: [{ containerID: 0, hostID: 1000, size: 10 }],
    gidMappings: [{ containerID: 0, hostID: 2000, size: 10 }],
  })
  const clone = one(compile(mapped).create, 'clone')
  assert.deepEqual([clone.uidMap, clone.gidMap, clone.setgroups], ['0 1000 10\n', '0 2000 10\n', ''])
  assert.ok(!names(inside(compile(mapped).create)).includes('unshare'))
  const ipc = { ...mapped.linux, namespaces: [{ type: 'mount' }, { type: 'user' }, { type: 'ipc' }] } as const
  const late = compile({ ...withLinux(ipc), hostname: '' }).create
  assert.equal(one(late, 'clone').flags & 0x8000000n, 0n)
  assert.equal(one(inside(late), 'unshare').flags, 0x8000000)
  refused(withLinux({ namespaces: [{ type: 'mount' }, { type: 'user' }] }), '/linux/uidMappings', 'invalid')
})

const USER_PATH = { type: 'user', path: '/u' } as const
const own = { uidMappings: [{ containerID: 0, hostID: 1000, size: 10 }], gidMappings: [] }

test('user namespaces: joined with what is there before, and by another process where new ones belong to it', () => {
  const all4 = withLinux({
    namespaces: [{ type: 'mount' }, { type: 'pid' }, { type: 'time' }, { type: 'ipc', path: '/i' }, USER_PATH],
    timeOffsets: { monotonic: { secs: 5n } },
  })
  const made = compile({ ...all4, hostname: '' }).create
  const clone = one(made, 'clone')
  assert.deepEqual([clone.join, clone.flags], [[40, 41], BigInt(0x20000 + 0x20000000 + 0x80)])
  assert.equal(clone.timeOffsets, 'monotonic 5 0\n')
  assert.ok(!names(inside(made)).includes('setns'))

  const joined = withLinux({ namespaces: [{ type: 'mount', path: '/m' }, { type: 'pid', path: '/p' }, USER_PATH] })
  const entered = compile({ ...joined, hostname: '' }).create
  assert.deepEqual(one(entered, 'clone').join, [41])
  assert.deepEqual(
    all(inside(entered), 'setns').map(({ nstype }) => nstype),
    [0x10000000, 0x20000],
  )
})

test('a new user namespace beside ones that are joined: those first', () => {
  const spec = withLinux({
    ...own,
    namespaces: [{ type: 'mount' }, { type: 'user' }, { type: 'pid' }, { type: 'network', path: '/n' }],
  })
  const clone = one(compile({ ...spec, hostname: '' }).create, 'clone')
  assert.deepEqual([clone.join, clone.flags], [[40], BigInt(0x20000 + 0x10000000 + 0x20000000)])
  for (const mount of [[], [{ type: 'mount', path: '/m' }]] as const)
    refused(withLinux({ ...own, namespaces: [...mount, { type: 'user' }] }), '/linux/namespaces', 'invalid')
  refused(withLinux({ namespaces: [USER_PATH] }), '/linux/namespaces', 'invalid')
})

test('no mount namespace: mounts on a bind of the root in the state directory, and a chroot', () => {
  const compiled = compile(withLinux({ namespaces: [{ type: 'uts' }] }), { noPivot: true })
  const { create, undo } = compiled
  const mount = one(create, 'mount')
  assert.deepEqual([mount.source, mount.target, mount.flags], ['/bundle/rootfs', '/run/berth-c1/root', 0x45000n])
  inOrder(names(create), 'mkdir', 'mount', 'clone')
  inOrder(names(undo), 'kill-cgroup', 'umount', 'rmdir')
  assert.equal(one(undo, 'umount').path, '/run/berth-c1/root')
  const plan = inside(create)
  assert.equal(one(plan, 'open-root').path, '/run/berth-c1/root')
  assert.equal(one(plan, 'pivot').flags, 2)
  assert.ok(!names(plan).includes('propagation') && !names(plan).includes('rootfs'))
  assert.ok(compiled.warnings.some((text) => /mount namespace/.test(text)))
})

test('a mount namespace that is joined: entered, then as a new one', () => {
  const { create } = compile(withLinux({ namespaces: [{ type: 'uts' }, { type: 'mount', path: '/m' }] }))
  inOrder(names(inside(create)), 'session', 'setns', 'propagation', 'rootfs', 'pivot')
})

test('capabilities: absent is none; what the host lacks is a warning', () => {
  const { capabilities: _, ...bare } = plainSpec().process ?? { user: { uid: 0, gid: 0 }, cwd: '/' }
  const none = one(inside(compile(plainSpec({ process: bare })).create), 'caps')
  assert.deepEqual(
    [none.bounding, none.permitted, none.effective, none.inheritable, none.ambient],
    [0n, 0n, 0n, 0n, 0n],
  )
  const list = ['CAP_CHOWN', 'CAP_BPF', 'CAP_MADE_UP']
  const spec = withProcess({
    capabilities: { bounding: list, permitted: list, effective: list, inheritable: [], ambient: [] },
  })
  const old = compile(spec, { facts: facts({ lastCap: 37 }) })
  assert.equal(one(inside(old.create), 'caps').permitted, 1n)
  assert.ok(old.warnings.some((text) => /bounding: CAP_BPF can't be granted/.test(text)))
  const poor = compile(spec, { facts: facts({ boundingSet: ALL & ~1n, permitted: ALL & ~1n }) })
  assert.equal(one(inside(poor.create), 'caps-bounding').bounding, 1n << 39n)
})

test('64-bit limits survive', () => {
  const spec = withProcess({ rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1n << 63n, hard: 0xffffffffffffffffn }] })
  const bytes = Buffer.alloc(16)
  bytes.writeBigUInt64LE(1n << 63n, 0)
  bytes.writeBigUInt64LE(0xffffffffffffffffn, 8)
  assert.ok(Buffer.from(encodePlan(compile(spec).create)).includes(bytes))
})

test('devices: not into a /dev of somebody else, configured ones instead of defaults', () => {
  const bound = plainSpec({ mounts: [{ destination: '/dev/', type: 'bind', source: '/dev' }] })
  assert.ok(!names(inside(compile(bound).create)).includes('mknod'))
  const devices = [
    { type: 'c', path: '/dev/null', major: 1n, minor: 3n, fileMode: 0o20600 },
    { type: 'b', path: '/dev/sdz', major: 8n, minor: 5n, uid: 3, gid: 4 },
    { type: 'c', path: '/dev/ptmx', major: 5n, minor: 2n },
  ] as const
  const made = all(inside(compile(withLinux({ devices })).create), 'mknod')
  assert.deepEqual(
    made.filter(({ path }) => path === '/dev/null').map(({ mode, pointer }) => [mode, pointer]),
    [[0o600, '/linux/devices/0']],
  )
  const disk = made.find(({ path }) => path === '/dev/sdz')
  assert.deepEqual(
    [disk?.type, disk?.major, disk?.minor, disk?.uid, disk?.gid, disk?.mode],
    [0o060000, 8, 5, 3, 4, 0o666],
  )
  assert.ok(!made.some(({ path }) => path === '/dev/ptmx'))
  const noCore = all(inside(compile(plainSpec(), { facts: facts({ kcore: false }) }).create), 'symlink')
  assert.ok(!noCore.some(({ path }) => path === '/dev/core'))
})

test('cgroup limits, and what lacks its controller', () => {
  const resources = { memory: { limit: 1n << 40n }, pids: { limit: 7n }, cpu: { shares: 100n } }
  const { create } = compile(withLinux({ resources }))
  const files = writes(create)
  assert.ok(files.includes('memory.limit_in_bytes=1099511627776') && files.includes('pids.max=7'))
  assert.equal(files.filter((text) => text === 'devices.deny=a *:* rwm').length, 1)
  const legacy = { facts: facts({ cgroup: layout('legacy') }) }
  refused(withLinux({ resources }), '/linux/resources/cpu/shares', 'unsupported', legacy)
  refused(withLinux({ resources: { unified: { 'memory.high': '1' } } }), '/linux/resources/unified', 'unsupported')
  const unified = { facts: facts({ cgroup: layout('unified') }) }
  const v2 = compile(withLinux({ resources }), unified)
  assert.deepEqual(
    all(v2.create, 'subtree-control').map(({ path, controllers, extra }) => [path, controllers, extra]),
    [['/sys/fs/cgroup', ['memory', 'cpu', 'pids'], ['io']]],
  )
  refused(withLinux({ resources: { network: { classID: 1 } } }), '/linux/resources/network', 'unsupported', unified)
  const none = { facts: facts({ cgroup: { mode: 'legacy', v1: [], v2: undefined, v2Controllers: [] } }) }
  assert.throws(() => compile(plainSpec(), none), /no cgroup hierarchy is mounted/)
})

test('v2: device rules are for the root of the host', () => {
  const cgroup = layout('unified')
  const resources = { devices: [{ allow: false }] }
  const filters = (change: Parameters<typeof facts>[0]) => {
    const { create, warnings } = compile(withLinux({ resources }), { facts: facts({ cgroup, ...change }) })
    return [all(create, 'device-filter').length, warnings.filter((text) => text.includes('devices')).length]
  }
  assert.deepEqual(filters({}), [1, 0])
  assert.deepEqual(filters({ inUserNamespace: true }), [0, 1])
  assert.deepEqual(filters({ permitted: 0n }), [0, 1])
})

test('v2: a cgroup that the container can write to belongs to its user', () => {
  const cgroup = layout('unified')
  const chowns = (change: Partial<Spec>) =>
    all(compile(plainSpec(change), { facts: facts({ cgroup }) }).create, 'chown').map(
      ({ path, uid, opFlags }) => `${uid} ${path.replace('/sys/fs/cgroup/berth-c1', '')} ${opFlags}`,
    )
  const mounts = (options: readonly string[]) => [{ destination: '/sys/fs/cgroup', type: 'cgroup', options }]
  const namespaces = [{ type: 'mount' }, { type: 'uts' }, { type: 'cgroup' }, { type: 'user' }] as const
  const ids = [{ containerID: 0, hostID: 100000, size: 65536 }]
  const linux = { namespaces, uidMappings: ids, gidMappings: ids }
  const process = { ...plainSpec().process, user: { uid: 5, gid: 5 } } as NonNullable<Spec['process']>
  const core = ['', '/cgroup.procs', '/cgroup.subtree_control', '/cgroup.threads'].map((file) => `100005 ${file} 0`)
  assert.deepEqual(chowns({ process, linux, mounts: mounts(['rw']) }), [...core, '100005 /memory.oom.group 1'])
  assert.deepEqual(chowns({ process, linux, mounts: mounts(['ro']) }), [])
  assert.deepEqual(chowns({ process, linux: { ...linux, namespaces: namespaces.slice(0, 2) }, mounts: mounts([]) }), [])
})

test('pause and resume', () => {
  const hybrid = compile(plainSpec())
  assert.equal(freezerDir(hybrid.cgroupPaths, layout('hybrid')), '/sys/fs/cgroup/freezer/berth-c1')
  const unified = '/sys/fs/cgroup/berth-c1'
  assert.equal(freezerDir([unified], layout('unified')), unified)
  assert.throws(() => freezerDir(['/sys/fs/cgroup/memory/x'], layout('legacy')), /no cgroup freezer/)
  assert.deepEqual(
    [one(freezePlan('/c', true), 'freeze').frozen, one(freezePlan('/c', false), 'freeze').frozen],
    [1, 0],
  )
})

test('sysctls: of the namespaces of the container only', () => {
  const { create } = compile(withLinux({ sysctl: { 'net.ipv4.ip_forward': '1', 'kernel.shmmax': '5' } }))
  assert.deepEqual(
    all(inside(create), 'sysctl').map(({ key, value }) => `${key}=${value}`),
    ['net/ipv4/ip_forward=1', 'kernel/shmmax=5'],
  )
  refused(withLinux({ sysctl: { 'kernel.panic': '1' } }), '/linux/sysctl/kernel.panic', 'invalid')
  refused(withLinux({ sysctl: { 'net/../x': '1' } }), '/linux/sysctl/net~1..~1x', 'invalid')
  refused(
    withLinux({ namespaces: [{ type: 'mount' }, { type: 'uts' }], sysctl: { 'net.x': '1' } }),
    '/linux/sysctl/net.x',
    'invalid',
  )
})

test('no process: parked with no right to anything, and ends when it is let go', () => {
  const { process: _, ...noProcess } = plainSpec()
  const plan = inside(compile(noProcess).create)
  assert.equal(plan.at(-1)?.op, 'park')
  assert.equal(one(plan, 'caps').permitted, 0n)
  assert.ok(!plan.some(({ op }) => op === 'exec' || op === 'find-exec'))
})

test('a filter with a listener is handed over before the process parks, over a connection of its own', () => {
  const seccomp = {
    ...FILTER,
    listenerPath: 'agent',
    listenerMetadata: 'm',
    syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }],
    flags: ['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'],
  } as const
  const { create } = compile(withLinux({ seccomp }))
  assert.deepEqual(names(create).slice(-6), ['resume', 'connect', 'send-fd', 'close', 'close', 'resume'])
  assert.equal(one(create, 'connect').path, '/bundle/agent')
  const [head, pid, ...rest] = one(create, 'send-fd').data
  assert.deepEqual([head, pid], ['{"ociVersion":"1.3.0","fds":["seccompFd"],"pid":', { hole: 'pid' }])
  assert.ok(rest.join('').startsWith(',"metadata":"m","state":{"ociVersion":"1.3.0","id":"c1","status":"creating"'))
  refused(withLinux({ seccomp }), '/linux/seccomp/flags/0', 'unsupported', { facts: facts({ kernel: '5.15.0' }) })
  // without such a rule the path is of no interest
  assert.deepEqual(all(compile(withLinux({ seccomp: { ...FILTER, listenerPath: 'agent' } })).create, 'connect'), [])
})

test('what can not be done is an error with its place', () => {
  refused(withProcess({ args: [] }), '/process/args', 'invalid')
  refused(withLinux({ namespaces: [{ type: 'mount' }] }), '/hostname', 'invalid')
  refused(withProcess({ apparmorProfile: 'x' }), '/process/apparmorProfile', 'unsupported')
  refused(withProcess({ selinuxLabel: 'x' }), '/process/selinuxLabel', 'unsupported')
  refused(withLinux({ intelRdt: { closID: 'x' } }), '/linux/intelRdt', 'unsupported')
  refused(plainSpec(), '/linux/cgroupsPath', 'unsupported', { systemdCgroup: true, facts: facts({ systemd: false }) })
})

test('process: directory, umask, home, path, scheduling, labels', () => {
  const plan = inside(
    compile(
      withProcess({
        cwd: '/work',
        user: { uid: 7, gid: 8, umask: 0o77, additionalGids: [9] },
        env: ['PATH=/a', 'PATH=/b'],
        scheduler: { policy: 'SCHED_BATCH', nice: -3, flags: ['SCHED_FLAG_RESET_ON_FORK'] },
        ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 4 },
        oomScoreAdj: -5,
        apparmorProfile: 'p',
      }),
      { facts: facts({ apparmor: true }), preserveFds: 2, noNewKeyring: true, noPivot: true },
    ).create,
  )
  assert.deepEqual(
    all(plan, 'chdir').map(({ path, flags }) => [path, flags]),
    [
      ['/work', 1],
      ['/work', 0],
    ],
  )
  inOrder(names(plan), 'chdir', 'remount-root', 'chdir', 'user')
  assert.equal(one(plan, 'umask').mask, 0o77)
  assert.deepEqual(one(plan, 'user').groups, [9])
  assert.equal(one(plan, 'find-exec').path, '/b')
  assert.deepEqual(one(plan, 'exec').env, ['PATH=/a', 'PATH=/b'])
  assert.equal(one(plan, 'user').home, 1)
  assert.deepEqual(
    [one(plan, 'scheduler').policy, one(plan, 'scheduler').nice, one(plan, 'scheduler').flags],
    [3, -3n, 1n],
  )
  assert.equal(one(plan, 'ioprio').value, (2 << 13) | 4)
  assert.equal(one(plan, 'oom-score').value, -5n)
  assert.equal(one(plan, 'lsm-exec').value, 'exec p')
  assert.equal(one(plan, 'close-fds').preserve, 2)
  assert.equal(one(plan, 'pivot').flags, 1)
  assert.ok(!names(plan).includes('keyring'))
  const env = (...given: string[]) => {
    const ops = inside(compile(withProcess({ env: given })).create)
    return [one(ops, 'user').home, ...one(ops, 'exec').env]
  }
  assert.deepEqual(env('HOME=/h', 'A=b'), [0, 'HOME=/h', 'A=b'])
  assert.deepEqual(env('A=b', 'HOME='), [1, 'A=b'], 'an empty one is none')
})

test('rootfs propagation', () => {
  const of = (rootfsPropagation: NonNullable<Linux['rootfsPropagation']>) => {
    const plan = inside(compile(withLinux({ rootfsPropagation })).create)
    return [one(plan, 'propagation').flags, one(plan, 'rootfs').propagation, one(plan, 'remount-root').propagation]
  }
  assert.deepEqual(of(''), [0x84000n, 0n, 0n])
  assert.deepEqual(of('rshared'), [0x104000n, 0x104000n, 0x104000n])
  assert.deepEqual(of('unbindable'), [0x44000n, 0n, 0x20000n])
})
