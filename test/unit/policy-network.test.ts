import assert from 'node:assert/strict'
import { test } from 'node:test'
import { entriesOf } from '../../src/bpf/destinations.ts'
import { COUNTERS, networkPrograms } from '../../src/bpf/network.ts'
import type { BerthError } from '../../src/errors.ts'
import { compileCreate } from '../../src/plan/create.ts'
import { Namespaces } from '../../src/plan/namespaces.ts'
import { networkGaps } from '../../src/plan/network-gaps.ts'
import type { Op } from '../../src/plan/ops.ts'
import { checkRestorable } from '../../src/plan/restore.ts'
import { checkNarrower } from '../../src/policy/ceiling.ts'
import { readDenials } from '../../src/policy/denials.ts'
import { loadPolicy } from '../../src/policy/document.ts'
import {
  hostsOf,
  isWithin,
  located,
  parseDestination,
  parseRange,
  RuleError,
  single,
  withAddresses,
} from '../../src/policy/network.ts'
import { covers, parsePrefix } from '../../src/policy/prefix.ts'
import { enforcedText, unenforceable } from '../../src/policy/protections.ts'
import type { Confinement, Policy } from '../../src/policy/types.ts'
import { lookAll } from '../../src/policy/worker/names/look.ts'
import { changes, renewed } from '../../src/policy/worker/names/refresh.ts'
import type { Found } from '../../src/policy/worker/resolver.ts'
import type { Spec } from '../../src/spec/types.ts'
import { all, facts, input, inside, layout, plainSpec } from './plan-fixture.ts'

const load = (network: object): Policy => loadPolicy(JSON.stringify({ network }), 'policy.json')
const texts = (rule: string): string[] =>
  [...single(parseDestination(rule))].map(({ protocol, prefix: { family, address, bits }, port }) => {
    const host = family === 4 ? address.join('.') : Buffer.from(address).toString('hex')
    return `${protocol} ${host}/${bits} ${port ?? 'all'}`
  })

test('destinations', () => {
  const any6 = '0'.repeat(32)
  const cases: Readonly<Record<string, readonly string[]>> = {
    'tcp://10.1.2.3:80,443': ['tcp 10.1.2.3/32 80', 'tcp 10.1.2.3/32 443'],
    '10.1.2.3/9:80': ['tcp 10.0.0.0/9 80', 'udp 10.0.0.0/9 80'],
    'udp://*:53': ['udp 0.0.0.0/0 53', `udp ${any6}/0 53`],
    'tcp://:53': ['tcp 0.0.0.0/0 53', `tcp ${any6}/0 53`],
    'udp://10.0.0.0/8': ['udp 10.0.0.0/8 all'],
    'tcp://10.0.0.1:*': ['tcp 10.0.0.1/32 all'],
    '2001:db8::1': ['tcp 20010db8000000000000000000000001/128 all', 'udp 20010db8000000000000000000000001/128 all'],
    'tcp://[2001:db8::/33]:7': ['tcp 20010db8000000000000000000000000/33 7'],
    'tcp://::ffff:10.0.0.1': ['tcp 10.0.0.1/32 all'],
    'tcp://[::ffff:10.0.0.0/104]:1': ['tcp 10.0.0.0/8 1'],
    'tcp://2001:db8::8:80': ['tcp 20010db8000000000000000000080080/128 all'],
    'icmp://10.0.0.1': ['icmp 10.0.0.1/32 all'],
    'icmp://fe80::1': ['icmp fe800000000000000000000000000001/128 all'],
    'icmp://*': ['icmp 0.0.0.0/0 all', `icmp ${any6}/0 all`],
  }
  for (const [rule, expected] of Object.entries(cases)) assert.deepEqual(texts(rule), expected, rule)
})

test('what is no destination', () => {
  const cases: Readonly<Record<string, RegExp>> = {
    '': /is empty: leave it out/,
    'tcp://': /names no host/,
    'icmp://': /names no host/,
    'sctp://10.0.0.1': /unknown scheme "sctp"/,
    'TCP://10.0.0.1': /unknown scheme "TCP"/,
    '*.example.org:443': /is no address and no host's name/,
    'exa mple.org': /is no address/,
    'example..org': /is no address/,
    '-example.org': /is no address/,
    '10.0.1': /is no address/,
    'example.org:80-90': /is no port/,
    '10.0.0.1/33': /is no CIDR/,
    '10.0.0/8': /is no CIDR/,
    '2001:db8::/129': /no (CIDR|address|port)/,
    '10.0.0.1:0': /"0" is no port/,
    '10.0.0.1:65536': /"65536" is no port/,
    '10.0.0.1:80-90': /"80-90" is no port/,
    '10.0.0.1:80,': /"" is no port/,
    '10.0.0.1:': /"" is no port/,
    '10.0.0.1:80,*': /"\*" is no port/,
    '10.0.0.1: 80': /" 80" is no port/,
    '[10.0.0.1': /malformed/,
    '[example.org]:80': /malformed/,
    '[::1]': /malformed/,
    'fe80::1%eth0': /no (address|port)/,
    'icmp://10.0.0.1:7': /ICMP has no ports/,
    'icmp://*:7': /ICMP has no ports/,
  }
  for (const [rule, pattern] of Object.entries(cases))
    assert.throws(
      () => parseDestination(rule),
      (error: Error) => error instanceof RuleError && pattern.test(error.message),
      rule,
    )
})

test('ports to bind', () => {
  assert.deepEqual(parseRange('80'), { first: 80, last: 80 })
  assert.deepEqual(parseRange('0'), { first: 0, last: 0 })
  assert.deepEqual(parseRange('8000-8080'), { first: 8000, last: 8080 })
  assert.deepEqual(parseRange('*'), { first: 0, last: 65535 })
  for (const text of ['', '-', '80-', '-80', '90-80', '1-2-3', '65536', '80,81', '*-1'])
    assert.throws(() => parseRange(text), RuleError, text)
})

test('addresses', () => {
  const hex = (text: string) => Buffer.from(parsePrefix(text)?.address ?? []).toString('hex')
  assert.equal(hex('::'), '0'.repeat(32))
  assert.equal(hex('1::'), `0001${'0'.repeat(28)}`)
  assert.equal(hex('::2'), `${'0'.repeat(28)}0002`)
  assert.equal(hex('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008')
  assert.equal(hex('1:2:3:4:5:6:7::'), '00010002000300040005000600070000')
  assert.equal(hex('64:ff9b::192.0.2.33'), '0064ff9b0000000000000000c0000221')
  assert.equal(hex('1:2:3:4:5:6:1.2.3.4'), '00010002000300040005000601020304')
  assert.equal(hex('::FFFF:255.254.0.1'), 'fffe0001')
  for (const text of [
    ...['', ':', ':::', '1', '1:2', '1::2::3', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7:8::', '12345::', 'g::', '::1:'],
    ...[':1::', '1.2.3.4::', '::1.2.3.4:5', '::256.1.1.1', '1.2.3', '1.2.3.4.5', '01.2.3.4', '256.1.1.1', '1.2.3.-4'],
    ...['1.2.3.4/', '1.2.3.4/33', '1.2.3.4/8/8', '::/129', '::/-1', '::1%lo', ' ::1', '0x7f.1.1.1', '2130706433'],
  ])
    assert.equal(parsePrefix(text), undefined, text)
})

test('prefixes', () => {
  const prefix = (text: string) => parsePrefix(text) ?? assert.fail(text)
  assert.ok(covers(prefix('10.0.0.0/8'), prefix('10.9.0.0/16')))
  assert.ok(!covers(prefix('10.9.0.0/16'), prefix('10.0.0.0/8')))
  assert.ok(!covers(prefix('10.0.0.0/8'), prefix('11.0.0.0/16')))
  assert.ok(!covers(prefix('::/0'), prefix('10.0.0.1')))
  assert.ok(covers(prefix('2001:db8::/31'), prefix('2001:db9::1')))
})

test('an annotation can not name more than the ceiling', () => {
  const within = (inner: string, ...outers: string[]) => isWithin(parseDestination(inner), outers.map(parseDestination))
  assert.ok(within('10.1.0.0/16:443', 'tcp://10.0.0.0/8:443', 'udp://*'))
  assert.ok(!within('10.1.0.0/16:443', 'tcp://10.0.0.0/8:443'))
  assert.ok(!within('10.0.0.0/8', '10.0.0.0/8:443'))
  assert.ok(!within('*', '0.0.0.0/0'))
  const narrower = (ceiling: object, wish: object) =>
    checkNarrower(load(ceiling), load(wish), 'the node', '/annotations')
  narrower({ allow: ['10.0.0.0/8'] }, { allow: ['tcp://10.0.0.1'], deny: undefined, allowBind: ['80'] })
  narrower({ allow: ['10.0.0.0/8'] }, { deny: ['*'] })
  assert.throws(() => narrower({ allow: [] }, { allow: ['tcp://10.0.0.1'] }), /network\.allow: "tcp:\/\/10\.0\.0\.1"/)
  narrower({ allow: ['a.org', 'b.org:80'] }, { allow: ['tcp://a.org:443', 'udp://B.org:80'] })
  assert.throws(() => narrower({ allow: ['10.0.0.0/8'] }, { allow: ['a.org'] }), /network\.allow: "a\.org"/)
  assert.throws(() => narrower({ allow: ['a.org'] }, { allow: ['b.org'] }), /network\.allow: "b\.org"/)
  narrower({ allowBind: ['80-90'] }, { allowBind: ['85'] })
  assert.throws(() => narrower({ allowBind: ['80-90'] }, { allowBind: ['85-91'] }), /network\.allowBind: "85-91"/)
})

test('names of hosts', () => {
  const named = (rule: string) => {
    const { host, protocols, prefixes, ports } = parseDestination(rule)
    return [host, protocols.join(), prefixes.length, ports?.join()]
  }
  assert.deepEqual(named('example.org'), ['example.org', 'tcp,udp', 0, undefined])
  assert.deepEqual(named('tcp://DB_1.Example.org.:80,443'), ['db_1.example.org', 'tcp', 0, '80,443'])
  assert.deepEqual(named('icmp://localhost'), ['localhost', 'icmp', 0, undefined])
  const allow = ['tcp://a.org:80', 'udp://b.org', 'a.org:443', '10.0.0.1']
  assert.deepEqual(hostsOf({ allow }), ['a.org', 'b.org'])
  const addresses = { 'a.org': ['192.0.2.1', '2001:db8::1'] }
  assert.deepEqual(
    [...single(located(parseDestination('tcp://a.org:80'), addresses))].map(({ prefix }) => prefix.bits),
    [32, 128],
  )
  assert.deepEqual([...single(located(parseDestination('tcp://b.org:80'), addresses))], [], 'nothing is allowed')
  assert.deepEqual(withAddresses('tcp://a.org:80,81', addresses), [
    'tcp://192.0.2.1:80,81',
    'tcp://[2001:db8::1]:80,81',
  ])
  assert.deepEqual(withAddresses('udp://a.org', addresses), ['udp://192.0.2.1', 'udp://2001:db8::1'])
  assert.deepEqual(withAddresses('10.0.0.0/8:1', addresses), ['10.0.0.0/8:1'])
  for (const odd of ['constructor', '__proto__']) assert.deepEqual(withAddresses(odd, addresses), [], odd)
  const within = (inner: string, ...outers: string[]) => isWithin(parseDestination(inner), outers.map(parseDestination))
  assert.ok(within('tcp://a.org:80', 'A.org:80,443'))
  assert.ok(within('tcp://a.org:80', '*:80'))
  assert.ok(within('a.org:80', 'tcp://a.org', 'udp://*'))
  assert.ok(!within('a.org', 'a.org:80'))
  assert.ok(!within('a.org:80', 'tcp://a.org:80'))
  assert.ok(!within('a.org', 'b.org', '10.0.0.0/8'))
  assert.ok(!within('10.0.0.1', 'a.org'))
  assert.ok(!within('a.org', '0.0.0.0/0'), 'it may have an address of IPv6')
})

test('what names stand for becomes entries, and a refresh leads from one set of them to the next', () => {
  const network = { allow: ['tcp://a.org:80', 'tcp://192.0.2.9:80'] }
  const [before, after] = [{ 'a.org': ['192.0.2.7', '192.0.2.8'] }, { 'a.org': ['192.0.2.8', '192.0.2.9'] }]
  const last = (bytes: Uint8Array, at: number) => bytes[at]
  assert.deepEqual(
    [...entriesOf(network, before).values()].map(({ key }) => last(key, 11)),
    [7, 8, 9],
  )
  const records = changes([[], network.allow], before, after)
  // action, map, the address's last byte: 192.0.2.9 has a rule of its own
  assert.deepEqual(
    records.map((bytes) => [last(bytes, 0), last(bytes, 4), last(bytes, 8 + 11)]),
    [[2, 1, 7]],
  )
  assert.deepEqual(
    changes([network.allow], after, { 'a.org': ['192.0.2.1'] }).map((bytes) => [last(bytes, 0), last(bytes, 19)]),
    [
      [1, 1],
      [2, 8],
    ],
    'what is new first',
  )
  assert.deepEqual(changes([network.allow], after, after), [])
  const looked = { 'a.org': { addresses: [], why: 'nobody answers' }, 'b.org': { addresses: ['192.0.2.3'] } }
  assert.deepEqual(renewed({ ...after, 'b.org': [] }, looked), { ...after, 'b.org': ['192.0.2.3'] })
})

test('what a name server says of the node itself is nothing, and what the node says of itself is', async () => {
  const found: Record<string, Found> = {
    own: { addresses: ['127.0.0.1'], own: true },
    said: { addresses: ['127.0.0.1', '192.0.2.1', '::ffff:127.0.0.2', 'fe80::1', '192.0.2.1'], own: false },
    bad: { addresses: ['::1'], own: false },
    lost: { addresses: [], own: false, why: 'ETIMEOUT' },
  }
  const looked = await lookAll(Object.keys(found), async (name) => found[name] as Found)
  assert.deepEqual(
    Object.values(looked).map(({ addresses }) => addresses),
    [['127.0.0.1'], ['192.0.2.1'], [], []],
  )
  assert.match(looked.bad?.why ?? '', /a name server says ::1, which is no address of another host/)
  assert.equal(looked.lost?.why, 'ETIMEOUT')
})

test('a container that has its hosts looked up again has a worker, and can not be checkpointed', () => {
  const confinement = {
    landlock: 7,
    network: '',
    policies: [load({ allow: ['a.org'], refresh: 60 })],
    addresses: { 'a.org': ['192.0.2.7'] },
  }
  const { create } = compileCreate({ ...input(plainSpec()), confinement })
  const [worker] = all(create, 'worker')
  const config = JSON.parse(Buffer.from(worker?.config ?? []).toString())
  assert.deepEqual(
    [config.names, config.refresh.seconds, config.refresh.addresses],
    [['a.org'], 60, confinement.addresses],
  )
  const [trie] = all(create, 'bpf-map')
  assert.deepEqual([all(create, 'bpf-apply')[0]?.maps, trie?.room], [[trie?.slot], 65_536])
  assert.throws(() => checkRestorable(plainSpec(), confinement), /looks them up again/)
  const pinned = { ...confinement, policies: [load({ allow: ['a.org'], hosts: true })] }
  const plan = compileCreate({ ...input(plainSpec()), confinement: pinned }).create
  assert.deepEqual([all(plan, 'worker'), all(plan, 'bpf-apply')], [[], []])
  assert.throws(() => checkRestorable(plainSpec(), pinned), /by name in its \/etc\/hosts/)
  const rules = { ...confinement, policies: [load({ deny: ['192.0.2.1'] })] }
  assert.throws(() => checkRestorable(plainSpec(), rules), /network rules/)
  // Best effort, where the host has no such programs.
  const none = {
    ...rules,
    network: 'no BPF',
    policies: rules.policies.map((one) => ({ ...one, bestEffort: ['network' as const] })),
  }
  checkRestorable(plainSpec(), none)
  assert.equal(Buffer.from(all(inside(plan), 'extend-file')[0]?.head ?? []).toString(), '192.0.2.7 a.org\n')
})

test('what gets round network rules is told', () => {
  const spec = plainSpec()
  const gaps = (
    capabilities: object,
    change: {
      namespaces?: readonly string[]
      network?: object | undefined
      mounts?: Spec['mounts']
      more?: object
    } = {},
    confinement: Partial<Confinement> = {},
    of = facts(),
  ) => {
    const { network = { path: '/net' }, more } = change
    const namespaces = [
      { type: 'network', ...network },
      ...['mount', 'pid', ...(change.namespaces ?? [])].map((type) => ({ type })),
    ]
    const changed = {
      ...spec,
      process: { ...spec.process, capabilities },
      mounts: change.mounts ?? [],
      ...more,
      linux: {
        namespaces,
        uidMappings: [{ containerID: 0, hostID: 1, size: 9 }],
        gidMappings: [{ containerID: 0, hostID: 1, size: 9 }],
      },
    } as Spec
    const rules = { landlock: 7, network: '', policies: [load({ allow: [] })], ...confinement }
    return networkGaps({ spec: changed, bundle: '/b', facts: of, confinement: rules }, new Namespaces(changed)).map(
      (gap) => /CAP_\w+|mounts\[\d\]/.exec(gap)?.[0],
    )
  }
  const [net, sys] = [{ bounding: ['CAP_NET_ADMIN'] }, { inheritable: ['CAP_SYS_ADMIN'], bounding: ['CAP_SYS_ADMIN'] }]
  assert.deepEqual(gaps({ bounding: ['CAP_NET_RAW', 'CAP_NET_BIND_SERVICE'] }), [])
  assert.deepEqual(gaps(net), ['CAP_NET_ADMIN'])
  assert.deepEqual(gaps(net, { namespaces: ['user', 'cgroup'] }), ['CAP_NET_ADMIN'])
  assert.deepEqual(gaps(net, { network: {} }), [], 'there is nothing but a loopback')
  const more = { hooks: { createRuntime: [{ path: '/bin/network' }] } }
  assert.deepEqual(gaps(net, { network: {}, more }), ['CAP_NET_ADMIN'])
  assert.deepEqual(gaps(sys), ['CAP_SYS_ADMIN'])
  assert.deepEqual(gaps(sys, { namespaces: ['cgroup'] }), [])
  assert.deepEqual(gaps(sys, { namespaces: ['user'] }), [])
  const without: Partial<Confinement> = { network: 'needs BPF', supervises: true }
  assert.deepEqual(gaps({ bounding: ['CAP_NET_ADMIN', 'CAP_SYS_ADMIN'] }, {}, without), ['CAP_NET_ADMIN'])
  const both = { ...load({ allow: [] }), files: { write: ['/'] } }
  assert.deepEqual(gaps(sys, {}, { policies: [both] }), [], 'Landlock lets nothing be mounted')
  assert.deepEqual(gaps({ bounding: ['CAP_NET_ADMIN'] }, {}, { policies: [{ tcp: { connect: [] } }] }), [])
  const bind = (source: string, ...options: string[]) => ({ destination: '/x', type: 'bind', source, options })
  const fresh = (type: string, ...options: string[]) => ({ destination: '/x', type, source: type, options })
  const mounts = [
    bind('/sys/fs/cgroup/unified/a', 'bind'),
    bind('/sys', 'rbind', 'ro'),
    fresh('cgroup2'),
    bind('/sys', 'bind'),
    bind('/sys', 'rbind', 'rro'),
    bind('/sys/fs/cgroup/unified', 'bind', 'ro'),
    fresh('cgroup2', 'ro'),
    fresh('cgroup'),
    bind('/sys/fs/cgroup/pids', 'bind'),
    bind('/', 'rbind'),
  ]
  assert.deepEqual(gaps({}, { mounts }), ['mounts[0]', 'mounts[1]', 'mounts[2]', 'mounts[9]'])
  assert.deepEqual(gaps({}, { mounts, namespaces: ['cgroup'] }), ['mounts[0]', 'mounts[1]', 'mounts[9]'])
  const unified = facts({ cgroup: layout('unified') })
  assert.deepEqual(gaps({}, { mounts: [fresh('cgroup')] }, {}, unified), ['mounts[0]'])
})

test('documents', () => {
  const refuses = (network: object, pattern: RegExp, pointer: string) =>
    assert.throws(
      () => load(network),
      (error: BerthError) => pattern.test(error.message) && error.pointer === pointer,
    )
  refuses({ allow: ['10.0.0.1', 'no where'] }, /"no where": .* is no address/, '/network/allow/1')
  refuses({ deny: ['example.org'] }, /can only be allowed: http\.deny refuses requests to it/, '/network/deny/0')
  refuses({ allow: ['10.0.0.1'], refresh: 60 }, /no rule of "allow" names a host/, '/network/refresh')
  refuses({ denyBind: ['80', '*'] }, /"\*": \* stands for all ports in allowBind only/, '/network/denyBind/1')
  refuses({ allowBind: ['*', '80'] }, /nothing else can stand beside it/, '/network/allowBind')
  assert.deepEqual(load({ allowBind: ['*', '*'] }).network?.allowBind, ['*', '*'])
  refuses({ allow: ['a.org'], refresh: 60, hosts: true }, /"hosts" and "refresh" exclude each other/, '/network')
  refuses({ allow: ['a.org'], refresh: 0 }, /refresh/, '/network/refresh')
  refuses({ allowBind: ['x'] }, /"x": "x" is no port/, '/network/allowBind/0')
  refuses({ allow: [], deny: [] }, /"allow" and "deny" exclude each other/, '/network')
  refuses({ allowBind: [], denyBind: [] }, /exclude each other/, '/network')
  refuses({ alow: [] }, /unknown property "alow"; did you mean "allow"/, '/network')
  refuses({ allow: [80] }, /must be a string/, '/network/allow/0')
})

const ops = (network: object, host: object = {}, policy: object = {}): readonly Op[] => {
  const confinement = { landlock: 7, network: '', ...host, policies: [{ ...load(network), ...policy }] }
  return compileCreate({ ...input(plainSpec()), confinement }).create
}

test('rules become maps and programs on the v2 hierarchy, and a filter of what has none', () => {
  const create = ops({ allow: ['tcp://10.0.0.0/8:80,443'], denyBind: ['1-1023'] })
  const rules = all(create, 'bpf-map').find(({ name }) => name === 'berth_rules')
  assert.deepEqual([...(rules?.keys ?? [])].slice(0, 24), [40, 0, 0, 0, 6, 4, 0, 80, 10, ...Array(15).fill(0)])
  assert.equal(rules?.keys.length, 2 * 24)
  assert.deepEqual(
    all(create, 'bpf-attach').map(({ attach }) => attach),
    [2, 10, 11, 14, 15, 1, 8, 9],
  )
  assert.equal(all(inside(create), 'seccomp').length, 1)
  const lacking = { network: 'lacks everything' }
  assert.equal(all(ops({ deny: [] }, lacking, { bestEffort: ['network'] }), 'bpf-attach').length, 0)
  assert.throws(() => ops({ deny: [] }, lacking), /nothing would enforce it/)
  const supervised = ops({ deny: [] }, { ...lacking, supervises: true })
  assert.deepEqual([all(supervised, 'bpf-attach').length, all(supervised, 'supervise').length], [0, 1])
  assert.equal(all(inside(supervised), 'seccomp').length, 2)
})

test('too many destinations are an error, not a policy that is less', () => {
  const ports = Array.from({ length: 33_000 }, (_, port) => port + 1).join()
  assert.throws(() => ops({ allow: [`10.0.0.1:${ports}`] }), /66000 addresses with ports, and at most 65536/)
})

test('what nobody has asked the host for is not left out in silence', () => {
  const confinement = { landlock: 7, policies: [load({ allow: [] })] }
  assert.throws(() => compileCreate({ ...input(plainSpec()), confinement }), /nobody asked the host/)
})

test('where the host lacks it, network rules are refused or said to be left out', () => {
  const policy = load({ allow: [] })
  const lacking = { landlock: 7, network: 'needs BPF' }
  assert.match(
    unenforceable({ ...lacking, policies: [policy] })[0] ?? '',
    /"network" can not be enforced: it needs BPF/,
  )
  const bestEffort = { ...lacking, policies: [{ ...policy, bestEffort: ['network' as const] }] }
  assert.deepEqual(unenforceable(bestEffort), [])
  assert.match(enforcedText(bestEffort), /network: not enforced: needs BPF/)
})

test('programs jump to places that they have', () => {
  for (const destinations of ['allow', 'deny', undefined] as const)
    for (const ping of [true, false, 'judged'] as const) {
      const bind = { ranges: [{ first: 1, last: 2 }], denied: ping === true ? COUNTERS.rules : undefined }
      for (const { program } of networkPrograms({ destinations, ping, bind })) assert.equal(program.length % 8, 0)
    }
})

test('counts of denials belong to the policies that have network rules, in their order', () => {
  const policies = [
    { ...load({ allow: ['*'] }), from: 'node' },
    { limits: { processes: 1 }, from: 'profile' },
    { ...load({ deny: ['10.0.0.1', '10.0.0.2'], denyBind: ['80'] }), from: 'annotations' },
  ]
  const record = (...counts: bigint[]) => {
    const bytes = Buffer.alloc(4 + 8 * counts.length)
    bytes.writeUInt32LE(counts.length)
    for (const [index, count] of counts.entries()) bytes.writeBigUInt64LE(count, 4 + 8 * index)
    return bytes
  }
  const counts = Buffer.concat([record(1n, 0n, 2n), record(0n, 0n, 4n, 0n, 5n, 3n)])
  assert.deepEqual(
    readDenials(policies, counts).map(({ from, rule, value, denied }) => [from, rule, value, denied]),
    [
      ['node', 'network', 'sockets of other kinds', 1n],
      ['node', 'network.allow', undefined, 2n],
      ['annotations', 'network.deny', '0.0.0.0 and ::', 4n],
      ['annotations', 'network.deny', '10.0.0.2', 5n],
      ['annotations', 'network.denyBind', '80', 3n],
    ],
  )
  const earlier = Buffer.concat([record(0n, 0n, 0n), record(0n, 3n, 0n, 0n, 5n)])
  assert.deepEqual(
    readDenials(policies, earlier).map(({ rule, value, denied }) => [rule, value, denied]),
    [
      ['network.denyBind', undefined, 3n],
      ['network.deny', '10.0.0.2', 5n],
    ],
  )
})
