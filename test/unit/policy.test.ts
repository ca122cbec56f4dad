import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BerthError } from '../../src/errors.ts'
import { compileCreate } from '../../src/plan/create.ts'
import { compileExec } from '../../src/plan/exec.ts'
import { ANNOTATIONS, readWish } from '../../src/policy/annotations.ts'
import { parseBytes } from '../../src/policy/bytes.ts'
import { checkNarrower } from '../../src/policy/ceiling.ts'
import { loadNode, loadPolicy } from '../../src/policy/document.ts'
import { checkLimits, leastLimits, limitSpec } from '../../src/policy/limits.ts'
import { didYouMean } from '../../src/policy/nearest.ts'
import { checkEnforceable, enforcedText, PROTECTIONS, wanted } from '../../src/policy/protections.ts'
import { ENFORCED } from '../../src/policy/source.ts'
import type { Confinement, Policy } from '../../src/policy/types.ts'
import { POLICY_PROPERTIES } from '../../src/policy/validate.gen.js'
import type { Spec } from '../../src/spec/types.ts'
import { all, facts, input, inside, names, one, plainSpec } from './plan-fixture.ts'

const load = (document: object): Policy => loadPolicy(JSON.stringify(document), 'policy.json')
const confine = (...policies: readonly object[]): Confinement => ({ landlock: 7, policies: policies.map(load) })
const refuses = (work: () => unknown, pattern: RegExp, pointer?: string): void => {
  assert.throws(work, (error: BerthError) => {
    assert.match(error.message, pattern)
    if (pointer !== undefined) assert.equal(error.pointer, pointer)
    return true
  })
}

test('a document becomes a policy: paths are plain, sizes are bytes', () => {
  const policy = load({ files: { read: ['//etc/./ssl/'], deny: ['/'] }, limits: { memory: '2M', cpus: 1.5 } })
  assert.deepEqual(policy, { files: { read: ['/etc/ssl'], deny: ['/'] }, limits: { memory: 2 << 20, cpus: 1.5 } })
})

test('each malformed value is refused with its pointer', () => {
  const cases: readonly (readonly [document: object, pointer: string | undefined, pattern: RegExp])[] = [
    [[], '', /must be an object/],
    [{ file: {} }, '', /unknown property "file"; did you mean "files"\?/],
    [{ files: { exec: [] } }, '/files', /unknown property "exec"; did you mean "read"|"execute"\?/],
    [{ files: { read: '/etc' } }, '/files/read', /must be an array/],
    [{ files: { read: ['etc'] } }, '/files/read/0', /must be an absolute path/],
    [{ files: { write: ['/a', '/b/../c'] } }, '/files/write/1', /must not contain "\.\."/],
    [{ files: { deny: ['/home/*/key'] } }, '/files/deny/0', /patterns are not known/],
    [{ files: { read: ['/a\u0000b'] } }, undefined, /NUL character/],
    [{ tcp: { connect: [65536] } }, '/tcp/connect/0', /at most 65535/],
    [{ tcp: { bind: ['80'] } }, '/tcp/bind/0', /must be a whole number/],
    [{ scopes: { signals: 'yes' } }, '/scopes/signals', /true or false/],
    [{ bestEffort: ['everything'] }, '/bestEffort/0', /must be one of files, /],
    [{ limits: { memory: '2MiB' } }, '/limits/memory', /a number of bytes/],
    [{ limits: { memory: 0 } }, '/limits/memory', /at least 1/],
    [{ limits: { openFiles: 0 } }, '/limits/openFiles', /at least 1/],
    [{ syscalls: { deny: ['moutn'] } }, '/syscalls/deny/0', /no system call.*"mount"/],
    [{ syscalls: { deny: ['@defualt'] } }, '/syscalls/deny/0', /"@default"/],
    ...(
      [
        [{ names: ['clone'] }, 'args', /required/],
        [{ names: [], args: [CONDITION] }, 'names', /at least 1/],
        [{ names: ['clone'], args: [] }, 'args', /at least 1/],
        [{ names: ['clonee'], args: [CONDITION] }, 'names/0', /"clone"/],
        [{ names: ['@default'], args: [CONDITION] }, 'names/0', /not for groups/],
        [{ names: ['clone'], args: [CONDITION, { ...CONDITION, value: 2 }] }, 'args', /two conditions/],
        [{ names: ['clone'], args: [{ ...CONDITION, op: 'EQ' }] }, 'args/0/op', /SCMP_CMP_EQ/],
        [{ names: ['clone'], args: [{ ...CONDITION, index: 6 }] }, 'args/0/index', /at most 5/],
      ] as const
    ).map(([rule, at, message]) => [{ syscalls: { rules: [rule] } }, `/syscalls/rules/0/${at}`, message] as const),
    [{ limits: { cpus: 0 } }, '/limits/cpus', /at least 0\.01/],
    [{ limits: { maxDuration: 0 } }, '/limits/maxDuration', /at least 0\.001/],
    [{ limits: { maxDuration: '1h' } }, '/limits/maxDuration', /number/],
    [{ limits: { output: '1h' } }, '/limits/output', /a number of bytes, by itself or with K, M, G or T/],
    [{ description: 1 }, '/description', /must be a string/],
  ]
  for (const [document, pointer, pattern] of cases) refuses(() => load(document), pattern, pointer)
  refuses(
    () => loadNode('{"policy":{"tpc":{}}}', 'node'),
    /node: \/policy: unknown property "tpc"; did you mean "tcp"\?/,
  )
  refuses(() => loadNode('{"policies":"here"}', 'node'), /absolute path/, '/policies')
})

test('sizes', () => {
  assert.equal(parseBytes('512k'), 512 << 10)
  assert.equal(parseBytes('3G'), 3 * 2 ** 30)
  assert.equal(parseBytes(77), 77)
  for (const text of ['', '0', '-1', '1.5G', '1KiB', '1P', '9999999999999999', '9999999T', ' 1'])
    assert.equal(parseBytes(text), undefined, text)
})

/** Files and secrets of the node, which no container names, and what these consist of. */
const CONDITION = { index: 0, op: 'SCMP_CMP_EQ', value: 1 }
const OF_THE_NODE = /^module(\.|$)|^(http\/.*|http\.(ca|roots|credentials))(\.|$)|^syscalls\.rules$|^network\.refresh$/

test('there is an annotation for each field of a policy that is no list of names or words', () => {
  const fields = Object.entries(POLICY_PROPERTIES)
    .filter(([section]) => section !== '')
    .flatMap(([section, properties]) => properties.map((name) => `${section.slice(1)}.${name}`))
    .filter((name) => !OF_THE_NODE.test(name))
    .map((name) => `io.berth.${name}`)
  assert.deepEqual([...ANNOTATIONS].sort(), ['io.berth.policy', 'io.berth.policy.inline', ...fields].sort())
})

test('annotations become policies', () => {
  const { profile, policies } = readWish({
    'io.berth.policy': 'web',
    'io.berth.policy.inline': '{"scopes":{"signals":true}}',
    'io.berth.files.read': '/etc; /usr/lib',
    'io.berth.tcp.connect': '80;443',
    'io.berth.limits.memory': '1G',
    'io.berth.limits.cpus': '0.5',
    'io.berth.scopes.abstractSockets': 'true',
    'io.kubernetes.cri.sandbox-id': 'x',
  })
  assert.equal(profile, 'web')
  assert.deepEqual(JSON.parse(JSON.stringify(policies.map(({ policy }) => policy))), [
    { scopes: { signals: true } },
    {
      files: { read: ['/etc', '/usr/lib'] },
      tcp: { connect: [80, 443] },
      limits: { memory: 2 ** 30, cpus: 0.5 },
      scopes: { abstractSockets: true },
    },
  ])
})

test('what is empty in an annotation is left out, and what is left may be nothing', () => {
  const read = (annotations: Record<string, string>) =>
    JSON.parse(JSON.stringify(readWish(annotations).policies[0]?.policy))
  assert.deepEqual(read({ 'io.berth.files.read': '/etc; ;/usr;' }), { files: { read: ['/etc', '/usr'] } })
  assert.deepEqual(read({ 'io.berth.tcp.connect': ' 80 ;', 'io.berth.tcp.bind': '' }), {
    tcp: { connect: [80], bind: [] },
  })
  for (const [section, name] of [
    ['network', 'allow'],
    ['network', 'allowBind'],
    ['http', 'allow'],
    ['files', 'execute'],
  ] as const)
    for (const text of ['', ';', ' ; '])
      assert.deepEqual(read({ [`io.berth.${section}.${name}`]: text }), { [section]: { [name]: [] } }, text)
})

test('an annotation that is unknown or malformed is an error that names it', () => {
  refuses(
    () => readWish({ 'io.berth.tcp.conect': '80' }),
    /unknown annotation "io\.berth\.tcp\.conect"; did you mean "io\.berth\.tcp\.connect"\?/,
  )
  refuses(() => readWish({ [ENFORCED]: '' }), /unknown annotation "io\.berth\.enforced"/)
  refuses(() => readWish({ 'io.berth.constructor': '' }), /unknown annotation/)
  for (const name of ['', '.', '../x', 'a/b', '.hidden'])
    refuses(() => readWish({ 'io.berth.policy': name }), /no name of a policy/)
  refuses(() => readWish({ 'io.berth.tcp.connect': '80,443' }), /annotation io\.berth\.tcp\.connect: \/tcp\/connect\/0/)
  refuses(() => readWish({ 'io.berth.files.read': '/a;;b' }), /annotation io\.berth\.files\.read: \/files\/read\/1/)
  refuses(() => readWish({ 'io.berth.http.ports': ';' }), /annotation io\.berth\.http\.ports: \/http\/ports/)
  refuses(
    () => readWish({ 'io.berth.scopes.signals': 'yes' }),
    /annotation io\.berth\.scopes\.signals: \/scopes\/signals/,
  )
  refuses(() => readWish({ 'io.berth.policy.inline': '{' }), /annotation io\.berth\.policy\.inline/)
})

test('what is nearest', () => {
  assert.equal(didYouMean('Memory', ['processes', 'memory']), '; did you mean "memory"?')
  assert.equal(didYouMean('x', []), '')
})

test('a wish can only narrow', () => {
  const ceiling = load({
    files: { read: ['/usr'], write: ['/data'], execute: ['/bin'] },
    tcp: { connect: [443] },
    scopes: { signals: true },
    limits: { processes: 10, maxDuration: 60 },
  })
  const narrow = (wish: object) => checkNarrower(ceiling, load(wish), 'the node', '/annotations')
  narrow({ files: { read: ['/usr/lib', '/data', '/bin/sh'], write: ['/data/a'], execute: ['/bin'], deny: ['/x'] } })
  narrow({ tcp: { connect: [443], bind: [80] }, scopes: { signals: true }, limits: { processes: 10, memory: 5 } })
  narrow({})
  for (const [wish, pattern] of [
    [{ files: { read: ['/usrlocal'] } }, /files\.read: "\/usrlocal"/],
    [{ files: { read: ['/'] } }, /files\.read: "\/"/],
    [{ files: { write: ['/usr'] } }, /files\.write/],
    [{ files: { execute: ['/data'] } }, /files\.execute/],
    [{ tcp: { connect: [443, 80] } }, /tcp\.connect: 80/],
    [{ scopes: { signals: false } }, /scopes\.signals: false/],
    [{ limits: { processes: 11 } }, /limits\.processes: 11 is more than the node allows/],
    [{ limits: { maxDuration: 61 } }, /limits\.maxDuration: 61 is more than the node allows/],
  ] as const)
    refuses(() => narrow(wish), pattern, '/annotations')
})

test('what the host lacks is refused, unless the policy can do without', () => {
  const policy = { files: { read: ['/'] }, scopes: { signals: true } }
  assert.deepEqual(wanted(load(policy)), ['files', 'files.truncate', 'files.ioctl', 'signals'])
  const at = (landlock: number, document: object): Confinement => ({ landlock, policies: [load(document)] })
  checkEnforceable(at(6, policy))
  refuses(
    () => checkEnforceable(at(5, policy)),
    /"signals" can not be enforced: it needs Landlock ABI 6 \(Linux 6\.12\), this host has ABI 5/,
  )
  refuses(() => checkEnforceable(at(0, policy)), /"files" .* this host has no Landlock/)
  const lax = at(1, { ...policy, bestEffort: ['files.truncate', 'files.ioctl', 'signals'] })
  checkEnforceable(lax)
  assert.equal(
    enforcedText(lax),
    [
      'files: Landlock ABI 1',
      'files.truncate: not enforced: needs Landlock ABI 3 (Linux 6.2), this host has ABI 1',
      'files.ioctl: not enforced: needs Landlock ABI 5 (Linux 6.10), this host has ABI 1',
      'signals: not enforced: needs Landlock ABI 6 (Linux 6.12), this host has ABI 1',
    ].join('; '),
  )
})

test('each policy is a domain of its own, made as root and entered before the program is looked for', () => {
  const confinement = confine(
    { files: { read: ['/etc'] } },
    { tcp: { connect: [80], bind: [] }, scopes: { signals: true } },
  )
  const spec = plainSpec()
  for (const noNewPrivileges of [true, false]) {
    const process = { ...spec.process, cwd: '/', user: { uid: 0, gid: 0 }, noNewPrivileges }
    const plan = inside(compileCreate(input({ ...spec, process }, { confinement })).create)
    const [first, second] = all(plan, 'landlock')
    assert.deepEqual([first?.paths, first?.rights, first?.fs], [['/etc'], [0xc], 0xffffn])
    assert.deepEqual(
      [second?.ports, second?.portRights, second?.net, second?.scoped, second?.fs],
      [[80], [2], 3n, 2n, 0n],
    )
    const order = names(plan)
    assert.ok(order.lastIndexOf('landlock') < order.indexOf('user'))
    assert.ok(order.indexOf('landlock-enter') > order.indexOf('user'))
    assert.equal(order[order.lastIndexOf('landlock-enter') + 1], 'find-exec')
    assert.equal(order.includes('no-new-privs'), noNewPrivileges)
  }
})

test('rights that an older kernel does not know are not asked for', () => {
  const bestEffort = Object.keys(PROTECTIONS)
  const policies = [load({ files: { write: ['/'] }, tcp: { bind: [] }, scopes: { signals: true }, bestEffort })]
  const fsAt = (landlock: number) =>
    all(inside(compileCreate(input(plainSpec(), { confinement: { landlock, policies } })).create), 'landlock').map(
      ({ fs, net, scoped }) => [fs, net, scoped],
    )
  assert.deepEqual(fsAt(0), [])
  assert.deepEqual(fsAt(1), [[0x1fffn, 0n, 0n]])
  assert.deepEqual(fsAt(2), [[0x3fffn, 0n, 0n]])
  assert.deepEqual(fsAt(3), [[0x7fffn, 0n, 0n]])
  assert.deepEqual(fsAt(4), [[0x7fffn, 1n, 0n]])
  assert.deepEqual(fsAt(6), [[0xffffn, 1n, 2n]])
})

test('a deny is mounts, which a domain that allows everything keeps in their place where somebody could change them', () => {
  const confinement = confine({ files: { deny: ['/a', '/b'] } })
  const planOf = (spec: Spec) => inside(compileCreate(input(spec, { confinement })).create)
  const { process } = plainSpec()
  const mighty = (set: string) =>
    plainSpec({
      process: { ...process, capabilities: { ...process?.capabilities, [set]: ['CAP_SYS_ADMIN'] } },
    } as Partial<Spec>)
  assert.equal(all(planOf(plainSpec()), 'landlock').length, 0)
  for (const set of ['bounding', 'permitted']) assert.equal(all(planOf(mighty(set)), 'landlock').length, 1, set)
  const plan = planOf(mighty('bounding'))
  assert.deepEqual(one(plan, 'deny').paths, ['/a', '/b'])
  const { fs, paths, rights } = one(plan, 'landlock')
  assert.deepEqual([fs, paths, rights], [0x800n, ['/'], [0x800]])
  const both = confine({ files: { deny: ['/a'], read: ['/'] } })
  assert.equal(all(inside(compileCreate(input(plainSpec(), { confinement: both })).create), 'landlock').length, 1)
  const spec = plainSpec()
  const namespaces = spec.linux?.namespaces?.filter(({ type }) => type !== 'mount') ?? []
  refuses(
    () => compileCreate(input({ ...spec, mounts: [], linux: { namespaces } }, { confinement: both })),
    /files\.deny needs a mount namespace/,
  )
})

test('an exec is in domains like those of the init', () => {
  const spec = plainSpec()
  const process = spec.process ?? assert.fail()
  const plan = compileExec({
    ...input(spec),
    process,
    init: { pid: 7, start: 8n },
    facts: facts(),
    cgroupPaths: [],
    confinement: confine({ files: { read: ['/etc'] } }),
  })
  assert.deepEqual(
    names(inside(plan)).filter((name) => name.startsWith('landlock')),
    ['landlock', 'landlock-enter'],
  )
})

test('the least of each limit holds', () => {
  const confinement = confine(
    { limits: { memory: 100, processes: 5, cpus: 2 } },
    { limits: { memory: 50, openFiles: 9 } },
  )
  assert.deepEqual(leastLimits(confinement.policies), { memory: 50, processes: 5, openFiles: 9, cpus: 2 })
  const spec = limitSpec(
    plainSpec({
      linux: { resources: { memory: { limit: -1n, swap: 70n }, pids: { limit: 3n }, cpu: { period: 1000n } } },
    }),
    confinement,
  )
  assert.deepEqual(spec.linux?.resources, {
    memory: { limit: 50n, swap: 70n },
    pids: { limit: 3n },
    cpu: { period: 1000n, quota: 2000n },
  })
  const files = spec.process?.rlimits?.filter(({ type }) => type === 'RLIMIT_NOFILE')
  assert.deepEqual(files, [{ type: 'RLIMIT_NOFILE', soft: 9n, hard: 9n }])
  const plain = plainSpec()
  assert.equal(limitSpec(plain, confine({ tcp: { bind: [] } })), plain)
})

test('new limits may not pass the policies', () => {
  const confinement = confine({ limits: { memory: 100, processes: 5, cpus: 0.5 } })
  checkLimits({ memory: { limit: 100n }, pids: { limit: 1n }, cpu: { quota: 50_000n } }, confinement)
  checkLimits({ memory: { limit: -1n } }, undefined)
  for (const resources of [
    { memory: { limit: 101n } },
    { memory: { limit: -1n } },
    { pids: { limit: -1n } },
    { cpu: { quota: 50_001n } },
    { cpu: { quota: -1n } },
  ])
    refuses(() => checkLimits(resources, confinement), /is more than the container's policy allows/)
  refuses(() => checkLimits({ cpu: { period: 1000n } }, confinement), /only together with cpu\.quota/)
})
