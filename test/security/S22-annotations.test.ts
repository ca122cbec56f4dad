/** S22: no annotation loosens a container unless `features` names it as one that may; those for policies can only narrow. */
import assert from 'node:assert/strict'
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { describeFeatures } from '../../src/cli/features.ts'
import { ANNOTATIONS } from '../../src/policy/annotations.ts'
import { PREFIX } from '../../src/policy/source.ts'
import { bring, noCompiler } from '../harness/attack.ts'
import { Bundle, notHere } from '../harness/bundle.ts'
import { lines, SEND_DOORS } from '../harness/doors.ts'
import { nothingLeft, root, snapshot } from '../harness/host.ts'
import { OwnNetwork } from '../harness/network.ts'
import { berth } from '../harness/run.ts'

const sources = ['src', 'shim'].flatMap((dir) => globSync(`${dir}/**/*.ts`, { cwd: root }))

test('S22: annotations that could loosen what a container may do are in the list of unsafe ones', () => {
  const { potentiallyUnsafeConfigAnnotations: unsafe } = describeFeatures() as {
    potentiallyUnsafeConfigAnnotations: readonly string[]
  }
  // A key that code looks for is a literal of this form, with its domain in front.
  const keys = new Set(
    sources.flatMap((source) =>
      [
        ...readFileSync(join(root, source), 'utf8').matchAll(
          /['"`]((?:org\.systemd|run\.oci|org\.berth|io\.berth|org\.criu)\.[\w.-]*)/g,
        ),
      ].map((match) => match[1] ?? ''),
    ),
  )
  for (const own of ['org.berth.version', 'io.berth.annotations']) keys.delete(own) // of features itself
  keys.delete(PREFIX) // see below
  for (const key of keys)
    assert.ok(
      unsafe.some((each) => key === each || key.startsWith(each)),
      key,
    )
})

/** A node that allows something of everything, and for each annotation a value that is beyond it. */
const CEILING = {
  files: { read: ['/etc'], write: ['/tmp'], execute: ['/bin'] },
  tcp: { connect: [443], bind: [443] },
  network: { allow: ['tcp://10.0.0.0/8:443'], allowBind: ['8000-8080'] },
  http: { allow: ['GET example.com/v1/*'] },
  scopes: { abstractSockets: true, signals: true },
  limits: { memory: 2 ** 30, processes: 100, openFiles: 100, cpus: 1, maxDuration: 60, output: 2 ** 20 },
}
const WIDER: Readonly<Record<string, string>> = {
  policy: 'missing',
  'policy.inline': '{"files":{"write":["/"]}}',
  'files.read': '/etc;/root',
  'files.write': '/etc',
  'files.execute': '/',
  'tcp.connect': '443;80',
  'tcp.bind': '0',
  'network.allow': 'tcp://10.0.0.1:443; tcp://11.0.0.1:443',
  'network.allowBind': '8000; 8079-8081',
  'http.allow': 'GET example.com/v1/*; GET example.com/v2/*',
  'http.ports': '80; 8080',
  'scopes.abstractSockets': 'false',
  'scopes.signals': 'false',
  'limits.memory': '2G',
  'limits.processes': '101',
  'limits.openFiles': '101',
  'limits.cpus': '1.01',
  'limits.maxDuration': '61',
  'limits.output': '2M',
}
/** Adds to what is denied, or says how rules of its own are carried out. */
const NARROWS_ONLY = [
  ...['files.deny', 'network.deny', 'network.denyBind', 'http.deny', 'syscalls.deny'],
  ...['network.hosts', 'http.hosts', 'http.intercept', 'http.trust'],
]

test('S22: an annotation that would widen what the node allows is refused', { skip: notHere }, async () => {
  const known = [...Object.keys(WIDER), ...NARROWS_ONLY].map((name) => PREFIX + name)
  assert.deepEqual(known.sort(), [...ANNOTATIONS].sort())
  const before = snapshot()
  const dir = mkdtempSync(join(tmpdir(), 'berth-node-'))
  const file = join(dir, 'config.json')
  writeFileSync(file, JSON.stringify({ policy: CEILING }))
  try {
    for (const [name, value] of Object.entries(WIDER)) {
      using bundle = new Bundle(['/bin/true'], (config) => {
        config.annotations = { [PREFIX + name]: value }
      })
      const { code, stderr } = await berth(['--config', file, 'create', '--bundle', bundle.dir, 's22'])
      assert.equal(code, 1, name)
      assert.match(
        stderr,
        name === 'policy' ? /there is no policy "missing"/ : /an annotation can only narrow it/,
        name,
      )
    }
  } finally {
    rmSync(dir, { recursive: true })
    await nothingLeft(before)
  }
})

test('S22: who makes a container can not have requests sent by the node where its administrator allows none', {
  skip: notHere,
}, async () => {
  const before = snapshot()
  for (const [name, value] of [
    ['http.allow', 'GET example.com'],
    ['http.deny', 'GET example.com'],
    ['policy.inline', '{"http":{"allow":["* *"]}}'],
  ] as const) {
    using bundle = new Bundle(['/bin/true'], (config) => {
      config.annotations = { [PREFIX + name]: value }
    })
    const { code, stderr } = await berth(['create', '--bundle', bundle.dir, 's22'])
    assert.equal(code, 1, name)
    assert.match(stderr, /requests leave by the node's network/, name)
  }
  await nothingLeft(before)
})

test('S22: who makes a container can not have requests leave to ports and addresses that its administrator names none of', {
  skip: notHere,
}, async () => {
  const only = { network: { allow: [] }, http: { allow: ['GET api.test/v1/*'] } }
  const cases: readonly [ceiling: object, wish: Readonly<Record<string, string>>, why: RegExp][] = [
    [only, { 'policy.inline': '{"http":{"deny":[],"ports":[443,8080]}}' }, /http\.ports: 443 is more than/],
    [only, { 'http.deny': '* x.test', 'http.ports': '8080' }, /http\.ports: 8080 is more than/],
    [only, { 'http.deny': '* x.test', 'http.ports': '443', 'http.intercept': 'true' }, /http\.ports: 443 is more than/],
    [{ http: { allow: ['* *'] } }, { 'http.allow': 'GET 169.254.169.254' }, /an address of the node's link/],
    [
      { http: { deny: [] } },
      { 'policy.inline': '{"http":{"allow":["* [fe80::1]"]}}' },
      /an address of the node's link/,
    ],
  ]
  const before = snapshot()
  for (const [policy, wish, why] of cases) {
    using bundle = new Bundle(['/bin/true'], (config) => {
      config.annotations = Object.fromEntries(Object.entries(wish).map(([name, value]) => [PREFIX + name, value]))
    })
    const file = join(bundle.dir, 'node.json')
    writeFileSync(file, JSON.stringify({ policy }))
    const { code, stderr } = await berth(['--config', file, 'create', '--bundle', bundle.dir, 's22'])
    assert.equal(code, 1, JSON.stringify(wish))
    assert.match(stderr, why)
    assert.match(stderr, /an annotation can only narrow it/)
  }
  // Nor can who gives a policy, where there are HTTP rules that it has to stay within.
  using bundle = new Bundle(['/bin/true'])
  const [node, given] = ['node.json', 'given.json'].map((name) => join(bundle.dir, name))
  writeFileSync(node ?? '', JSON.stringify({ policy: only }))
  writeFileSync(given ?? '', JSON.stringify({ http: { deny: [], ports: [80, 8080] } }))
  const flags = ['--bundle', bundle.dir, '--policy', given ?? '']
  const { code, stderr } = await berth(['--config', node ?? '', 'run', ...flags, 's22'])
  assert.equal(code, 1)
  assert.match(stderr, /http\.ports: 8080 is more than the node allows: a policy that is given can only narrow it/)
  await nothingLeft(before)
})

test('S22: an annotation that has TLS looked into leads no other port to the proxy', {
  skip: notHere || noCompiler,
}, async () => {
  await using network = await OwnNetwork.start()
  const before = snapshot()
  using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
    config.annotations = { [`${PREFIX}http.deny`]: '* x.test', [`${PREFIX}http.intercept`]: 'true' }
  })
  bring(bundle, 'senders')
  const file = join(bundle.dir, 'node.json')
  writeFileSync(file, JSON.stringify({ policy: { network: { allow: [] }, http: { allow: ['GET api.test/v1/*'] } } }))
  try {
    const { code, stderr } = await network.berth('--config', file, 'run', '--detach', '--bundle', bundle.dir, 's22')
    assert.equal(code, 0, stderr)
    const to = async (port: string) => (await network.berth('exec', 's22', '/senders', 'to', '192.0.2.2', port)).stdout
    assert.equal(await to('443'), lines(SEND_DOORS, 'EPERM'))
    assert.match(await to('80'), /^connect open$/m)
  } finally {
    await network.berth('delete', '--force', 's22')
    await nothingLeft(before)
  }
})
