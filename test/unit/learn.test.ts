/** Learning: from what was seen to the smallest policy that lets it pass. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { learnFiles, type Options } from '../../src/learn/files.ts'
import { homeIn } from '../../src/learn/home.ts'
import { type Observation, readObserved } from '../../src/learn/observed.ts'
import { learnPolicy, mergePolicies, policyText } from '../../src/learn/policy.ts'
import { callTable, watchingProfile } from '../../src/learn/watch.ts'
import { loadPolicy } from '../../src/policy/document.ts'

const OPTIONS: Options = { home: '/home/me', collapse: 0, prefixes: [], force: false }
const see = (...records: readonly string[]): readonly Observation[] =>
  readObserved(new TextEncoder().encode(records.map((record) => `${record}\0`).join('')))
const learn = (records: readonly string[], options: Partial<Options> = {}) =>
  learnFiles(see(...records), { ...OPTIONS, ...options })

test('records: what is cut off or unknown is left out', () => {
  assert.deepEqual(readObserved(new TextEncoder().encode('r/a\0?/b\0w/c')), [{ seen: 'read', what: '/a' }])
})

test('files: each to the list that lets it pass, and none that another covers', () => {
  const { lists } = learn(['x/bin/sh', 'r/bin/sh', 'r/etc/passwd', 'l/data', 'r/data/x', 'w/log', 'r/log', 'd/tmp'])
  assert.deepEqual(lists, { execute: ['/bin/sh'], read: ['/data', '/etc/passwd'], write: ['/log', '/tmp'] })
})

test('files: what the run has made goes with where it was made', () => {
  const { lists } = learn(['d/tmp', 'm/tmp/dir', 'd/tmp/dir', 'm/tmp/dir/prog', 'w/tmp/dir/prog', 'x/tmp/dir/prog'])
  assert.deepEqual(lists, { execute: ['/tmp'], read: [], write: ['/tmp'] })
})

test('files: processes and terminals are others the next time; devices have ioctls', () => {
  const { lists } = learn([
    'r/proc/self/maps',
    'r/proc/12/stat',
    'c/dev/pts/3',
    'c/dev/tty',
    'c/dev/urandom',
    'w/dev/null',
  ])
  assert.deepEqual(lists, {
    execute: [],
    read: ['/dev/urandom', '/proc'],
    write: ['/dev/null', '/dev/pts', '/dev/tty'],
  })
  assert.deepEqual(learn(['rpipe:[12]', 'r/memfd:x (deleted)x'.replace('/memfd', 'memfd')]).lists.read, [])
})

test('files: some directories are never given as a whole, some not without a word', () => {
  const { lists, refused, guarded } = learn([
    'l/',
    'l/root',
    'd/home/me/.ssh',
    'd/etc',
    'l/home/me',
    'r/home/me/.ssh/config',
  ])
  assert.deepEqual(lists, { execute: [], read: ['/home/me'], write: ['/etc'] })
  assert.deepEqual(refused, ['/', '/home/me/.ssh', '/root'])
  assert.deepEqual(guarded, ['/etc', '/home/me'])
  const forced = learn(['l/', 'l/root'], { force: true })
  assert.deepEqual([forced.lists.read, forced.refused, forced.guarded], [['/root'], ['/'], ['/root']])
})

test('files: what such directories are in is looked at like them, whosever they are', () => {
  const seen = [
    'l/home',
    'd/var/lib',
    'l/run',
    'l/usr',
    'l/home/other',
    'l/home/other/.aws',
    'l/root/.ssh',
    'l/tmp/.ssh',
  ]
  const options = { home: '/var/lib/daemon' }
  const { lists, refused, guarded } = learn([...seen, 'l/var/lib/daemon', 'l/var/lib/daemon/.kube'], options)
  assert.deepEqual(refused, ['/home', '/root/.ssh', '/var/lib'])
  // which is true of them, as they are in what is given
  const keys = ['/home/other/.aws', '/var/lib/daemon/.kube']
  assert.deepEqual(guarded, ['/home/other', '/run', '/var/lib/daemon', ...keys].sort())
  assert.deepEqual(learn(['l/home/other', 'd/home/other/.aws']).refused, ['/home/other/.aws'])
  assert.deepEqual(lists, {
    execute: [],
    read: ['/home/other', '/run', '/tmp/.ssh', '/usr', '/var/lib/daemon'],
    write: [],
  })
  const forced = learn(seen, { ...options, force: true })
  assert.deepEqual(forced.refused, [])
  assert.deepEqual(forced.guarded, ['/home', '/home/other', '/home/other/.aws', '/root/.ssh', '/run', '/var/lib'])
  assert.deepEqual(learn(['l/var/lib', 'l/.ssh'], { home: '' }).refused, [])
  assert.deepEqual(learn(['l/var/lib', 'l/.ssh'], { home: '/' }).refused, ['/.ssh'])
})

test('files: not collapsed into what such directories are in', () => {
  const reads = ['a', 'b', 'c', 'd'].map((name) => `r/home/${name}/x`)
  const paths = reads.map((record) => record.slice(1))
  assert.deepEqual(learn(reads, { prefixes: ['/home'] }).lists.read, paths)
  assert.deepEqual(learn([...reads, 'l/home/e'], { prefixes: ['/home'] }).guarded, ['/home/e'])
  const forced = learn(reads, { prefixes: ['/home'], force: true })
  assert.deepEqual([forced.lists.read, forced.guarded], [['/home'], ['/home']])
  const ofUsers = ['a', 'b', 'c', 'd'].map((name) => `r/srv/users/${name}`)
  assert.deepEqual(learn(ofUsers, { collapse: 4, home: '/srv/users/me' }).lists.read.length, 4)
})

test('a home directory is the one that passwd has of the user', () => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\n#\n\nnobody:x:7::\na:x:7:7:,,,:/srv/a:/bin/sh\nb:x:7:7::/srv/b:\n'
  assert.deepEqual([homeIn(passwd, 0), homeIn(passwd, 7), homeIn(passwd, 70)], ['/root', '/srv/a', ''])
})

test('files: collapsed where that is asked for, and not into what is protected', () => {
  const reads = ['a', 'b', 'c', 'd'].flatMap((name) => [`r/usr/lib/${name}`, `r/root/${name}`, `r/${name}`])
  assert.deepEqual(learn(reads, { collapse: 4 }).lists.read, [
    ...['/a', '/b', '/c', '/d'],
    ...['/root/a', '/root/b', '/root/c', '/root/d', '/usr/lib'],
  ])
  assert.ok(learn(reads, { collapse: 4, force: true }).lists.read.includes('/root'))
  assert.ok(learn(reads, { collapse: 5 }).lists.read.includes('/usr/lib/a'))
  assert.deepEqual(learn(['r/usr/lib/x/y', 'x/usr/bin/z', 'r/opt/a'], { prefixes: ['/usr'] }).lists, {
    execute: ['/usr'],
    read: ['/opt/a'],
    write: [],
  })
})

const RUN = { peaks: { memory: 100 << 20, processes: 3 }, what: 'make all', ownPids: true }
const HOST = { landlock: 7, network: true }

test('a policy: destinations, ports, scopes, limits with room to spare; one that loads', () => {
  const observations = see('x/bin/sh', 'ntcp://10.0.0.1:443', 'nudp://[::1]:53', 'btcp://8080', 'budp://0', 'btcp://9')
  const { policy } = learnPolicy({ ...RUN, observations }, HOST, OPTIONS)
  assert.deepEqual(policy, {
    description: 'learned from: make all',
    files: { execute: ['/bin/sh'] },
    network: { allow: ['tcp://10.0.0.1:443', 'udp://[::1]:53'], allowBind: ['9', '8080'] },
    scopes: { abstractSockets: true, signals: true },
    limits: { memory: 125 << 20, processes: 6 },
  })
  assert.match(policyText(policy), /"memory": "125M"/)
  assert.equal(policyText(loadPolicy(policyText(policy), 'policy')), policyText(policy))
  const least = learnPolicy({ ...RUN, peaks: { memory: 1, processes: 1 }, observations }, HOST, OPTIONS)
  assert.deepEqual(least.policy.limits, { memory: 16 << 20, processes: 4 })
})

test('a policy: ports that the kernel chose stand for all, on this host only', () => {
  const allow = (...records: string[]) =>
    learnPolicy({ ...RUN, observations: see(...records) }, HOST, OPTIONS).policy.network?.allow
  const [own, other] = ['ntcp://127.0.0.1:40001', 'ntcp://192.0.2.1:40001']
  assert.deepEqual(allow(own, other), ['tcp://127.0.0.1:40001', 'tcp://192.0.2.1:40001'])
  assert.deepEqual(allow('btcp://0', own, other, 'ntcp://127.0.0.1:80'), [
    'tcp://127.0.0.1',
    'tcp://127.0.0.1:80',
    'tcp://192.0.2.1:40001',
  ])
})

test('a policy: what the host can enforce, and what was not seen', () => {
  const observations = see('x/bin/sh', 'ntcp://[2001:db8::1]:443', 'nudp://10.0.0.53:53', 'btcp://80', 'a')
  const of = (host: { landlock: number; network: boolean }) =>
    learnPolicy(
      { observations, peaks: { memory: undefined, processes: undefined }, what: '', ownPids: false },
      host,
      OPTIONS,
    ).policy
  assert.deepEqual(of({ landlock: 4, network: false }), {
    description: 'learned from: ',
    files: { execute: ['/bin/sh'] },
    tcp: { connect: [443], bind: [80] },
  })
  assert.equal(of({ landlock: 7, network: true }).scopes, undefined)
  assert.deepEqual(Object.keys(of({ landlock: 0, network: true })), ['description', 'network'])
})

test('merging: both runs pass, and what a person has written stays', () => {
  const merged = mergePolicies(
    {
      description: 'ours',
      bestEffort: ['files.ioctl'],
      files: { read: ['/etc/a', '/data/x'], write: ['/tmp'], deny: ['/secret'] },
      network: { deny: ['10.0.0.0/8'], allowBind: ['1'] },
      tcp: { connect: [1], bind: [] },
      scopes: { abstractSockets: true, signals: true },
      limits: { memory: 50, openFiles: 9 },
    },
    {
      description: 'learned',
      files: { read: ['/data', '/tmp/y'], execute: ['/bin/sh'] },
      network: { allow: ['tcp://*'], allowBind: ['2'] },
      tcp: { connect: [2], bind: [3] },
      scopes: { signals: true },
      limits: { memory: 40, processes: 8 },
    },
  )
  assert.deepEqual(merged, {
    description: 'ours',
    bestEffort: ['files.ioctl'],
    files: { execute: ['/bin/sh'], read: ['/data', '/etc/a'], write: ['/tmp'], deny: ['/secret'] },
    network: { deny: ['10.0.0.0/8'], allowBind: ['1', '2'] },
    tcp: { connect: [1, 2], bind: [3] },
    scopes: { signals: true },
    limits: { memory: 50, openFiles: 9, processes: 8 },
  })
})

test('watching: without a profile all calls pass, and the agent is asked for some', () => {
  const profile = watchingProfile(undefined, '/socket', 'x86_64', true)
  assert.deepEqual(
    [profile.defaultAction, profile.listenerPath, profile.flags],
    ['SCMP_ACT_ALLOW', '/socket', ['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV']],
  )
  assert.deepEqual(
    profile.syscalls?.map(({ action, names }) => [action, names.includes('openat'), names.includes('io_uring_setup')]),
    [
      ['SCMP_ACT_NOTIFY', true, false],
      ['SCMP_ACT_ERRNO', false, true],
    ],
  )
  const table = callTable(profile, 'x86_64')
  for (const entry of [
    '3221225534:257:openat',
    '1073741827:295:openat',
    '1073741827:102:socketcall',
    '3221225534:59:execve',
  ])
    assert.ok(table.includes(entry), entry)
})

test('watching: a profile refuses what it did before, and is asked for what it would let pass', () => {
  const profile = watchingProfile(
    {
      defaultAction: 'SCMP_ACT_ERRNO',
      architectures: ['SCMP_ARCH_X86_64'],
      syscalls: [
        { names: ['read', 'openat', 'io_uring_setup'], action: 'SCMP_ACT_ALLOW' },
        { names: ['mkdir'], action: 'SCMP_ACT_KILL' },
      ],
    },
    '/socket',
    'x86_64',
    false,
  )
  assert.deepEqual(profile.syscalls, [
    { names: ['read'], action: 'SCMP_ACT_ALLOW' },
    { names: ['openat'], action: 'SCMP_ACT_NOTIFY' },
    { names: ['mkdir'], action: 'SCMP_ACT_KILL' },
  ])
  assert.throws(
    () => watchingProfile({ defaultAction: 'SCMP_ACT_ALLOW', listenerPath: '/x' }, '/socket', 'x86_64', true),
    /there can be one listener only/,
  )
})
