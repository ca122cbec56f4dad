/** Policies that a module of the node's decides, on the real kernel: through every door, by hand and for execs. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { noCompiler } from '../harness/attack.ts'
import { type Config, notHere } from '../harness/bundle.ts'
import { DOORS, SEND_DOORS } from '../harness/doors.ts'
import { JudgingNode, judgedBundle, refusing } from '../harness/judged.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `module-${process.pid}`
const PORT = 7000
const x64 = process.arch === 'x64'

describe('policies with a module', { skip: notHere || noCompiler }, () => {
  deletesAfterEach(id)
  let node: JudgingNode
  before(() => {
    node = new JudgingNode()
  })
  after(() => node[Symbol.dispose]())
  const config = (...words: Parameters<JudgingNode['config']>) => node.config(...words)
  const run = (flags: readonly string[], args: readonly string[], change?: (config: Config) => void) =>
    node.run(id, flags, args, change)
  const script = (flags: readonly string[], text: string, change?: (config: Config) => void) =>
    run(flags, ['/bin/sh', '-c', text], change)
  const denied = async (): Promise<object[]> => JSON.parse((await berth(['inspect', '--json', id])).stdout).denied

  /** Those of 32-bit programs and of x32, be they known to the kernel or not, are judged as all others; io_uring is not to be had. */
  const lines = (doors: readonly string[], outcome: (door: string) => string): string =>
    doors.map((door) => `${door} ${outcome(door)}\n`).join('')
  const opens = (outcome: string): string => lines(DOORS.open, (door) => (door === 'io_uring' ? 'EPERM' : outcome))

  for (const nnp of [true, false])
    it(`open: what is refused is refused through every door, no_new_privs ${nnp}`, async () => {
      const flags = config(refusing("event.path === '/data/secret'"), { calls: ['open'] })
      const { stdout, stderr, code } = await script(
        flags,
        '/doors read /data/open; /doors read /data/secret; /doors read /data/link; ln /data/secret /data/hard; cat /data/hard',
        (all) => {
          all.process.noNewPrivileges = nnp
        },
      )
      assert.equal(stdout, `${opens('open')}${opens('EPERM')}${opens('EPERM')}secret\n`, stderr)
      assert.equal(code, 0)
    })

  it('open: as the caller would have it opened, and with no more rights', async () => {
    const flags = config("export const onSyscall = () => 'allow'", { calls: ['open'] })
    const { stdout, stderr } = await run(flags, ['/judged', 'rights'], (all) => {
      all.process.capabilities = {
        bounding: ['CAP_SETUID', 'CAP_SETGID', 'CAP_MKNOD', 'CAP_DAC_OVERRIDE'],
        effective: ['CAP_SETUID', 'CAP_SETGID', 'CAP_MKNOD', 'CAP_DAC_OVERRIDE'],
        permitted: ['CAP_SETUID', 'CAP_SETGID', 'CAP_MKNOD', 'CAP_DAC_OVERRIDE'],
      }
    })
    assert.equal(stderr, '')
    assert.deepEqual(stdout.trim().split('\n'), [
      'relative open',
      'at open',
      'above-the-root open',
      'missing ENOENT',
      'no-directory ENOTDIR',
      'nofollow ELOOP',
      'exclusive EEXIST',
      'directory EISDIR',
      'created 0640 0 0',
      'truncated 0',
      'self open',
      'thread-self open',
      'own-descriptor open',
      'cloexec 1 0',
      'devices open',
      'host-disk EPERM',
      'tmpfile open',
      'fifo open',
      'chroot open',
      'beneath EXDEV',
      'in-root open',
      'user open',
      'user-other EACCES',
      'user-created 1000',
      'unmapped open',
      'uid-map open',
      'nested-root open',
      'nested-root-other EACCES',
      'planted EACCES',
      'too-many EMFILE',
    ])
  })

  it('open: a file is told by its one name, whatever the caller calls it', async () => {
    const flags = config(refusing("event.path === '/data/secret'"), { calls: ['open'] })
    const { stdout, stderr } = await script(flags, '/judged aliases; exit 0', (all) => {
      for (const set of ['bounding', 'effective', 'permitted'])
        all.process.capabilities[set] = ['CAP_SYS_CHROOT', 'CAP_SYS_ADMIN']
    })
    const other: Readonly<Record<string, string>> = { 'chroot-allowed': 'open', 'other-root': 'EACCES' }
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
    assert.equal(lines.length, 16, stderr + stdout)
    for (const [name = '', outcome] of lines) assert.equal(outcome, other[name] ?? 'EPERM', name)
  })

  it('open: within the other rules for files', async () => {
    const flags = config(
      "export const onSyscall = () => 'allow'",
      { calls: ['open'] },
      { files: { execute: ['/bin', '/doors'], read: ['/data'], write: ['/dev/null'] } },
    )
    const { stdout, stderr } = await script(
      flags,
      'cat /data/open; cat /etc/passwd; echo x >/data/x; echo x >/dev/null && echo null',
    )
    assert.equal(stdout, 'open\nnull\n', stderr)
    assert.match(stderr, /\/etc\/passwd.*Permission denied/)
    assert.match(stderr, /\/data\/x: Permission denied/)
  })

  it('execve: by file, by arguments, through execveat, scripts and what runs them', async () => {
    const flags = config(
      refusing(
        "event.path === '/bin/secret' || event.argv.includes('refused') || (event.interpreter && event.path.endsWith('bad.sh'))",
        "{ errno: 'EACCES' }",
      ),
      { calls: ['execve'] },
    )
    const { stdout, stderr } = await script(
      flags,
      `cp /bin/busybox /bin/secret; printf '#!/bin/sh\\necho script $1\\n' >/data/good.sh; cp /data/good.sh /data/bad.sh; chmod 755 /data/*.sh
       /bin/secret true; /bin/echo allowed; /bin/echo refused; /data/good.sh one; /data/bad.sh; /judged execs /bin/secret; /judged execs /bin/busybox`,
    )
    const outcomes = (outcome: string) =>
      ['execve', 'execveat', 'empty-path', 'proc-self-fd', 'thread', 'vfork', ...(x64 ? ['int80'] : [])]
        .map((door) => `${door} ${outcome}\n`)
        .join('')
    assert.equal(stdout, `allowed\nscript one\n${outcomes('EACCES')}${outcomes('executed')}`, stderr)
    assert.match(
      stderr,
      /\/bin\/secret: Permission denied[\s\S]*echo: Permission denied[\s\S]*bad\.sh: Permission denied/,
    )
  })

  it("execve: of the container's own program too", async () => {
    const { code, stderr } = await run(config(refusing("event.path === '/bin/busybox'"), { calls: ['execve'] }), [
      '/bin/true',
    ])
    assert.equal(code, 1)
    assert.match(stderr, /exec "\/bin\/true": operation not permitted/)
  })

  const network = (outcome: string): string => lines(SEND_DOORS, (door) => (door === 'io_uring' ? 'EPERM' : outcome))

  it('connect: what is refused is refused through every door', async () => {
    const flags = config(refusing("event.address === '127.0.0.1' && event.port === 7000", '{ errno: 111 }'), {
      calls: ['connect'],
    })
    const { stdout, stderr } = await script(flags, `/senders to 127.0.0.2 ${PORT}; /senders to 127.0.0.1 ${PORT}`)
    assert.equal(stdout, `${network('open')}${network('ECONNREFUSED')}`, stderr)
  })

  it('connect and bind: UNIX sockets by their place, and messages with descriptors and ids', async () => {
    const flags = config(refusing("event.path === '/data/no' || event.name === 'no'"), { calls: ['connect', 'bind'] })
    const { stdout, stderr } = await run(flags, ['/judged', 'unix'])
    assert.equal(stderr, '')
    assert.deepEqual(stdout.trim().split('\n'), [
      'bind open',
      'bind-refused EPERM',
      'bind-again EADDRINUSE',
      'connect open',
      'connect-link open',
      'abstract open',
      'abstract-refused EPERM',
      'datagram open',
      'rights open',
      'ids 0 0',
      'disconnect open',
      'netlink open',
    ])
  })

  it('connect: packets take no other way than to the address', async () => {
    const flags = config("export const onSyscall = () => 'allow'", { calls: ['connect'] })
    const { stdout } = await script(flags, '/senders routes; /senders sockets')
    const made = new Map(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ') as [string, string]),
    )
    for (const kind of ['tcp', 'udp', 'unix', 'netlink']) assert.equal(made.get(kind), 'open', kind)
    for (const kind of [
      'ip-options',
      'routing-header',
      'old-routing-header',
      'sticky-options',
      'flow-label',
      'raw',
      'raw6',
      'mptcp',
    ])
      assert.equal(made.get(kind), 'EPERM', kind)
    for (const kind of [
      'packet',
      'sctp',
      'vsock',
      'bluetooth',
      'xdp',
      'high-raw',
      'high-sctp',
      'high-multipath',
      'ip-options-high',
    ])
      assert.match(made.get(kind) ?? '', /^(EPERM|EAFNOSUPPORT)$/, kind)
  })

  it('bind: ports', async () => {
    const flags = config(refusing('event.port === 7001'), { calls: ['bind'] })
    const { stdout } = await script(flags, '/senders bind 7001; /senders bind 7002')
    const [first, second] = stdout
      .trim()
      .split('\n')
      .reduce<[string[], string[]]>(
        ([a, b], line, index, all) => (index < all.length / 2 ? [[...a, line], b] : [a, [...b, line]]),
        [[], []],
      )
    assert.ok(first.length > 0 && first.every((line) => line.endsWith('EPERM')), stdout)
    assert.ok(
      second.every((line) => line.endsWith('open')),
      stdout,
    )
  })

  it('holds for execs, and counts what was refused', async () => {
    using bundle = judgedBundle(['/bin/sleep', '1000'])
    const flags = config(refusing("event.path === '/data/secret'"))
    assert.equal((await berth([...flags, 'run', '--detach', '--bundle', bundle.dir, id])).stderr, '')
    for (const user of [[], ['--user', '1000:1000']]) {
      assert.equal((await berth(['exec', ...user, id, '/bin/cat', '/data/open'])).stdout, 'open\n')
      assert.match((await berth(['exec', ...user, id, '/bin/cat', '/data/secret'])).stderr, /Operation not permitted/)
    }
    assert.match(
      (await berth(['exec', '--user', '1000:1000', id, '/bin/cat', '/data/mine'])).stderr,
      /Permission denied/,
    )
    assert.deepEqual(await denied(), [{ from: node.file, rule: 'module', value: 'open', denied: 2 }])
  })

  it("is the node's to say, and of what the kernel has", async () => {
    const policy = { module: { path: join(node.dir, 'module.mjs') } }
    const [, file = ''] = config("export const onSyscall = () => 'allow'")
    writeFileSync(join(node.dir, 'given.json'), JSON.stringify(policy))
    writeFileSync(file, '{}')
    const flags = ['--config', file]
    const inline = await script(flags, 'true', (all) => {
      all.annotations = { 'io.berth.policy.inline': JSON.stringify(policy) }
    })
    assert.match(inline.stderr, /module is the node's to say/)
    const single = await script(flags, 'true', (all) => {
      all.annotations = { 'io.berth.policy.module': '/etc/module.mjs' }
    })
    assert.match(single.stderr, /unknown annotation "io.berth.policy.module"/)
    using bundle = judgedBundle(['/bin/true'])
    const given = await berth([...flags, 'run', '--policy', join(node.dir, 'given.json'), '--bundle', bundle.dir, id])
    assert.match(given.stderr, /module is the node's to say/)
    const listener = await script(config("export const onSyscall = () => 'allow'"), 'true', (all) => {
      all.linux.seccomp = {
        defaultAction: 'SCMP_ACT_ALLOW',
        listenerPath: '/run/agent.sock',
        syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }],
      }
    })
    assert.match(
      listener.stderr,
      /needs to be the only listener there is, and linux.seccomp.listenerPath names another/,
    )
    const missing = await script(config(''), 'true')
    assert.match(missing.stderr, /module\.mjs: exports no function onSyscall/)
    const broken = await script(config('export const = 1'), 'true')
    assert.match(broken.stderr, /module\.mjs: .*Unexpected token/)
  })
})
