import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { BerthError } from '../../src/errors.ts'
import { parseJson, stringifyJson } from '../../src/spec/json.ts'
import { loadProcess, loadSpec } from '../../src/spec/load.ts'
import { PATTERNS } from '../../src/spec/schema-error.ts'

type Tree = Record<string, unknown>

/** A small valid configuration with `changes` over it. */
const config = (changes: Tree = {}, linux: Tree = {}): string =>
  stringifyJson({
    ociVersion: '1.2.0',
    process: { cwd: '/', args: ['sh'] },
    root: { path: 'rootfs' },
    linux,
    ...changes,
  })

const withProcess = (changes: Tree): string => config({ process: { cwd: '/', args: ['sh'], ...changes } })

/** Pointer and message of the error that loading gives. */
const failure = (load: () => unknown): readonly [string | undefined, string] => {
  try {
    load()
  } catch (error) {
    assert.ok(error instanceof BerthError, String(error))
    assert.equal(error.kind, 'invalid')
    return [error.pointer, error.message]
  }
  return assert.fail('was accepted')
}

const refused = (text: string, pointer: string, message: string): void => {
  assert.deepEqual(
    failure(() => loadSpec(text)),
    [pointer, `config.json: ${pointer}: ${message}`],
  )
}

test('accepts the smallest configuration and sets defaults', () => {
  const { spec, warnings } = loadSpec('{"ociVersion":"1.0.0","root":{"path":"r"},"process":{"cwd":"/","args":["a"]}}')
  assert.deepEqual({ ...spec.process?.user }, { uid: 0, gid: 0 })
  assert.deepEqual(warnings, [])
  assert.equal(loadSpec('{"ociVersion":"1.0.0","root":{"path":"r"}}').spec.process, undefined)
})

test('64-bit fields are bigint, whatever their size; others stay numbers', () => {
  const { spec } = loadSpec(
    config(
      {
        process: {
          cwd: '/',
          user: { uid: 4294967294, gid: 5, umask: 18 },
          oomScoreAdj: -1000,
          rlimits: [
            { type: 'RLIMIT_NOFILE', soft: 1024, hard: 18446744073709551615n },
            { type: 'RLIMIT_CORE', soft: 18446744073709551615n, hard: 18446744073709551615n },
          ],
          scheduler: { policy: 'SCHED_DEADLINE', runtime: 1, deadline: 2, period: 3 },
        },
      },
      {
        namespaces: [{ type: 'time' }],
        devices: [{ type: 'c', path: '/dev/null', major: 1, minor: 3, fileMode: 438 }],
        timeOffsets: { boottime: { secs: -5, nanosecs: 999999999 } },
        resources: {
          devices: [
            { allow: false, access: 'rwm' },
            { allow: true, type: 'c', major: -1, minor: 3 },
          ],
          memory: { limit: -1, swap: 9223372036854775807n, swappiness: 60 },
          cpu: { shares: 1024, quota: -1, burst: 0, period: 100000, realtimeRuntime: 1, realtimePeriod: 2, idle: 1 },
          pids: { limit: 0 },
          blockIO: { weight: 10, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 18446744073709551615n }] },
          hugepageLimits: [{ pageSize: '2MB', limit: 4096 }],
        },
        seccomp: {
          defaultAction: 'SCMP_ACT_ERRNO',
          defaultErrnoRet: 38,
          syscalls: [
            {
              names: ['socket'],
              action: 'SCMP_ACT_ALLOW',
              args: [
                { index: 0, value: 18446744073709551615n, op: 'SCMP_CMP_NE' },
                { index: 5, value: 1, valueTwo: 2, op: 'SCMP_CMP_MASKED_EQ' },
              ],
            },
          ],
        },
      },
    ),
  )
  const { process, linux } = spec
  assert.equal(process?.user.uid, 4294967294)
  assert.equal(process?.user.umask, 18)
  assert.equal(process?.rlimits?.[0]?.soft, 1024n)
  assert.equal(process?.rlimits?.[1]?.hard, 0xffffffffffffffffn)
  assert.equal(process?.scheduler?.period, 3n)
  assert.equal(linux?.devices?.[0]?.major, 1n)
  assert.equal(linux?.devices?.[0]?.fileMode, 438)
  assert.equal(linux?.timeOffsets?.boottime?.secs, -5n)
  assert.equal(linux?.timeOffsets?.boottime?.nanosecs, 999999999)
  const { resources, seccomp } = linux ?? {}
  assert.equal(resources?.devices?.[1]?.major, -1n)
  assert.deepEqual({ ...resources?.memory }, { limit: -1n, swap: 9223372036854775807n, swappiness: 60n })
  assert.deepEqual(
    { ...resources?.cpu },
    { shares: 1024n, quota: -1n, burst: 0n, period: 100000n, realtimeRuntime: 1n, realtimePeriod: 2n, idle: 1n },
  )
  assert.equal(resources?.pids?.limit, 0n)
  assert.equal(resources?.blockIO?.weight, 10)
  assert.equal(resources?.blockIO?.throttleReadBpsDevice?.[0]?.rate, 0xffffffffffffffffn)
  assert.equal(resources?.hugepageLimits?.[0]?.limit, 4096n)
  assert.equal(seccomp?.defaultErrnoRet, 38)
  const args = seccomp?.syscalls?.[0]?.args
  assert.deepEqual({ ...args?.[0] }, { index: 0, value: 0xffffffffffffffffn, valueTwo: 0n, op: 'SCMP_CMP_NE' })
  assert.equal(args?.[1]?.valueTwo, 2n)
})

test('a wrong type or range is named with its pointer and its value', () => {
  refused(
    config({ mounts: [{ destination: '/a' }, { destination: 7 }] }),
    '/mounts/1/destination',
    'must be a string (is 7)',
  )
  refused(config({ mounts: {} }), '/mounts', 'must be an array (is an object)')
  refused(config({ process: [] }), '/process', 'must be an object (is an array)')
  refused(withProcess({ terminal: 'yes' }), '/process/terminal', 'must be true or false (is "yes")')
  refused(withProcess({ args: ['a', null] }), '/process/args/1', 'must be a string (is null)')
  refused(withProcess({ args: [] }), '/process/args', 'must have at least 1 item (is an array)')
  refused(withProcess({ cwd: 'tmp' }), '/process/cwd', 'must be an absolute path (is "tmp")')
  refused(withProcess({ oomScoreAdj: 1001 }), '/process/oomScoreAdj', 'must be at most 1000 (is 1001)')
  refused(config({ annotations: { 'a/b': 1 } }), '/annotations/a~1b', 'must be a string (is 1)')
  refused(config({ root: { path: '' } }), '/root/path', 'must not be empty (is "")')
  refused(config({}, { maskedPaths: ['proc'] }), '/linux/maskedPaths/0', 'must be an absolute path (is "proc")')
  refused(
    config({}, { namespaces: [{ type: 'net' }] }),
    '/linux/namespaces/0/type',
    'must be one of pid, network, mount, ipc, uts, user, cgroup, time (is "net")',
  )
  refused(
    config({ hooks: { poststop: [{ path: '/x', timeout: 0 }] } }),
    '/hooks/poststop/0/timeout',
    'must be at least 1 (is 0)',
  )
})

test('integers are exact', () => {
  const uid = (value: unknown): string => withProcess({ user: { uid: value, gid: 0 } })
  const id = 'must be an integer from 0 to 4294967294'
  refused(uid(-1), '/process/user/uid', `${id} (is -1)`)
  refused(uid(4294967295), '/process/user/uid', `${id} (is 4294967295)`)
  refused(uid(1.5), '/process/user/uid', `${id} (is 1.5)`)
  refused(uid('0'), '/process/user/uid', `${id} (is "0")`)
  refused(uid(18446744073709551616n), '/process/user/uid', `${id} (is 18446744073709551616)`)
  const soft = (value: unknown): string => withProcess({ rlimits: [{ type: 'RLIMIT_CPU', soft: value, hard: 1 }] })
  const uint64 = 'must be an integer from 0 to 18446744073709551615'
  refused(soft(18446744073709551616n), '/process/rlimits/0/soft', `${uint64} (is 18446744073709551616)`)
  refused(soft(-1), '/process/rlimits/0/soft', `${uint64} (is -1)`)
  refused(soft(true), '/process/rlimits/0/soft', `${uint64} (is true)`)
  refused(
    config({}, { resources: { memory: { limit: 9223372036854775808n } } }),
    '/linux/resources/memory/limit',
    'must be an integer from -9223372036854775808 to 9223372036854775807 (is 9223372036854775808)',
  )
  // 1e30 is no exact integer in a double.
  assert.equal(
    failure(() =>
      loadSpec('{"ociVersion":"1.0.0","root":{"path":"r"},"linux":{"resources":{"pids":{"limit":1e30}}}}'),
    )[0],
    '/linux/resources/pids/limit',
  )
})

test('what is required is named', () => {
  assert.deepEqual(
    failure(() => loadSpec('{}')),
    ['/ociVersion', 'config.json: /ociVersion: is required'],
  )
  refused('{"ociVersion":"1.0.0"}', '/root', 'is required')
  refused(config({ process: { args: ['sh'] } }), '/process/cwd', 'is required')
  refused(config({ mounts: [{ type: 'tmpfs' }] }), '/mounts/0/destination', 'is required')
  assert.deepEqual(
    failure(() => loadSpec('[]', 'x.json')),
    ['', 'x.json: must be an object (is an array)'],
  )
})

test('a process may be missing, but one that is there has to be runnable where it is to run', () => {
  const without = config({ process: undefined })
  assert.equal(loadSpec(without).spec.process, undefined)
  assert.equal(loadSpec(without, 'c', { runnable: true }).spec.process, undefined)
  const noArgs = config({ process: { cwd: '/' } })
  assert.equal(loadSpec(noArgs).spec.process?.args, undefined)
  assert.equal(failure(() => loadSpec(noArgs, 'c', { runnable: true }))[0], '/process/args')
})

test('unknown properties and null are no error', () => {
  const { spec } = loadSpec(
    config(
      { windows: { x: [null] }, hooks: null, process: { cwd: '/', args: ['a'], env: null, 'x-y': 1 } },
      { seccomp: null },
    ),
  )
  assert.equal(Object.hasOwn(spec, 'hooks'), false)
  assert.equal(Object.hasOwn(spec.process ?? {}, 'env'), false)
  assert.equal(spec.linux?.seccomp, undefined)
})

test('__proto__ is an unknown property like any other', () => {
  const { spec } = loadSpec(
    '{"ociVersion":"1.0.0","root":{"path":"r"},"__proto__":{"hostname":"x"},"annotations":{"__proto__":"y"}}',
  )
  assert.equal(spec.hostname, undefined)
  assert.deepEqual(Object.keys(spec.annotations ?? {}), ['__proto__'])
  assert.equal(spec.annotations?.constructor, undefined)
})

test('documents that are no JSON are refused with a position', () => {
  assert.equal(
    failure(() => loadSpec('{\n "ociVersion": 1.0.0\n}'))[1],
    'config.json: line 2 column 19: expected "," or "}", found "."',
  )
  assert.match(failure(() => loadSpec(`{"x":${'['.repeat(600)}`))[1], /nested more than 512 deep/)
  assert.match(failure(() => loadSpec(config({ hostname: 'a\0b' })))[1], /NUL character in a string/)
  assert.match(failure(() => loadSpec(Uint8Array.of(0x7b, 0xc3)))[1], /not valid UTF-8/)
})

test('versions: any 1.x', () => {
  for (const ociVersion of ['1.0.0', '1.0.2-dev', '1.3.0', '1.99.0', '1.1.0-rc.1+build'])
    loadSpec(config({ ociVersion }))
  for (const ociVersion of ['2.0.0', '0.9.0']) {
    refused(config({ ociVersion }), '/ociVersion', `version ${ociVersion} is not supported: expected 1.x`)
  }
  for (const ociVersion of ['1', '1.0', 'v1.0.0', '1.0.0 ', '']) {
    refused(config({ ociVersion }), '/ociVersion', `must be a semantic version (is ${JSON.stringify(ociVersion)})`)
  }
})

test('rlimits: names, duplicates, order', () => {
  const limit = (type: string, soft = 1, hard = 1): Tree => ({ type, soft, hard })
  refused(
    withProcess({ rlimits: [limit('RLIMIT_FOO')] }),
    '/process/rlimits/0/type',
    'unknown resource limit "RLIMIT_FOO"',
  )
  refused(
    withProcess({ rlimits: [limit('RLIMIT_CPU'), limit('RLIMIT_CPU')] }),
    '/process/rlimits/1',
    'RLIMIT_CPU is given twice',
  )
  refused(
    withProcess({ rlimits: [limit('RLIMIT_CPU', 2, 1)] }),
    '/process/rlimits/0',
    'the soft limit 2 is above the hard limit 1',
  )
})

test('unknown capabilities are warned about, once', () => {
  const text = withProcess({ capabilities: { bounding: ['CAP_KILL', 'CAP_FOO'], effective: ['CAP_FOO', 'KILL'] } })
  assert.deepEqual(loadSpec(text).warnings, [
    'config.json: /process/capabilities/bounding/1: unknown capability "CAP_FOO" is ignored',
    'config.json: /process/capabilities/effective/1: unknown capability "KILL" is ignored',
  ])
})

test('scheduler: parameters of another policy are refused', () => {
  refused(
    withProcess({ scheduler: { policy: 'SCHED_OTHER', priority: 1 } }),
    '/process/scheduler/priority',
    'needs SCHED_FIFO or SCHED_RR (policy is SCHED_OTHER)',
  )
  refused(
    withProcess({ scheduler: { policy: 'SCHED_RR', priority: 1, runtime: 1 } }),
    '/process/scheduler/runtime',
    'needs SCHED_DEADLINE (policy is SCHED_RR)',
  )
  refused(
    withProcess({ scheduler: { policy: 'SCHED_RR', priority: 100 } }),
    '/process/scheduler/priority',
    'must be from 1 to 99 for SCHED_RR (is 100)',
  )
  refused(
    withProcess({ scheduler: { policy: 'SCHED_ISO' } }),
    '/process/scheduler/policy',
    'SCHED_ISO is a policy that Linux does not have',
  )
  refused(
    withProcess({ scheduler: { policy: 'SCHED_OTHER', flags: ['SCHED_FLAG_UTIL_CLAMP_MAX'] } }),
    '/process/scheduler/flags/0',
    'SCHED_FLAG_UTIL_CLAMP_MAX needs a value that the specification has no property for',
  )
  loadSpec(withProcess({ scheduler: { policy: 'SCHED_FIFO', priority: 1, nice: 0, runtime: 0 } }))
})

test('namespaces: duplicates, empty paths, what needs one', () => {
  refused(
    config({}, { namespaces: [{ type: 'pid' }, { type: 'pid', path: '/x' }] }),
    '/linux/namespaces/1',
    'namespace pid is given twice',
  )
  refused(
    config({}, { namespaces: [{ type: 'pid', path: 'x' }] }),
    '/linux/namespaces/0/path',
    'must be an absolute path (is "x")',
  )
  const { spec } = loadSpec(config({}, { namespaces: [{ type: 'pid', path: '' }] }))
  assert.equal(Object.hasOwn(spec.linux?.namespaces?.[0] ?? {}, 'path'), false)
  refused(config({ hostname: 'x' }), '/hostname', 'needs a uts namespace')
  refused(config({ domainname: 'x' }), '/domainname', 'needs a uts namespace')
  loadSpec(config({ hostname: 'x', domainname: 'y' }, { namespaces: [{ type: 'uts', path: '/x' }] }))
  refused(
    config({ hostname: 'x'.repeat(65) }, { namespaces: [{ type: 'uts' }] }),
    '/hostname',
    `must have at most 64 bytes (is "${'x'.repeat(65)}")`,
  )
  const offsets = { timeOffsets: { monotonic: { secs: 1 } } }
  refused(config({}, offsets), '/linux/timeOffsets', 'needs a new time namespace')
  refused(
    config({}, { ...offsets, namespaces: [{ type: 'time', path: '/x' }] }),
    '/linux/timeOffsets',
    'needs a new time namespace',
  )
})

test('user namespace: mappings need it, and it needs them', () => {
  const maps = [{ containerID: 0, hostID: 1000, size: 1 }]
  refused(config({}, { uidMappings: maps }), '/linux/uidMappings', 'needs a user namespace')
  refused(
    config({}, { uidMappings: maps, namespaces: [{ type: 'user' }] }),
    '/linux/gidMappings',
    'is required for a new user namespace',
  )
  loadSpec(config({}, { namespaces: [{ type: 'user', path: '/x' }] }))
  const over = [{ containerID: 0, hostID: 4294967294, size: 2 }]
  refused(
    config({}, { uidMappings: over, gidMappings: maps, namespaces: [{ type: 'user' }] }),
    '/linux/uidMappings/0',
    'runs over the last id, 4294967294',
  )
})

test('mounts: mappings and relative destinations', () => {
  const maps = [{ containerID: 0, hostID: 1000, size: 1 }]
  refused(
    config({ mounts: [{ destination: '/a', uidMappings: maps }] }),
    '/mounts/0',
    'uidMappings and gidMappings need each other',
  )
  refused(
    config({ mounts: [{ destination: '/a', options: ['rbind', 'ridmap'] }] }),
    '/mounts/0/options',
    'ridmap needs uidMappings and gidMappings, or a user namespace',
  )
  loadSpec(config({ mounts: [{ destination: '/a', options: ['idmap'], uidMappings: maps, gidMappings: maps }] }))
  assert.deepEqual(loadSpec(config({ mounts: [{ destination: 'a' }] })).warnings, [
    'config.json: /mounts/0/destination: relative path "a" is taken as relative to / (deprecated)',
  ])
})

test('sysctls: only what a namespace of the container keeps apart', () => {
  const sysctl = (key: string, ...types: string[]): string =>
    config({}, { sysctl: { [key]: '1' }, namespaces: types.map((type) => ({ type })) })
  const accepted: readonly (readonly [string, string])[] = [
    ['net.core.somaxconn', 'network'],
    ['net/ipv4/conf/eth0.1/forwarding', 'network'],
    ['kernel.msgmax', 'ipc'],
    ['fs.mqueue.msg_max', 'ipc'],
    ['kernel.domainname', 'uts'],
  ]
  for (const [key, type] of accepted) {
    loadSpec(sysctl(key, type))
    refused(
      sysctl(key),
      `/linux/sysctl/${key.replaceAll('/', '~1')}`,
      `would change the host: needs a namespace ${type}`,
    )
  }
  refused(
    sysctl('kernel.hostname', 'uts'),
    '/linux/sysctl/kernel.hostname',
    'is set by the property hostname, not as a sysctl',
  )
  refused(
    sysctl('vm.swappiness', 'ipc'),
    '/linux/sysctl/vm.swappiness',
    'would change the host: no namespace has it as its own',
  )
  refused(
    sysctl('net/../kernel/core_pattern', 'network'),
    '/linux/sysctl/net~1..~1kernel~1core_pattern',
    'is not the name of a sysctl',
  )
})

test('devices: numbers are there and fit', () => {
  const device = (changes: Tree): string =>
    config({}, { devices: [{ type: 'c', path: '/dev/x', major: 1, minor: 3, ...changes }] })
  refused(device({ minor: undefined }), '/linux/devices/0/minor', 'is required')
  refused(device({ major: -1 }), '/linux/devices/0/major', 'must be from 0 to 4095 (is -1)')
  refused(device({ minor: 4294967299 }), '/linux/devices/0/minor', 'must be from 0 to 1048575 (is 4294967299)')
  loadSpec(device({ type: 'p', major: undefined, minor: undefined }))
  refused(
    config({}, { resources: { devices: [{ allow: true, type: 'c', major: -2 }] } }),
    '/linux/resources/devices/0/major',
    'must be from -1 to 4095 (is -2)',
  )
  const { spec } = loadSpec(config({}, { resources: { devices: [{ allow: true, type: '' }] } }))
  assert.equal(spec.linux?.resources?.devices?.[0]?.type, undefined)
})

test('network devices: names', () => {
  const devices = (netDevices: Tree, types = ['network']): string =>
    config({}, { netDevices, namespaces: types.map((type) => ({ type })) })
  loadSpec(devices({ eth0: {}, eth1: { name: 'c%d' }, eth2: { name: 'c%d' } }))
  refused(devices({ eth0: {} }, []), '/linux/netDevices/eth0', 'needs a network namespace')
  refused(devices({ 'a/b': {} }), '/linux/netDevices/a~1b', 'is not the name of a network device')
  refused(
    devices({ eth0: { name: 'sixteen-letters-' } }),
    '/linux/netDevices/eth0/name',
    'must be the name of a network device (is "sixteen-letters-")',
  )
  refused(
    devices({ eth0: { name: 'x' }, eth1: { name: 'x' } }),
    '/linux/netDevices/eth1',
    'another device gets the name x',
  )
})

test('seccomp: an errno only where the action takes one', () => {
  const seccomp = (changes: Tree): string => config({}, { seccomp: { defaultAction: 'SCMP_ACT_ALLOW', ...changes } })
  refused(seccomp({ defaultErrnoRet: 1 }), '/linux/seccomp/defaultErrnoRet', 'SCMP_ACT_ALLOW takes no errno')
  refused(
    seccomp({ syscalls: [{ names: ['read'], action: 'SCMP_ACT_KILL', errnoRet: 1 }] }),
    '/linux/seccomp/syscalls/0/errnoRet',
    'SCMP_ACT_KILL takes no errno',
  )
  loadSpec(seccomp({ syscalls: [{ names: ['read'], action: 'SCMP_ACT_TRACE', errnoRet: 1 }] }))
  refused(
    seccomp({
      syscalls: [{ names: ['read'], action: 'SCMP_ACT_LOG', args: [{ index: 6, value: 0, op: 'SCMP_CMP_EQ' }] }],
    }),
    '/linux/seccomp/syscalls/0/args/0/index',
    'must be at most 5 (is 6)',
  )
})

test('names that become paths cannot leave their directory', () => {
  refused(config({}, { cgroupsPath: '/a/../../b' }), '/linux/cgroupsPath', 'must not contain .. (is "/a/../../b")')
  refused(
    config({}, { intelRdt: { closID: '../x' } }),
    '/linux/intelRdt/closID',
    'must be the name of a directory (is "../x")',
  )
  loadSpec(config({}, { intelRdt: { closID: '/' } }))
  const unified = (name: string): string => config({}, { resources: { unified: { [name]: '1' } } })
  for (const name of ['../memory.max', 'memory', '.x', 'memory.max/']) {
    refused(unified(name), `/linux/resources/unified/${name.replaceAll('/', '~1')}`, 'is not the name of a cgroup file')
  }
  loadSpec(unified('hugetlb.2MB.max'))
  refused(
    config({}, { resources: { hugepageLimits: [{ pageSize: '../2MB', limit: 1 }] } }),
    '/linux/resources/hugepageLimits/0/pageSize',
    'must be a page size such as 2MB (is "../2MB")',
  )
})

test('limits below "none" are refused', () => {
  refused(
    config({}, { resources: { memory: { limit: -2 } } }),
    '/linux/resources/memory/limit',
    'must be -1 (no limit) or more (is -2)',
  )
})

test('a bare process', () => {
  const { process, warnings } = loadProcess(
    '{"cwd":"/","args":["a"],"rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":18446744073709551615}],"capabilities":{"ambient":["CAP_X"]}}',
  )
  assert.equal(process.rlimits?.[0]?.hard, 0xffffffffffffffffn)
  assert.equal(process.user.gid, 0)
  assert.deepEqual(warnings, ['process.json: /capabilities/ambient/0: unknown capability "CAP_X" is ignored'])
  assert.deepEqual(
    failure(() => loadProcess('{"cwd":"/"}', 'p')),
    ['/args', 'p: /args: is required'],
  )
  assert.deepEqual(
    failure(() => loadProcess('{"cwd":"/","args":[1]}', 'p')),
    ['/args/0', 'p: /args/0: must be a string (is 1)'],
  )
})

test('every pattern of the schemas has words', async () => {
  for (const name of ['config', 'process']) {
    const text = await readFile(new URL(`../../spec-schemas/${name}.schema.json`, import.meta.url), 'utf8')
    const visit = (node: unknown): void => {
      if (typeof node !== 'object' || node === null) return
      for (const [key, value] of Object.entries(node)) {
        if (key === 'pattern' && typeof value === 'string') assert.ok(Object.hasOwn(PATTERNS, value), value)
        else visit(value)
      }
    }
    visit(parseJson(text))
  }
})
