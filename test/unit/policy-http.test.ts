import assert from 'node:assert/strict'
import { test } from 'node:test'
import { redirectPrograms } from '../../src/bpf/redirect.ts'
import { compileCreate } from '../../src/plan/create.ts'
import { readWish } from '../../src/policy/annotations.ts'
import { checkGranted, checkNarrower } from '../../src/policy/ceiling.ts'
import { loadPolicy } from '../../src/policy/document.ts'
import { canonicalHost } from '../../src/policy/host.ts'
import {
  allows,
  allowsHost,
  denies,
  isWithinRule,
  parseAttachment,
  parseHttpRule,
  parseSource,
  readingsOf,
} from '../../src/policy/http.ts'
import { readHttpDenials } from '../../src/policy/http-counters.ts'
import { checkHttpPolicies, hasHttp, hostNames, portsOf, proxiedPorts } from '../../src/policy/http-policy.ts'
import { RuleError } from '../../src/policy/network.ts'
import { unenforceable } from '../../src/policy/protections.ts'
import type { Policy } from '../../src/policy/types.ts'
import { parseHosts, parseResolvConf } from '../../src/policy/worker/resolver.ts'
import { all, input, inside, plainSpec } from './plan-fixture.ts'

const load = (http: object): Policy => loadPolicy(JSON.stringify({ http }), 'policy.json')
const asked = (method: string, host: string, path: string) => ({ method, host, paths: readingsOf(path) })

test('rules', () => {
  const cases: Readonly<Record<string, [string, string, string, boolean]>> = {
    'GET api.example.com/v1/*': ['GET', 'api.example.com', '/v1/', true],
    'GET API.Example.COM./v1*': ['GET', 'api.example.com', '/v1', true],
    '* example.com': ['*', 'example.com', '/', true],
    '*  */*': ['*', '*', '/', true],
    'POST 10.0.0.1/a//b/./c/../d/': ['POST', '10.0.0.1', '/a/b/d', false],
    'PUT [2001:DB8::1]/x%41': ['PUT', '2001:db8::1', '/xA', false],
    'PUT 2001:db8::1': ['PUT', '2001:db8::1', '/', true],
    'M-SEARCH host/': ['M-SEARCH', 'host', '/', false],
  }
  for (const [text, [method, host, path, prefix]] of Object.entries(cases))
    assert.deepEqual(parseHttpRule(text), { method, host, path, prefix }, text)
})

test('what is no rule', () => {
  const cases: Readonly<Record<string, RegExp>> = {
    '': /is no METHOD HOST/,
    GET: /is no METHOD HOST/,
    'example.com/x': /is no METHOD HOST/,
    'GET example.com /x': /is no METHOD HOST/,
    'get example.com': /no method/,
    'G*T example.com': /no method/,
    'GET /x': /names no host/,
    'GET *.example.com': /stands for any host, not for a part/,
    'GET example.com:8080/x': /ports are named in "ports"/,
    'GET user@example.com': /no host/,
    'GET 10.0.0.256': /no host/,
    'GET exa_mple..com': /no host/,
    'GET example.com/a*b': /at the end of a path only/,
    'GET example.com/**': /at the end of a path only/,
    'GET example.com/x?y=1': /has a query/,
    'GET example.com/x#y': /has a query/,
  }
  for (const [text, why] of Object.entries(cases))
    assert.throws(
      () => parseHttpRule(text),
      (error) => error instanceof RuleError && why.test(error.message),
      text,
    )
})

test('what rules are about', () => {
  const rule = parseHttpRule('GET api.example.com/v1/*')
  const yes = ['/v1/a', '/v1/a/b?x=/../..', '/v1//a', '/v1/./a', '/v1/b/../a', '/v1/%41', '/x/../v1/a']
  const no = [
    '/v1',
    '/v1/',
    '/v2/a',
    '/v1/../v2/a',
    '/v1/%2e%2e/v2',
    '/v1/..%2fv2',
    '/v1/%252e%252e/v2',
    '/v1/..\\v2',
    '/v1/..;/v2',
  ]
  for (const path of yes) assert.equal(allows(rule, asked('GET', 'api.example.com', path)), true, path)
  for (const path of no) assert.equal(allows(rule, asked('GET', 'api.example.com', path)), false, path)
  assert.equal(allows(rule, asked('POST', 'api.example.com', '/v1/a')), false)
  assert.equal(allows(rule, asked('GET', 'example.com', '/v1/a')), false)
  const exact = parseHttpRule('* */v1')
  for (const path of ['/v1', '/v1/', '/v1?x']) assert.equal(allows(exact, asked('PUT', 'a', path)), true, path)
  assert.equal(allows(exact, asked('PUT', 'a', '/v1/a')), false)
})

test('a deny is about every reading of a path, an allow about all of them', () => {
  const rule = parseHttpRule('* */admin*')
  for (const path of ['/admin', '/x/../admin', '/%61dmin', '/%2561dmin', '/x/..\\admin', '/;y/admin', '//admin'])
    assert.equal(denies(rule, asked('GET', 'a', path)), true, path)
  assert.equal(denies(rule, asked('GET', 'a', '/x/admin')), false)
  assert.throws(() => readingsOf(`/%${'25'.repeat(20)}41`), RuleError)
})

test('a host as a whole', () => {
  assert.equal(allowsHost(parseHttpRule('* example.com'), 'example.com'), true)
  assert.equal(allowsHost(parseHttpRule('* *'), 'example.com'), true)
  for (const text of ['GET example.com', '* example.com/x', '* example.org'])
    assert.equal(allowsHost(parseHttpRule(text), 'example.com'), false, text)
  assert.equal(canonicalHost('EXAMPLE.com.'), 'example.com')
  for (const text of ['', 'a b', '::1', '1.2.3', 'x'.repeat(64), '-a', 'a..b', '[::1%eth0]'])
    assert.equal(canonicalHost(text), undefined, text)
})

test('narrower rules', () => {
  const within = (inner: string, outer: string) => isWithinRule(parseHttpRule(inner), parseHttpRule(outer))
  assert.equal(within('GET a/v1/x', '* a/v1/*'), true)
  assert.equal(within('GET a/v1/x*', '* */v1/*'), true)
  assert.equal(within('GET a/v1', 'GET a/v1'), true)
  for (const [inner, outer] of [
    ['* a/v1/x', 'GET a/v1/*'],
    ['GET */v1/x', 'GET a/v1/*'],
    ['GET a/v1*', 'GET a/v1/*'],
    ['GET a/v1/*', 'GET a/v1/x'],
    ['GET a', 'GET a/v1/*'],
  ] as const)
    assert.equal(within(inner, outer), false, `${inner} in ${outer}`)
  assert.throws(
    () => checkNarrower(load({ allow: ['GET a/v1/*'] }), load({ allow: ['POST a/v1/x'] }), 'the node', '/annotations'),
    /http\.allow: "POST a\/v1\/x" is more than the node allows/,
  )
})

test('credentials', () => {
  assert.deepEqual(parseAttachment('bearer'), { kind: 'bearer' })
  assert.deepEqual(parseAttachment('basic:u'), { kind: 'basic', user: 'u' })
  assert.deepEqual(parseAttachment('apikey:X-Key'), { kind: 'header', name: 'X-Key' })
  assert.deepEqual(parseAttachment('query:key'), { kind: 'query', name: 'key' })
  for (const text of [
    '',
    'bearer:x',
    'basic',
    'basic:',
    'basic:a:b',
    'header:',
    'header:a b',
    'header:Host',
    'query:a=b',
    'x:y',
  ])
    assert.throws(() => parseAttachment(text), RuleError, text)
  assert.deepEqual(parseSource('file:/a'), { kind: 'file', path: '/a' })
  assert.deepEqual(parseSource('env:A_1'), { kind: 'env', name: 'A_1' })
  for (const text of ['literal:x', 'file:a', 'env:1', 'fd:3', ''])
    assert.throws(() => parseSource(text), RuleError, text)
})

test('documents', () => {
  const refused: readonly [http: object, why: RegExp][] = [
    [{ allow: ['get a'] }, /policy\.json: \/http\/allow\/0: "get a": "get" is no method/],
    [{ allows: [] }, /unknown property "allows"; did you mean "allow"\?/],
    [{ allow: [], ca: { certificate: '/a' } }, /key/],
    [{ allow: [], ports: [] }, /ports/],
    [
      { allow: [], credentials: [{ request: '* a', attach: 'bearer', from: 'literal:x' }] },
      /does not stand in a policy/,
    ],
    [{ allow: [], credentials: [{ request: 'a', attach: 'bearer', from: 'env:A' }] }, /credentials\/0\/request/],
    [{ allow: [], trust: ['/a/../b'] }, /must not contain/],
  ]
  for (const [http, why] of refused) assert.throws(() => load(http), why, JSON.stringify(http))
})

test('what policies come to', () => {
  const check = (...documents: object[]) => checkHttpPolicies(documents.map(load))
  check({ allow: ['GET a/x'] })
  check({ allow: ['* a'], ports: [443] })
  check({ allow: ['GET a/x'], ports: [443], intercept: true })
  check({ allow: ['GET a/x'], ports: [443] }, { deny: [], intercept: true })
  assert.throws(() => check({}), /needs allow or deny/)
  assert.throws(() => check({ allow: [], trust: ['/x'] }), /trust is for a certificate authority/)
  assert.throws(() => check({ allow: ['GET a'], ports: [80, 443] }), /"GET a" can't be decided on port 443/)
  assert.throws(() => check({ deny: ['* a/x'], ports: [443] }), /can't be decided on port 443/)
  assert.deepEqual(proxiedPorts([load({ deny: [] })]), [80])
  assert.deepEqual(
    proxiedPorts([load({ deny: [], ports: [8080] }), load({ allow: [], intercept: true })]),
    [80, 443, 8080],
  )
  assert.deepEqual(hostNames([load({ allow: ['* b', 'GET a/x', '* *', '* 10.0.0.1'], hosts: true })]), {
    '198.18.0.1': 'a',
    '198.18.0.2': 'b',
  })
  assert.deepEqual(hostNames([load({ allow: ['* b'] })]), {})
})

test('which ports the proxy answers is decided without policies that only narrow', () => {
  const ceilings = [load({ allow: ['* a'] })]
  const narrowing = (http: object): Policy => ({ ...load(http), narrows: true })
  const both = (http: object) => [...ceilings, narrowing(http)]
  for (const http of [{ deny: [] }, { deny: [], ports: [443, 8080] }, { deny: [], intercept: true }])
    assert.deepEqual(proxiedPorts(both(http)), [80], JSON.stringify(http))
  const ports = (policies: readonly Policy[]) => policies.filter(hasHttp).map((policy) => portsOf(policy, policies))
  assert.deepEqual(ports(both({ deny: [], intercept: true })), [[80], [80]])
  assert.deepEqual(ports([load({ deny: [], ports: [8080] }), load({ deny: [], intercept: true })]), [[8080], [80, 443]])
  assert.deepEqual(
    ports([load({ deny: [], ports: [8080, 443] }), narrowing({ deny: [] })]),
    [
      [8080, 443],
      [443, 8080],
    ],
    'where it names none it is for all',
  )
})

test('an annotation has no request leave that the node would not let leave', () => {
  const grant = (ceilings: readonly object[], wish: object) =>
    checkGranted(ceilings.map(load), load(wish), '/annotations')
  grant([{ allow: ['* a'] }], { deny: [], ports: [80] })
  grant([{ allow: ['* a'] }, { deny: [], ports: [8080] }], { allow: ['* a'], ports: [80, 8080] })
  grant([{ allow: ['GET 169.254.169.254/x'] }], { allow: ['GET 169.254.169.254/x'] })
  for (const [ceiling, wish, why] of [
    [{ allow: ['* a'] }, { deny: [], ports: [443, 8080] }, /http\.ports: 443 is more than the node allows/],
    [{ allow: ['* a'] }, { deny: [], ports: [80, 8080] }, /http\.ports: 8080 .*an annotation can only narrow it/],
    [{ allow: ['* a'] }, { deny: [], ports: [443], intercept: true }, /http\.ports: 443/],
    [{ allow: ['* *'] }, { allow: ['GET 169.254.169.254'] }, /"GET 169\.254\.169\.254", an address of the node's link/],
    [{ deny: [] }, { allow: ['GET a', 'GET [::ffff:169.254.169.254]'] }, /an address of the node's link/],
    [{ deny: ['* 169.254.169.254'] }, { allow: ['* 169.254.169.254'] }, /an address of the node's link/],
    [{ allow: ['* *'] }, { allow: ['* [fe80::1]/x'] }, /an address of the node's link/],
  ] as const)
    assert.throws(() => grant([ceiling], wish), why, JSON.stringify(wish))
})

test('what the proxy is told of policies with rules for other ports', () => {
  const policies = [
    {
      ...loadPolicy(JSON.stringify({ network: { allow: [] }, http: { allow: ['* a'] } }), 'policy.json'),
      from: 'node',
    },
    { ...load({ deny: [], ports: [8080] }), from: 'profile' },
    { ...load({ deny: ['* b'] }), from: 'annotations', narrows: true },
  ]
  const { create } = compileCreate({ ...input(plainSpec()), confinement: { landlock: 7, network: '', policies } })
  const config = JSON.parse(Buffer.from(all(create, 'worker')[0]?.config ?? []).toString())
  assert.deepEqual(config.network, [{ from: 'node', allow: [], requests: [80] }])
  assert.deepEqual(config.policies, [
    { from: 'node', ports: [80], allow: ['* a'] },
    { from: 'profile', ports: [8080], deny: [] },
    { from: 'annotations', ports: [80, 8080], narrows: true, deny: ['* b'] },
  ])
})

test('annotations say nothing of the node', () => {
  const wish = (annotations: Record<string, string>) => readWish(annotations)
  const { policies } = wish({
    'io.berth.http.allow': 'GET a/x; * b',
    'io.berth.http.hosts': 'true',
    'io.berth.http.ports': '80',
  })
  assert.deepEqual({ ...policies[0]?.policy.http }, { allow: ['GET a/x', '* b'], hosts: true, ports: [80] })
  for (const [name, value] of [
    ['ca', { certificate: '/a', key: '/b' }],
    ['roots', '/a'],
    ['credentials', []],
  ] as const)
    assert.throws(
      () => wish({ 'io.berth.policy.inline': JSON.stringify({ http: { allow: [], [name]: value } }) }),
      new RegExp(`http\\.${name} is the node's to say`),
    )
  assert.throws(() => wish({ 'io.berth.http.credentials': 'x' }), /unknown annotation/)
})

test('HTTP rules are never left out', () => {
  const policy = { ...load({ allow: [] }), bestEffort: ['network' as const] }
  assert.match(
    unenforceable({ landlock: 7, network: 'needs BPF', policies: [policy] })[0] ?? '',
    /"http" can not be enforced: it needs BPF$/,
  )
})

test('rules become programs, a proxy and files', () => {
  const confinement = {
    landlock: 7,
    network: '',
    policies: [load({ allow: ['* a'], hosts: true, intercept: true, trust: ['/etc/ssl/ca.pem'] })],
  }
  const { create } = compileCreate({ ...input(plainSpec()), confinement })
  assert.deepEqual(
    all(create, 'bpf-attach').map(({ type, attach }) => [type, attach]),
    [
      [9, 2],
      [13, 3],
      [18, 10],
      [18, 11],
      [18, 14],
      [18, 15],
    ],
  )
  assert.deepEqual(
    all(inside(create), 'extend-file').map(({ path, head }) => [path, Buffer.from(head).toString()]),
    [
      ['/etc/hosts', '198.18.0.1 a\n'],
      ['/etc/ssl/ca.pem', ''],
    ],
  )
  assert.ok(create.findIndex(({ op }) => op === 'http-listen') > create.findIndex(({ op }) => op === 'resume'))
})

test('programs are whole', () => {
  for (const { program } of redirectPrograms([80, 443], [443])) assert.equal(program.length % 8, 0)
})

test('counts of refused requests belong to their policies', () => {
  const policies = [
    { ...load({ allow: [] }), from: 'node' },
    { limits: { processes: 1 } },
    { ...load({ deny: ['* a', '* b'] }), from: 'annotations' },
  ]
  const bytes = Buffer.alloc(8 * 8)
  for (const [at, count] of [1n, 0n, 2n, 0n, 3n, 0n, 0n, 4n].entries()) bytes.writeBigUInt64LE(count, 8 * at)
  assert.deepEqual(
    readHttpDenials(policies, bytes).map(({ from, rule, value, denied }) => [from, rule, value, denied]),
    [
      ['node', 'http.allow', undefined, 1n],
      ['node', 'http', 'not where its host is', 2n],
      ['annotations', 'http', 'what could not be judged', 3n],
      ['annotations', 'http.deny', '* b', 4n],
    ],
  )
})

test('hosts(5) and resolv.conf(5)', () => {
  assert.deepEqual(
    [...parseHosts('#x\n10.0.0.1\tA b #c\n::1 a\nbad x\n')],
    [
      ['a', ['10.0.0.1', '::1']],
      ['b', ['10.0.0.1']],
    ],
  )
  assert.deepEqual(
    parseResolvConf('nameserver 10.0.0.1\nnameserver x\n; no\nsearch a.b c\nnameserver fe80::1%eth0\n'),
    {
      servers: ['10.0.0.1', 'fe80::1%eth0'],
      search: ['a.b', 'c'],
    },
  )
})
