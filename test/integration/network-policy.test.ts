/** Network rules of policies on the real kernel: what is allowed works, what is not fails, through every door there is. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { Attacker, bring, noCompiler } from '../harness/attack.ts'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { BIND_DOORS, DATAGRAMS, IP4_ONLY, lines as linesOf, SEND_DOORS } from '../harness/doors.ts'
import { binary, until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'
import { berthWithout, EPERM } from '../harness/without.ts'

const id = `network-${process.pid}`
const PORT = 7000
type Outcome = (door: string) => string
/** io_uring is not to be had where a policy has network rules: a socket made by it would be seen by no filter of system calls. */
const open: Outcome = (door) => (door === 'io_uring' ? 'EPERM' : 'open')
const refused: Outcome = () => 'EPERM'
const only =
  (doors: (door: string) => boolean): Outcome =>
  (door) =>
    doors(door) ? open(door) : 'EPERM'
const lines = (outcome: Outcome, family: 4 | 6 = 4): string =>
  linesOf(
    SEND_DOORS.filter((door) => family === 4 || !IP4_ONLY.includes(door)),
    outcome,
  )

/** A port of the host's that nobody listens on. */
const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

describe('network policies', { skip: notHere || noCompiler }, () => {
  deletesAfterEach(id)

  const prepare = (network: object, args: readonly string[], change: (config: Config) => void = () => {}): Bundle => {
    const bundle = new Bundle(args, (config) => {
      config.annotations = { 'io.berth.policy.inline': JSON.stringify({ network }) }
      config.linux.sysctl = { 'net.ipv4.ping_group_range': '0 2147483647' }
      for (const set of ['bounding', 'effective', 'permitted'])
        config.process.capabilities[set] = ['CAP_NET_RAW', 'CAP_NET_BIND_SERVICE']
      change(config)
    })
    bring(bundle, 'senders')
    return bundle
  }
  const said = async (network: object, command: string, change?: (config: Config) => void): Promise<string> => {
    using bundle = prepare(network, ['/bin/sh', '-c', command], change)
    const { code, stdout, stderr } = await berth(['run', '--bundle', bundle.dir, id])
    assert.equal(code, 0, stderr)
    return stdout
  }
  const to = (...addresses: string[]) => addresses.map((address) => `/senders to ${address} ${PORT}`).join(';')

  it('allow: what is named and nothing else, through every door', async () => {
    const allow = [`127.0.0.2:${PORT}`, `[::1]:${PORT}`]
    const expected = lines(refused) + lines(open) + lines(open, 6)
    for (const nnp of [true, false])
      assert.equal(
        await said({ allow }, to('127.0.0.1', '127.0.0.2', '::1'), (config) => {
          config.process.noNewPrivileges = nnp
        }),
        expected,
        `no_new_privs ${nnp}`,
      )
  })

  it('deny: all but what is named, and not by way of 0.0.0.0 and ::', async () => {
    const deny = ['127.0.0.2', 'tcp://::1']
    const ip6 = only((door) => DATAGRAMS.includes(door))
    const there = to('127.0.0.1', '127.0.0.2', '::1', '0.0.0.0')
    assert.equal(await said({ deny }, there), lines(open) + lines(refused) + lines(ip6, 6) + lines(refused))
  })

  it('protocols, ports, prefixes and mapped addresses', async () => {
    const udp = only((door) => DATAGRAMS.includes(door))
    const tcp = only((door) => !DATAGRAMS.includes(door))
    const cases: readonly [allow: string[], expected: Outcome][] = [
      [[`udp://127.0.0.0/8:${PORT}`], udp],
      [['tcp://127.0.0.1'], tcp],
      [['127.0.0.1:80,443'], refused],
      [['::ffff:127.0.0.1'], open],
      [['::/0'], refused],
      [[`*:${PORT}`], open],
      [['icmp://*'], refused],
      [[], refused],
    ]
    for (const [allow, expected] of cases)
      assert.equal(await said({ allow }, to('127.0.0.1')), lines(expected), allow.join())
  })

  it('ports to bind', async () => {
    const command = 'for port in 80 95 0; do /senders bind $port; done'
    const bound = (...ports: ((kind: string) => boolean)[]) =>
      ports.map((may) => linesOf(BIND_DOORS, (kind) => (may(kind) ? 'open' : 'EPERM'))).join('')
    const [yes, no] = [() => true, () => false]
    assert.equal(
      await said({ allowBind: ['80-90'] }, command),
      bound(yes, no, (kind) => kind.startsWith('udp')),
    )
    assert.equal(await said({ allowBind: ['95', '0'] }, command), bound(no, yes, yes))
    assert.equal(await said({ denyBind: ['80-90'] }, command), bound(no, yes, yes))
  })

  it('ping, by sendto and by connect', async () => {
    const command = 'for at in 127.0.0.1 127.0.0.2 ::1; do /senders ping $at; done'
    // a packet of IPv6 that is dropped is no error of sendto
    const answers = (...outcomes: string[]) =>
      outcomes.map((word) => `ping ${word}\nping-connected ${word.replace('ETIMEDOUT', 'EPERM')}\n`).join('')
    assert.equal(await said({ allow: ['icmp://127.0.0.2'] }, command), answers('EPERM', 'open', 'ETIMEDOUT'))
    assert.equal(await said({ deny: ['icmp://127.0.0.2'] }, command), answers('open', 'EPERM', 'open'))
    assert.equal(await said({ deny: ['127.0.0.2'] }, command), answers('open', 'open', 'open'))
    assert.equal(await said({ allow: ['127.0.0.2'] }, command), answers('EPERM', 'EPERM', 'EPERM'))
  })

  it('no socket that could step round the rules', async () => {
    const made = new Map(
      (await said({ deny: ['192.0.2.1'] }, '/senders sockets')).split('\n').map((line) => line.split(' ') as never),
    ) as Map<string, string>
    for (const kind of ['tcp', 'udp', 'unix', 'netlink', 'ping']) assert.equal(made.get(kind), 'open', kind)
    for (const kind of [
      'raw',
      'raw6',
      'packet',
      'udplite',
      'sctp',
      'mptcp',
      'vsock',
      'bluetooth',
      'xdp',
      'old-packet',
      'high-old-packet',
      'seqpacket',
    ])
      assert.match(made.get(kind) ?? '', /^(EPERM|EAFNOSUPPORT|EPROTONOSUPPORT|ESOCKTNOSUPPORT)$/, kind)
  })

  it('no source route, which would lead packets elsewhere', async () => {
    const routes = (await said({ allow: ['127.0.0.2'] }, '/senders routes')).trim().split('\n')
    assert.equal(routes.length, 7)
    for (const line of routes) assert.match(line, /EPERM$/)
  })

  it('every policy holds: what two allow in common', async () => {
    const both = (config: Config) => {
      config.annotations['io.berth.network.allow'] = 'tcp://127.0.0.0/30; udp://*'
    }
    const tcp = only((door) => !DATAGRAMS.includes(door))
    const there = to('127.0.0.1', '127.0.0.9')
    assert.equal(
      await said({ allow: [`tcp://127.0.0.0/8:${PORT}`, 'udp://192.0.2.1'] }, there, both),
      lines(tcp) + lines(refused),
    )
  })

  it('execs, and the loopback of the host', async () => {
    using bundle = prepare({ allow: ['127.0.0.2'] }, ['/bin/sleep', '1000'], (config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }: { type: string }) => type !== 'network')
      delete config.linux.sysctl
    })
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    for (const [address, outcome] of [
      ['127.0.0.1', refused],
      ['127.0.0.2', open],
    ] as const) {
      const { stdout, stderr } = await berth(['exec', id, '/senders', 'to', address, String(await freePort())])
      assert.equal(stdout, lines(outcome), `${address} ${stderr}`)
    }
    assert.match((await berth(['state', id])).stdout, /network: BPF programs of the cgroup/)
  })

  it('what no rule is about: UNIX sockets by their path, and what comes from outside by one', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'berth-hand-'))
    const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
    try {
      await once(server, 'listening')
      await using _outside = await Attacker.start('senders', 'hand', join(dir, 'socket'))
      const { port } = server.address() as AddressInfo
      const shared = (config: Config) => {
        config.mounts.push({ destination: '/outside', type: 'bind', source: dir, options: ['bind'] })
        config.annotations['io.berth.files.execute'] = '/bin;/senders'
      }
      const command = `/senders received /outside/socket 127.0.0.1 ${port}; cat /outside/socket 2>&1`
      using bundle = prepare({ allow: [] }, ['/bin/sh', '-c', command], shared)
      const { stdout } = await berth(['run', '--bundle', bundle.dir, id])
      assert.equal(stdout, "received open\nown EPERM\ncat: can't open '/outside/socket': Permission denied\n")
    } finally {
      server.close()
      rmSync(dir, { recursive: true })
    }
  })

  it('what was refused is told as it goes on', async () => {
    using bundle = prepare({ allow: [], denyBind: [] }, ['/bin/sleep', '1000'])
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    const child = spawn(binary, ['events', '--policy', '--interval', '50ms', id], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'exit')
    const seen: string[] = []
    createInterface(child.stdout).on('line', (line) => seen.push(line))
    const counts = () =>
      seen.map((line) => {
        const { type, id: whose, data } = JSON.parse(line)
        assert.deepEqual([type, whose], ['policy', id])
        return data.denied.map(({ rule, denied }: Config) => `${rule} ${denied}`).join()
      })
    const told = (count: number) => (count === 0 ? '' : `network.allow ${count}`)
    await until('that nothing was', () => counts().includes(told(0)))
    const each = SEND_DOORS.filter((door) => !['io_uring', 'x32'].includes(door)).length
    for (const times of [1, 2]) {
      assert.equal((await berth(['exec', id, '/senders', 'to', '127.0.0.1', String(PORT)])).code, 0)
      await until('what was', () => counts().at(-1) === told(times * each))
    }
    // In the order in which it came to be, each interval.
    assert.deepEqual(
      [...new Set(counts())].filter((line) => [0, 1, 2].some((times) => line === told(times * each))),
      [told(0), told(each), told(2 * each)],
    )
    assert.equal((await berth(['kill', id, 'KILL'])).code, 0)
    assert.deepEqual(await ended, [0, null])
  })

  it('what was refused is counted, rule by rule', async () => {
    const deny = ['tcp://127.0.0.1', 'udp://127.0.0.1']
    const denyBind = ['1-79', '80', '90-100']
    using bundle = prepare({ deny, denyBind }, ['/bin/sleep', '1000'])
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    const denied = async (...args: string[]) => {
      const { code, stdout, stderr } = await berth([...args, id])
      assert.equal(code, 0, stderr)
      const { data, denied: own } = JSON.parse(stdout)
      return (own ?? data.denied).map(({ rule, value, denied: count }: Config) => [rule, value, count])
    }
    assert.deepEqual(await denied('inspect', '--json'), [])
    for (const args of [
      ['to', '127.0.0.1', '7000'],
      ['bind', '80'],
      ['bind', '95'],
      ['bind', '95'],
      ['to', '0.0.0.0', '7000'],
    ])
      assert.equal((await berth(['exec', id, '/senders', ...args])).code, 0)
    const tcp = SEND_DOORS.filter((door) => !['io_uring', 'x32'].includes(door) && !DATAGRAMS.includes(door)).length
    const binds = BIND_DOORS.filter((door) => door !== 'x32').length
    const expected = [
      ['network.deny', '0.0.0.0 and ::', tcp + DATAGRAMS.length],
      ['network.deny', deny[0], tcp],
      ['network.deny', deny[1], DATAGRAMS.length],
      ['network.denyBind', denyBind[1], binds],
      ['network.denyBind', denyBind[2], 2 * binds],
    ]
    assert.deepEqual(await denied('inspect', '--json'), expected)
    assert.deepEqual(await denied('events', '--stats', '--policy'), expected)
    const { stdout } = await berth(['inspect', id])
    assert.match(stdout, /network\.deny +tcp:\/\/127\.0\.0\.1 +BPF programs of the cgroup/)
    assert.match(stdout, new RegExp(`^${tcp} +network\\.deny +tcp://127\\.0\\.0\\.1`, 'm'))

    // It is still known of what has ended, as long as its cgroup is there.
    assert.equal((await berth(['kill', id, 'KILL'])).code, 0)
    await until('the end', async () => JSON.parse((await berth(['state', id])).stdout).status === 'stopped')
    assert.deepEqual(await denied('inspect', '--json'), expected)
    const { cgroupPaths } = JSON.parse(readFileSync(`/run/berth/${id}/state.json`, 'utf8'))
    rmdirSync(cgroupPaths[0])
    assert.deepEqual(await denied('inspect', '--json'), [])
    const unknown = /what network rules have refused: that went with the container's cgroup/
    assert.match(JSON.parse((await berth(['inspect', '--json', id])).stdout).unknown.join(), unknown)
    assert.match((await berth(['inspect', id])).stdout, unknown)
  })
})

/** Nothing of BPF is to be had: the supervisor judges. It knows x32 where the kernel does not, too. */
describe('network policies where there are no BPF programs', { skip: notHere || noCompiler }, () => {
  deletesAfterEach(id)
  const lacking = (...args: string[]) => berthWithout([{ call: 'bpf', errno: EPERM }], args)
  const bundleOf = (network: object, args: readonly string[]): Bundle => {
    const bundle = new Bundle(args, (config) => {
      config.annotations = { 'io.berth.policy.inline': JSON.stringify({ network }) }
      for (const set of ['bounding', 'effective', 'permitted'])
        config.process.capabilities[set] = ['CAP_NET_RAW', 'CAP_NET_BIND_SERVICE']
    })
    bring(bundle, 'senders')
    return bundle
  }
  const told = (outcome: Outcome, doors: readonly string[] = SEND_DOORS): string =>
    doors.map((door) => `${door} ${outcome(door)}\n`).join('')

  for (const [what, network] of [
    ['allow', { allow: ['127.0.0.2'] }],
    ['deny', { deny: ['127.0.0.1'] }],
  ] as const)
    it(`${what}: holds through every door, in execs too, and is counted`, async () => {
      using bundle = bundleOf(network, ['/bin/sleep', '1000'])
      assert.equal((await lacking('run', '--detach', '--bundle', bundle.dir, id)).stderr, '')
      const to = async (address: string) => (await lacking('exec', id, '/senders', 'to', address, String(PORT))).stdout
      assert.equal(await to('127.0.0.1'), told(refused))
      assert.equal(await to('127.0.0.2'), told(open))
      assert.match((await lacking('state', id)).stdout, /network: the container's supervisor/)
      const { denied } = JSON.parse((await lacking('inspect', '--json', id)).stdout)
      assert.deepEqual(
        denied.map(({ rule }: Config) => rule),
        [`network.${what}`],
      )
    })

  it('hosts by name are why it is refused, which is said before they are looked up', async () => {
    const why = /needs BPF programs of cgroups.*, as network\.allow names hosts; a supervisor would judge addresses/
    using bundle = bundleOf({ allow: ['nowhere.invalid', '127.0.0.1'] }, ['/bin/true'])
    const { code, stderr } = await lacking('create', '--bundle', bundle.dir, id)
    assert.equal(code, 1)
    assert.match(stderr, why)
    const file = join(bundle.dir, 'policy.json')
    writeFileSync(file, JSON.stringify({ network: { allow: ['nowhere.invalid'] } }))
    const check = await lacking('policy', 'check', file)
    assert.equal(check.code, 1)
    assert.match(check.stdout, why)
  })

  it('a socket from outside is judged like others, as the call is', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'berth-hand-'))
    try {
      await using _outside = await Attacker.start('senders', 'hand', join(dir, 'socket'))
      using bundle = bundleOf({ allow: [] }, ['/senders', 'received', '/outside/socket', '127.0.0.1', String(PORT)])
      bundle.config.mounts.push({ destination: '/outside', type: 'bind', source: dir, options: ['bind'] })
      bundle.write()
      const { stdout, stderr } = await lacking('run', '--bundle', bundle.dir, id)
      assert.equal(stdout, 'received EPERM\nown EPERM\n', stderr)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  it('ports to bind', async () => {
    using bundle = bundleOf({ allowBind: ['80-90'] }, ['/bin/sh', '-c', '/senders bind 80; /senders bind 95'])
    const { stdout, stderr } = await lacking('run', '--bundle', bundle.dir, id)
    assert.equal(stdout, told(open, BIND_DOORS) + told(refused, BIND_DOORS), stderr)
  })

  it('no socket and no route that could step round the rules', async () => {
    using bundle = bundleOf({ deny: ['192.0.2.1'] }, ['/bin/sh', '-c', '/senders sockets; /senders routes'])
    const made = new Map(
      (await lacking('run', '--bundle', bundle.dir, id)).stdout.split('\n').map((line) => line.split(' ') as never),
    ) as Map<string, string>
    for (const kind of ['tcp', 'udp', 'unix', 'netlink']) assert.equal(made.get(kind), 'open', kind)
    for (const kind of [
      'raw',
      'raw6',
      'packet',
      'udplite',
      'sctp',
      'mptcp',
      'vsock',
      'xdp',
      'high-raw',
      'old-packet',
      'seqpacket',
      'ip-options',
      'control-route',
      'routing-header',
      'flow-label',
    ])
      assert.match(made.get(kind) ?? '', /^(EPERM|EAFNOSUPPORT)$/, kind)
  })
})
