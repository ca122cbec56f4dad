import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileCreate } from '../../src/plan/create.ts'
import { compileExec } from '../../src/plan/exec.ts'
import { REPORTS } from '../../src/plan/ops.ts'
import { checkRestorable } from '../../src/plan/restore.ts'
import { loadPolicy } from '../../src/policy/document.ts'
import { readJudgeDenials } from '../../src/policy/judge-counters.ts'
import { answerMs, judgedCalls, judgesOf, restarts } from '../../src/policy/judges.ts'
import { canSupervise, enforcedText, unenforceable } from '../../src/policy/protections.ts'
import type { Confinement, ModuleRules, NetworkRules, Policy } from '../../src/policy/types.ts'
import { type AddressEvent, errnoOf, readEvent } from '../../src/policy/worker/judge/event.ts'
import { judge } from '../../src/policy/worker/judge/main.ts'
import { networkJudge } from '../../src/policy/worker/judge/network.ts'
import { facts, input, inside, names, one, plainSpec } from './plan-fixture.ts'

const policy = (module: Partial<ModuleRules>, from = ''): Policy => ({ from, module: { path: '/m.mjs', ...module } })
const confined = (...policies: Policy[]): Confinement => ({ policies, landlock: 7 })

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const blob = (value: string | Buffer): Buffer => Buffer.concat([u32(value.length), Buffer.from(value)])
const event = (kind: number, syscall: string, ...fields: Buffer[]): Buffer =>
  Buffer.concat([u32(kind), blob(syscall), Buffer.from([0]), ...[10, 11, 0, 5].map(u32), ...fields])
const COMMON = { pid: 10, tid: 11, uid: 0, gid: 5 }

test('events', () => {
  assert.deepEqual(readEvent(event(3, 'openat', blob('/a b'), u32(0o1102), u32(0o644), u32(0))), {
    ...{ call: 'open', syscall: 'openat', ...COMMON, path: '/a b', flags: 0o1102, mode: 0o644 },
    ...{ create: true, read: true, write: true },
  })
  assert.deepEqual(readEvent(event(0, 'execve', blob('/s'), blob('/bin/sh'), blob('s\0-x\0\0'), u32(1))), {
    ...{ call: 'execve', syscall: 'execve', ...COMMON, path: '/s', interpreter: '/bin/sh' },
    ...{ argv: ['s', '-x', ''], complete: true },
  })
  const address = (domain: number, type: number, protocol: number, raw: readonly number[], path = '') =>
    readEvent(event(1, 'connect', u32(domain), u32(type), u32(protocol), blob(Buffer.from(raw)), blob(path)))
  const connect = { call: 'connect', syscall: 'connect', ...COMMON }
  const ip4 = [2, 0, 1, 187, 192, 0, 2, 1, ...Array(8).fill(0)]
  assert.deepEqual(address(2, 1, 6, ip4), {
    ...connect,
    protocol: 'tcp',
    family: 'ipv4',
    port: 443,
    address: '192.0.2.1',
  })
  const ip6 = (bytes: readonly number[]) => [10, 0, 0, 53, 0, 0, 0, 0, ...bytes, 0, 0, 0, 0]
  assert.deepEqual(address(10, 2, 17, ip6([0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 1])), {
    ...{ ...connect, protocol: 'udp', family: 'ipv6', port: 53, address: '2001:db8::1' },
  })
  assert.deepEqual(address(10, 2, 17, ip6([...Array(10).fill(0), 255, 255, 127, 0, 0, 1])), {
    ...{ ...connect, protocol: 'udp', family: 'ipv4', port: 53, address: '127.0.0.1' },
  })
  assert.deepEqual(address(1, 1, 0, [1, 0, 0x2f], '/run/s'), {
    ...connect,
    protocol: 'stream',
    family: 'unix',
    path: '/run/s',
  })
  assert.deepEqual(address(1, 2, 0, [1, 0, 0, 0x61]), { ...connect, protocol: 'datagram', family: 'unix', name: 'a' })
  assert.deepEqual(address(2, 2, 1, [2, 0]), { ...connect, protocol: 'icmp', family: 2 })
})

test('an event that is cut short is no event', () => {
  const whole = event(3, 'openat', blob('/a'), u32(0), u32(0), u32(1))
  for (let length = 0; length < whole.length; length++)
    assert.throws(() => readEvent(whole.subarray(0, length)), RangeError, String(length))
  assert.throws(() => readEvent(event(9, 'openat')), RangeError)
})

test('only a verdict that says so allows', () => {
  assert.equal(errnoOf('allow'), 0)
  assert.equal(errnoOf({ errno: 'ENOENT' }), 2)
  assert.equal(errnoOf({ errno: 13 }), 13)
  for (const other of [
    undefined,
    null,
    true,
    0,
    'deny',
    'Allow',
    '',
    {},
    [],
    { errno: 0 },
    { errno: 'toString' },
    { errno: 1.5 },
    { errno: 99999 },
  ])
    assert.equal(errnoOf(other), 1, JSON.stringify(other))
})

test('every module that wants to be asked has to allow', async () => {
  const asked: string[] = []
  const module = (path: string, calls: ModuleRules['calls'] & object, verdict: unknown) => ({
    ...{ path, calls },
    onSyscall: () => {
      asked.push(path)
      return verdict
    },
  })
  const open = readEvent(event(3, 'open', blob('/a'), u32(0), u32(0), u32(1)))
  const judges = [
    module('a', ['open'], Promise.resolve('allow')),
    module('b', ['connect'], 'deny'),
    module('c', ['open', 'execve'], { errno: 'EROFS' }),
    module('d', ['open'], 'allow'),
  ]
  assert.deepEqual(await judge(judges, open), { errno: 30, module: 2 })
  assert.deepEqual(asked, ['a', 'c'])
  assert.equal((await judge([module('a', ['open'], Promise.reject(new Error('no')))], open)).errno, 1)
  assert.equal((await judge(judges.slice(0, 2), open)).errno, 0)
})

test('what several modules come to', () => {
  const judges = judgesOf(
    confined(policy({ calls: ['open'], timeout: 2, onExit: 'restart' }), policy({ calls: ['execve'] })),
  )
  assert.deepEqual(judgedCalls(judges), ['execve', 'open'])
  assert.equal(answerMs(judges), 2000)
  assert.equal(restarts(judges), false)
  assert.equal(restarts(judges.slice(0, 1)), true)
})

test('network rules are judged where the kernel has nothing for them, and a supervisor can', () => {
  const network = { allow: ['127.0.0.1'], denyBind: ['80'] }
  const rules: Policy = { from: 'node', network }
  const host = { policies: [rules], landlock: 7 }
  assert.deepEqual(judgesOf({ ...host, network: '', supervises: true }), [])
  assert.deepEqual(judgesOf({ ...host, network: 'needs BPF', supervises: false }), [])
  const confinement = { ...host, network: 'needs BPF', supervises: true }
  assert.deepEqual(judgesOf(confinement), [{ from: 'node', calls: ['connect', 'bind'], network }])
  assert.deepEqual(unenforceable(confinement), [])
  assert.match(
    unenforceable({ ...confinement, supervises: false })[0] ?? '',
    /"network" can not be enforced: it needs BPF/,
  )
  assert.match(
    unenforceable({ ...confinement, policies: [{ ...rules, http: { allow: [] } }] })[0] ?? '',
    /"http" can not/,
  )
  assert.match(
    unenforceable({ ...confinement, addresses: {} })[0] ?? '',
    /"network" can not be enforced: it needs BPF, as network\.allow names hosts; a supervisor would judge addresses/,
  )
  assert.match(enforcedText(confinement), /network: the container's supervisor/)
  const judged = { policies: [{ module: { path: '/m.mjs' } }], landlock: 7, network: '' }
  assert.deepEqual(unenforceable({ ...judged, supervises: true }), [])
  assert.deepEqual(unenforceable({ ...judged, supervises: false }), [
    '"module" can not be enforced: it needs Linux 5.19',
  ])
  assert.deepEqual(readJudgeDenials(judgesOf(confinement), new Uint8Array(new BigUint64Array([0n, 1n, 2n]).buffer)), [
    { from: 'node', rule: 'network.allow', denied: 1n },
    { from: 'node', rule: 'network.denyBind', denied: 2n },
  ])
  for (const [release, can] of [
    ['5.18.9', false],
    ['5.19.0-1', true],
    ['6.1', true],
    ['', false],
  ] as const)
    assert.equal(canSupervise(release), can, release)
})

test('network rules as a judge', () => {
  const common = { syscall: 's', ...COMMON }
  const connect = (protocol: AddressEvent['protocol'], address: string, port: number): AddressEvent => ({
    ...{ call: 'connect', ...common, protocol, family: address.includes(':') ? 'ipv6' : 'ipv4', address, port },
  })
  const bind = (protocol: AddressEvent['protocol'], port: number): AddressEvent => ({
    ...{ call: 'bind', ...common, protocol, family: 'ipv4', address: '0.0.0.0', port },
  })
  const unix: AddressEvent = { call: 'connect', ...common, family: 'unix', protocol: 'stream', path: '/s' }
  const cases: readonly [NetworkRules, AddressEvent, 'allow' | 'deny'][] = [
    [{ allow: ['tcp://10.0.0.0/8:443'] }, connect('tcp', '10.1.2.3', 443), 'allow'],
    [{ allow: ['tcp://10.0.0.0/8:443'] }, connect('tcp', '10.1.2.3', 80), 'deny'],
    [{ allow: ['tcp://10.0.0.0/8:443'] }, connect('udp', '10.1.2.3', 443), 'deny'],
    [{ allow: ['tcp://10.0.0.0/8:443'] }, connect('icmp', '10.1.2.3', 0), 'deny'],
    [{ allow: ['icmp://*'] }, connect('icmp', '::1', 0), 'allow'],
    [{ allow: ['*'] }, connect(33, '10.1.2.3', 1), 'deny'],
    [{ allow: [] }, connect('tcp', '::1', 1), 'deny'],
    [{ allow: [] }, unix, 'allow'],
    [{ deny: ['[::1]:80'] }, connect('tcp', '::1', 80), 'deny'],
    [{ deny: ['[::1]:80'] }, connect('tcp', '::1', 81), 'allow'],
    [{ deny: ['tcp://127.0.0.1'] }, connect('tcp', '0.0.0.0', 81), 'deny'],
    [{ deny: ['tcp://127.0.0.1'] }, connect('udp', '0.0.0.0', 81), 'allow'],
    [{ allowBind: ['8000-8010'] }, bind('tcp', 8010), 'allow'],
    [{ allowBind: ['8000-8010'] }, bind('tcp', 8011), 'deny'],
    [{ allowBind: ['8000-8010'] }, bind('tcp', 0), 'deny'],
    [{ allowBind: ['8000-8010'] }, bind('udp', 0), 'allow'],
    [{ denyBind: ['80'] }, bind('udp', 80), 'deny'],
    [{ denyBind: ['80'] }, bind('tcp', 81), 'allow'],
  ]
  for (const [rules, asked, verdict] of cases)
    assert.equal(networkJudge(rules)(asked), verdict, JSON.stringify([rules, asked]))
})

test('what a policy says of a module', () => {
  const load = (module: object) => loadPolicy(JSON.stringify({ module }), 'policy.json')
  assert.equal(load({ path: '/m.mjs' }).module?.path, '/m.mjs')
  assert.throws(() => load({ path: 'm.mjs' }), /\/module\/path/)
  assert.throws(() => load({}), /path/)
  assert.throws(() => load({ path: '/m', calls: ['mkdir'] }), /\/module\/calls\/0/)
  assert.throws(() => load({ path: '/m', onexit: 'kill' }), /unknown property "onexit"; did you mean "onExit"\?/)
})

test('the supervisor is there before the init goes on behind its filter', () => {
  const { create } = compileCreate(input(plainSpec(), { confinement: confined(policy({})) }))
  const order = create.map((op) => (op.op === 'resume' ? `resume ${op.until}` : op.op))
  const at = (name: string) => order.indexOf(name)
  assert.ok(at(`resume ${REPORTS.listener}`) > at('clone'))
  assert.ok(at('supervise') > at(`resume ${REPORTS.listener}`))
  assert.ok(at(`resume ${REPORTS.parked}`) > at('supervise'))
  const filters = inside(create).filter((op) => op.op === 'seccomp')
  assert.equal(filters.filter((op) => op.op === 'seccomp' && (op.flags & 8) !== 0).length, 1)
})

test('what cannot be judged is an error of create', () => {
  const compiled = (change: (spec: ReturnType<typeof plainSpec>) => object, more: object = {}) =>
    compileCreate(input({ ...plainSpec(), ...change(plainSpec()) }, { confinement: confined(policy({})), ...more }))
  assert.throws(
    () =>
      compiled(({ linux }) => ({
        linux: { ...linux, seccomp: { defaultAction: 'SCMP_ACT_ALLOW', listenerPath: '/agent' } },
      })),
    /needs to be the only listener there is/,
  )
  assert.throws(
    () => compiled(({ process }) => ({ process: { ...process, apparmorProfile: 'p' } })),
    /not under process\.apparmorProfile|AppArmor is not enabled/,
  )
  assert.throws(() => checkRestorable(plainSpec(), confined(policy({}))), /judged by a supervisor/)
})

test('what was refused is counted by module and call', () => {
  const counts = new BigUint64Array([0n, 2n, 0n, 1n, 5n, 0n, 0n, 0n, 3n])
  assert.deepEqual(
    readJudgeDenials(
      judgesOf(confined(policy({}, 'node'), { from: 'none' }, policy({}, 'profile'))),
      new Uint8Array(counts.buffer),
    ),
    [
      { from: 'node', rule: 'module', value: 'connect', denied: 2n },
      { from: 'node', rule: 'module', value: 'open', denied: 1n },
      { from: 'profile', rule: 'module', value: 'execve', denied: 5n },
      { from: '', rule: 'module', value: 'without a verdict', denied: 3n },
    ],
  )
})

test('an exec has a listener of its own, for the same supervisor', () => {
  const plan = compileExec({
    ...{ id: 'c1', bundle: '/bundle', stateDir: '/run/berth-c1', key: 'exec', init: { pid: 7, start: 7n } },
    process: { user: { uid: 0, gid: 0 }, cwd: '/', args: ['ps'], noNewPrivileges: true },
    ...{ spec: plainSpec(), cgroupPaths: [], facts: facts(), stdio: [0, 1, 2], preserveFds: 0, afterTerminal: [] },
    arch: 'x86_64',
    confinement: confined(policy({})),
  })
  assert.equal(one(plan, 'connect').path, '/run/berth-c1/supervisor.sock')
  assert.deepEqual(names(plan).slice(-5), ['connect', 'send-fd', 'close', 'close', 'resume'])
})
