/** Policies on the real kernel: what is allowed works, what is not fails, through every door there is. */
import assert from 'node:assert/strict'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Attacker, bring, noCompiler } from '../harness/attack.ts'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { BIND_DOORS, DATAGRAMS, DOORS, lines, SEND_DOORS } from '../harness/doors.ts'
import { nothingLeft, snapshot, until } from '../harness/host.ts'
import { berth, type Finished } from '../harness/run.ts'
import { berthWithout, ENOSYS } from '../harness/without.ts'

const id = `policy-${process.pid}`
const DENIED = /Permission denied/
/** What lets busybox run, and work in /tmp. */
const FILES = { execute: ['/bin'], read: ['/etc'], write: ['/tmp', '/dev/null'] }
const inline = (policy: object) => ({ 'io.berth.policy.inline': JSON.stringify(policy) })

const withRoot = (config: Config): void => {
  config.root.readonly = false
  const { bounding } = config.process.capabilities
  for (const set of ['bounding', 'effective', 'permitted'])
    config.process.capabilities[set] = [...bounding, 'CAP_SYS_ADMIN', 'CAP_DAC_OVERRIDE', 'CAP_MKNOD']
}

describe('policies', { skip: notHere || noCompiler }, () => {
  let before: Set<string>
  let node: string
  beforeEach(() => {
    before = snapshot()
    node = mkdtempSync(join(tmpdir(), 'berth-node-'))
  })
  afterEach(async () => {
    await berth(['delete', '--force', id])
    rmSync(node, { recursive: true })
    await nothingLeft(before)
  })

  const prepare = (
    annotations: Config,
    args: readonly string[],
    change: (config: Config) => void = () => {},
  ): Bundle => {
    const bundle = new Bundle(args, (config) => {
      withRoot(config)
      config.annotations = annotations
      change(config)
    })
    const rootfs = join(bundle.dir, 'rootfs')
    chmodSync(rootfs, 0o755)
    for (const name of ['data', 'secret', 'secret/dir']) mkdirSync(join(rootfs, name))
    writeFileSync(join(rootfs, 'secret/file'), 'secret\n')
    writeFileSync(join(rootfs, 'data/file'), 'data\n')
    symlinkSync('/', join(rootfs, 'link'))
    bring(bundle, 'doors')
    return bundle
  }
  const config = (document: object): readonly string[] => {
    writeFileSync(join(node, 'config.json'), JSON.stringify(document))
    return ['--config', join(node, 'config.json')]
  }
  const run = async (
    annotations: Config,
    script: string,
    flags: readonly string[] = [],
    change?: (config: Config) => void,
  ): Promise<Finished> => {
    using bundle = prepare(annotations, ['/bin/sh', '-c', script], change)
    return await berth([...flags, 'run', '--bundle', bundle.dir, id])
  }
  const refused = async (annotations: Config, pattern: RegExp, flags: readonly string[] = []): Promise<void> => {
    const { code, stderr } = await run(annotations, 'true', flags)
    assert.equal(code, 1, stderr)
    assert.match(stderr, pattern)
    assert.match((await berth(['state', id])).stderr, /does not exist/)
  }

  for (const [what, nnp] of [
    ['with no_new_privs', true],
    ['with CAP_SYS_ADMIN only', false],
  ] as const)
    it(`files: allowed works, denied fails, ${what}`, async () => {
      const script = `
        cat /etc/passwd >/dev/null && echo new >/tmp/new && cat /tmp/new && mv /tmp/new /tmp/moved && rm /tmp/moved && echo allowed
        cat /secret/file; ls /secret; echo x >/data/x; echo x >/etc/x; mkdir /data/d; rm /data/file; mknod /tmp/n c 1 3 && echo made
        ln /etc/passwd /tmp/passwd; mv /etc/passwd /tmp/; truncate -s 0 /etc/passwd; cp /bin/busybox /tmp/sh && /tmp/sh true; mount -t tmpfs none /tmp
        (cat /secret/file &) ; /bin/sh -c 'cat /secret/file'; cat /link/secret/file; true`
      const { stdout, stderr } = await run(inline({ files: FILES }), script, [], (all) => {
        all.process.noNewPrivileges = nnp
      })
      assert.equal(stdout, 'new\nallowed\nmade\n', stderr)
      for (const door of [
        'cat: can.t open ./secret/file',
        'ls: can.t open ./secret',
        'create /data/x',
        'create /etc/x',
        '/data/d',
        "remove '?/data/file",
      ])
        assert.match(stderr, new RegExp(door), door)
      assert.match(stderr, /\/tmp\/sh: Permission denied/)
      assert.match(stderr, /mount: .*(Operation not permitted|[Pp]ermission denied)/)
      assert.doesNotMatch(stdout, /secret/)
      assert.ok(!stderr.includes('Read-only'), stderr)
    })

  it('files: the same holds for an exec, and for one by another user', async () => {
    using bundle = prepare(inline({ files: FILES }), ['/bin/sleep', '1000'])
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    for (const flags of [[], ['--user', '1000:1000']]) {
      const good = await berth(['exec', ...flags, id, '/bin/cat', '/etc/passwd'])
      assert.equal(good.code, 0, good.stderr)
      const bad = await berth(['exec', ...flags, id, '/bin/cat', '/data/file'])
      assert.equal(bad.code, 1)
      assert.match(bad.stderr, DENIED)
    }
  })

  it('files: a symlink of the image gives no right to what it points to', async () => {
    const { stderr } = await run(inline({ files: { ...FILES, write: ['/tmp', '/link'] } }), 'echo x >/data/x')
    assert.match(stderr, DENIED)
  })

  it('files: through no door', async () => {
    // busybox does nothing by the name of `true`
    const script = `
      /doors read /etc/passwd; /doors read /data/file; /doors write /tmp/f; /doors write /etc/passwd
      /doors execute /bin/busybox; /doors execute /tmp/busybox; /doors read /etc/group; /doors write /etc/group`
    const files = { ...FILES, execute: ['/bin', '/doors'], deny: ['/etc/group'] }
    using bundle = prepare(inline({ files }), ['/bin/sh', '-c', script])
    writeFileSync(join(bundle.dir, 'rootfs/tmp/f'), '')
    cpSync(join(bundle.dir, 'rootfs/bin/busybox'), join(bundle.dir, 'rootfs/tmp/busybox'))
    const { stdout, stderr } = await berth(['run', '--bundle', bundle.dir, id])
    const { open, execute } = DOORS
    const expected = [
      ...['open', 'EACCES', 'open', 'EACCES'].map((outcome) => lines(open, outcome)),
      ...['open', 'EACCES'].map((outcome) => lines(execute, outcome)),
      ...['EACCES', 'EACCES'].map((outcome) => lines(open, outcome)),
    ]
    assert.equal(stdout, expected.join(''), stderr)
  })

  it('files: a program that may not be executed is refused by create', async () => {
    const policy = { files: { read: ['/'] } }
    await refused(inline(policy), /"\/bin\/sh": permission denied: the policy's files\.execute/)
  })

  it('deny: a file can not be opened by root either, a directory is empty, and neither can be uncovered', async () => {
    const script = `
      cat /secret/file; echo x >/secret/file; ls -A /secret/dir; umount /secret/file; umount /secret/dir; mount -t tmpfs none /secret
      cat /secret/file; cat /data/file`
    const policy = { files: { deny: ['/secret/file', '/secret/dir'] } }
    const { stdout, stderr } = await run(inline(policy), script)
    assert.equal(stdout, 'data\n')
    assert.equal(stderr.match(/\/secret\/file'?: Permission denied/g)?.length ?? 0, 3, stderr)
    assert.match(stderr, /umount: .*not permitted/)
  })

  it('deny: who has no say over mounts can not uncover anything in namespaces of its own either', async () => {
    const uncover = `
      umount /secret/file; umount -l /secret/dir; mkdir -p /tmp/root; mount --bind / /tmp/root && cat /tmp/root/secret/file
      mount --rbind / /tmp/root && echo mounted; cat /tmp/root/secret/file; ls -A /tmp/root/secret/dir; cat /secret/file; true`
    const script = `unshare -Urm /bin/sh -c '${uncover}'; cat /data/file`
    const policy = { files: { deny: ['/secret/file', '/secret/dir'] } }
    const { stdout, stderr } = await run(inline(policy), script, [], (config) => {
      // what it takes to map root into a user namespace (user_namespaces(7))
      for (const set of ['bounding', 'effective', 'permitted']) config.process.capabilities[set] = ['CAP_SETFCAP']
    })
    assert.equal(stdout, 'mounted\ndata\n', stderr)
    assert.equal(stderr.match(/umount: .*Invalid argument/g)?.length, 2, stderr)
    assert.equal(stderr.match(/\/secret\/file'?: Permission denied/g)?.length, 2, stderr)
  })

  it('deny: a path that is not there is an error', () =>
    refused(
      { 'io.berth.files.deny': '/secret/file; /nowhere' },
      /"\/nowhere": no such file or directory \(ENOENT\): is to be denied, but is not there/,
    ))

  it('tcp: only the ports that are named, through every door', async () => {
    // what Landlock does not see looks like a host without it
    const unseen = new Map([
      ['fastopen', 'EOPNOTSUPP'],
      ['io_uring', 'EPERM'],
    ])
    const sent = (tcp: string) =>
      lines(SEND_DOORS, (door) => unseen.get(door) ?? (DATAGRAMS.includes(door) ? 'open' : tcp))
    const bound = (tcp: string) => lines(BIND_DOORS, (door) => (door.startsWith('udp') ? 'open' : tcp))
    const script = `
      /senders to 127.0.0.1 7000; /senders to 127.0.0.1 7001; /senders bind 7000; /senders bind 7002
      /senders sockets | grep -e mptcp -e tcp`
    using bundle = prepare(inline({ tcp: { connect: [7000], bind: [7000, 7001] } }), ['/bin/sh', '-c', script])
    bring(bundle, 'senders')
    const { stdout, stderr } = await berth(['run', '--bundle', bundle.dir, id])
    const expected = sent('open') + sent('EACCES') + bound('open') + bound('EACCES')
    assert.equal(stdout, `${expected}tcp open\nmptcp EPROTONOSUPPORT\n`, stderr)
  })

  it('scopes: the abstract sockets and processes of others, through every door', async () => {
    const name = `berth-${process.pid}`
    await using _outside = await Attacker.start('doors', 'listen', name)
    const script = `/doors abstract ${name}; /doors signal ${process.pid}; sleep 1000 & /doors signal $!; kill $!`
    const share = (all: Config) => {
      all.linux.namespaces = all.linux.namespaces.filter(({ type }: Config) => type !== 'network' && type !== 'pid')
    }
    const { abstract, signal } = DOORS
    const own = lines(signal, 'open')
    const open = await run({}, script, [], share)
    assert.equal(open.stdout, lines(abstract, 'open') + own + own, open.stderr)
    const scopes = { 'io.berth.scopes.signals': 'true', 'io.berth.scopes.abstractSockets': 'true' }
    const { stdout, stderr } = await run(scopes, script, [], share)
    assert.equal(stdout, lines(abstract, 'EPERM') + lines(signal, 'EPERM') + own, stderr)
  })

  it('limits: the least of configuration and policies holds, and update can not pass it', async () => {
    const flags = config({ policy: { limits: { processes: 50, openFiles: 100, memory: '64M' } } })
    using bundle = prepare({ 'io.berth.limits.processes': '20' }, ['/bin/sleep', '1000'], (all) => {
      all.linux.resources = { ...all.linux.resources, memory: { limit: 32 << 20 } }
      all.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 1000, hard: 1000 }]
    })
    const made = await berth([...flags, 'run', '--detach', '--bundle', bundle.dir, id])
    assert.equal(made.code, 0, made.stderr)
    const seen = await berth(['exec', id, '/bin/sh', '-c', 'ulimit -n; ulimit -Hn'])
    assert.equal(seen.stdout, '100\n100\n')
    const figures = JSON.parse((await berth(['events', '--stats', id])).stdout).data
    assert.equal(figures.pids.limit, 20)
    assert.equal(figures.memory.usage.limit, 32 << 20)
    for (const [flag, value] of [
      ['--pids-limit', '21'],
      ['--pids-limit', '-1'],
      ['--memory', '65m'],
    ] as const) {
      const { code, stderr } = await berth(['update', flag, value, id])
      assert.equal(code, 1)
      assert.match(stderr, /is more than the container's policy allows/)
    }
    assert.equal((await berth(['update', '--pids-limit', '10', id])).code, 0)
  })

  it('the node and its profiles are the ceiling', async () => {
    mkdirSync(join(node, 'policies'))
    writeFileSync(join(node, 'policies/small.json'), JSON.stringify({ files: FILES }))
    const flags = config({ policy: { tcp: { connect: [443] }, files: { execute: ['/bin'], write: ['/'] } } })
    const small = { 'io.berth.policy': 'small' }
    const both = await run(small, 'echo x >/data/x; echo x >/tmp/x && cat /tmp/x; nc 127.0.0.1 80', flags)
    assert.equal(both.stdout, 'x\n')
    assert.match(both.stderr, /\/data\/x: Permission denied/)
    assert.match(both.stderr, /127.0.0.1.*Permission denied/)
    await refused(
      { ...small, 'io.berth.files.write': '/data' },
      /files\.write: "\/data" is more than the policy "small" allows/,
      flags,
    )
    await refused({ 'io.berth.tcp.connect': '443;80' }, /tcp\.connect: 80 is more than .*config\.json allows/, flags)
    await refused({ 'io.berth.policy': 'other' }, /there is no policy "other" on this node/, flags)
    await refused({ 'io.berth.policy': '../etc' }, /is no name of a policy/, flags)
  })

  it('what is not known is an error that names it and what is nearest', async () => {
    await refused(
      { 'io.berth.file.read': '/' },
      /unknown annotation "io\.berth\.file\.read"; did you mean "io\.berth\.files\.read"\?/,
    )
    await refused(inline({ files: { reed: ['/'] } }), /unknown property "reed"; did you mean "read"\?/)
    await refused(inline({ files: { read: ['etc'] } }), /\/files\/read\/0: must be an absolute path/)
    await refused({ 'io.berth.limits.memory': 'much' }, /\/limits\/memory/)
    await refused(
      {},
      /config\.json: .*unknown property "policie"; did you mean "policies"\?/,
      config({ policie: '/x' }),
    )
  })

  it('policy check says what each rule comes to', async () => {
    const flags = config({ policy: { files: { read: ['/'], execute: ['/bin'] } } })
    using bundle = prepare({ 'io.berth.tcp.bind': '80' }, ['/bin/true'])
    const all = await berth([...flags, 'policy', 'check', bundle.dir])
    assert.equal(all.code, 0, all.stderr)
    assert.match(all.stdout, /^files\.execute +\/bin +Landlock ABI \d+ +.*config\.json$/m)
    assert.match(all.stdout, /^tcp\.bind +80 +Landlock ABI \d+ +annotations$/m)
    const [, own = ''] = flags
    const nodes = await berth(['policy', 'check', own])
    assert.match(nodes.stdout, /^files\.read +\/ +Landlock ABI \d+ +.*config\.json$/m, nodes.stderr)
    const file = join(node, 'one.json')
    writeFileSync(
      file,
      JSON.stringify({ http: { allow: ['GET example.org/*'] }, module: '/none.mjs', syscalls: { deny: ['none'] } }),
    )
    assert.match((await berth(['policy', 'check', file])).stderr, /^berth: policy: [^p]/)
    writeFileSync(file, JSON.stringify({ scopes: { signals: true } }))
    const missing = [{ call: 'landlock_create_ruleset', errno: ENOSYS }]
    const one = await berthWithout(missing, ['policy', 'check', '--json', file])
    assert.equal(one.code, 1)
    assert.match(JSON.parse(one.stdout).problems[0], /^"signals" can not be enforced/)
    writeFileSync(file, JSON.stringify({ scopes: { signals: true }, bestEffort: ['signals'] }))
    const lax = await berthWithout(missing, ['policy', 'check', '--json', file])
    assert.equal(lax.code, 0)
    assert.match(JSON.parse(lax.stdout).missing[0], /^signals: not enforced: needs Landlock ABI 6/)
  })

  it('policy check says what create would refuse, and what gets round the rules', async () => {
    const check = async (annotations: Config, change: (config: Config) => void = () => {}, document: object = {}) => {
      using bundle = prepare(annotations, ['/bin/true'], (all) => {
        all.process.capabilities = {}
        change(all)
      })
      const flags = config(document)
      const { code, stdout, stderr } = await berth([...flags, 'policy', 'check', '--json', bundle.dir])
      const { problems, gaps } = JSON.parse(stdout || assert.fail(stderr))
      const created = await berth([...flags, 'create', '--bundle', bundle.dir, id])
      await berth(['delete', '--force', id])
      assert.equal(created.code, code, created.stderr)
      for (const said of [...problems, ...gaps]) assert.ok(created.stderr.includes(said), `${said} ${created.stderr}`)
      return { problems, gaps }
    }
    const without = (type: string) => (all: Config) => {
      all.linux.namespaces = all.linux.namespaces.filter((one: Config) => one.type !== type)
      if (type === 'mount') all.mounts = []
      if (type === 'mount') for (const name of ['maskedPaths', 'readonlyPaths']) delete all.linux[name]
    }
    const module = { policy: { module: { path: join(node, 'module.mjs') } } }
    writeFileSync(join(node, 'module.mjs'), "export const onSyscall = () => 'allow'")
    for (const [annotations, change, document, why] of [
      [{ 'io.berth.limits.output': '1M' }, () => {}, {}, /limits\.output: is for containers of containerd/],
      [{ 'io.berth.files.deny': '/secret' }, without('mount'), {}, /files\.deny needs a mount namespace/],
      [
        {},
        (all: Config) => {
          all.linux.seccomp = { defaultAction: 'SCMP_ACT_ALLOW', listenerPath: '/run/x.sock' }
          all.linux.seccomp.syscalls = [{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }]
        },
        module,
        /needs to be the only listener there is/,
      ],
    ] as const) {
      const { problems } = await check(annotations, change, document)
      assert.match(problems[0], why)
    }
    assert.deepEqual(await check({ 'io.berth.network.deny': '192.0.2.1' }), { problems: [], gaps: [] })
    const { problems, gaps } = await check({ 'io.berth.network.deny': '192.0.2.1' }, (all) => {
      all.process.capabilities = { bounding: ['CAP_NET_ADMIN', 'CAP_SYS_ADMIN'] }
      all.linux.namespaces = all.linux.namespaces.filter(({ type }: Config) => type !== 'network')
      all.mounts.push({ destination: '/data', type: 'bind', source: '/sys/fs/cgroup', options: ['rbind'] })
    })
    assert.deepEqual(problems, [])
    assert.deepEqual(
      gaps.map((gap: string) => /CAP_\w+|mounts/.exec(gap)?.[0]),
      ['CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'mounts'],
    )
    const file = join(node, 'one.json')
    writeFileSync(file, JSON.stringify({ syscalls: { deny: ['execve'] } }))
    const one = await berth(['policy', 'check', '--json', file])
    assert.equal(one.code, 1)
    assert.match(JSON.parse(one.stdout).problems[0], /refuses execve, which a container needs to be started/)
  })

  it('state says what is enforced', async () => {
    using bundle = prepare({ 'io.berth.tcp.bind': '80' }, ['/bin/true'])
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    const { annotations } = JSON.parse((await berth(['state', id])).stdout)
    assert.match(annotations['io.berth.enforced'], /^tcp: Landlock ABI \d+$/)
  })

  it('without Landlock a policy is refused, or left out where it says so', async () => {
    const missing = [{ call: 'landlock_create_ruleset', errno: ENOSYS }]
    const policy = { files: { ...FILES, execute: ['/'] } }
    using strict = prepare(inline(policy), ['/bin/true'])
    const { code, stderr } = await berthWithout(missing, ['run', '--bundle', strict.dir, id])
    assert.equal(code, 1)
    assert.match(
      stderr,
      /"files" can not be enforced: it needs Landlock ABI 1 \(Linux 5\.13\), this host has no Landlock/,
    )
    const bestEffort = ['files', 'files.truncate', 'files.ioctl']
    using lax = prepare(inline({ ...policy, bestEffort }), ['/bin/sleep', '1000'])
    assert.equal((await berthWithout(missing, ['run', '--detach', '--bundle', lax.dir, id])).code, 0)
    const { annotations } = JSON.parse((await berth(['state', id])).stdout)
    assert.match(annotations['io.berth.enforced'], /files: not enforced: needs Landlock ABI 1/)
    await until('deleted', async () => (await berth(['delete', '--force', id])).code === 0)
  })
})
