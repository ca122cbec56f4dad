/** For each property of config.json values that it can't have, and the pointer that the error says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BerthError } from '../../src/errors.ts'
import { stringifyJson } from '../../src/spec/json.ts'
import { loadSpec } from '../../src/spec/load.ts'
import { schemaPaths } from './schema-paths.ts'

// biome-ignore lint/suspicious/noExplicitAny: any part of the document may be changed
type Document = any

const map = () => [{ containerID: 0, hostID: 1000, size: 10 }]
const hook = () => [{ path: '/h', args: ['h'], env: ['A=b'], timeout: 1 }]
const throttle = () => [{ major: 8, minor: 0, rate: 1 }]

/** A valid configuration that has every property. */
const everything = (): Document => ({
  ociVersion: '1.3.0',
  process: {
    terminal: true,
    consoleSize: { height: 1, width: 1 },
    user: { uid: 0, gid: 0, umask: 0, additionalGids: [1] },
    args: ['a'],
    env: ['A=b'],
    cwd: '/',
    capabilities: Object.fromEntries(
      ['bounding', 'effective', 'inheritable', 'permitted', 'ambient'].map((set) => [set, ['CAP_KILL']]),
    ),
    rlimits: [{ type: 'RLIMIT_CORE', soft: 0, hard: 0 }],
    noNewPrivileges: true,
    apparmorProfile: 'p',
    oomScoreAdj: 0,
    scheduler: { policy: 'SCHED_DEADLINE', nice: 0, priority: 0, flags: [], runtime: 1, deadline: 2, period: 3 },
    selinuxLabel: 'l',
    ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 0 },
    execCPUAffinity: { initial: '0', final: '0' },
  },
  root: { path: 'rootfs', readonly: true },
  hostname: 'h',
  domainname: 'd',
  mounts: [
    { destination: '/m', type: 'bind', source: '/s', options: ['rbind'], uidMappings: map(), gidMappings: map() },
  ],
  hooks: Object.fromEntries(
    ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'].map((kind) => [
      kind,
      hook(),
    ]),
  ),
  annotations: { a: 'b' },
  linux: {
    uidMappings: map(),
    gidMappings: map(),
    sysctl: { 'net.ipv4.ip_forward': '1' },
    cgroupsPath: '/c',
    namespaces: ['pid', 'network', 'mount', 'ipc', 'uts', 'user', 'cgroup', 'time'].map((type) => ({ type })),
    devices: [{ type: 'c', path: '/dev/d', major: 1, minor: 3, fileMode: 438, uid: 0, gid: 0 }],
    netDevices: { eth0: { name: 'eth1' } },
    seccomp: {
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 1,
      architectures: ['SCMP_ARCH_X86_64'],
      flags: ['SECCOMP_FILTER_FLAG_LOG'],
      listenerPath: '/l',
      listenerMetadata: 'm',
      syscalls: [
        {
          names: ['read'],
          action: 'SCMP_ACT_ERRNO',
          errnoRet: 2,
          args: [{ index: 0, value: 1, valueTwo: 2, op: 'SCMP_CMP_EQ' }],
        },
      ],
    },
    rootfsPropagation: 'private',
    maskedPaths: ['/a'],
    readonlyPaths: ['/b'],
    mountLabel: 'l',
    intelRdt: {
      closID: 'c',
      schemata: ['L3:0=f'],
      l3CacheSchema: 'L3:0=f',
      memBwSchema: 'MB:0=10',
      enableMonitoring: true,
    },
    memoryPolicy: { mode: 'MPOL_BIND', nodes: '0', flags: ['MPOL_F_STATIC_NODES'] },
    personality: { domain: 'LINUX', flags: [] },
    timeOffsets: { monotonic: { secs: 1, nanosecs: 1 }, boottime: { secs: 1, nanosecs: 1 } },
    resources: {
      devices: [{ allow: true, type: 'c', major: 1, minor: 3, access: 'r' }],
      memory: {
        limit: 1,
        reservation: 1,
        swap: 1,
        kernel: 1,
        kernelTCP: 1,
        swappiness: 1,
        disableOOMKiller: false,
        useHierarchy: true,
        checkBeforeUpdate: true,
      },
      cpu: {
        shares: 2,
        quota: 10000,
        burst: 1,
        period: 10000,
        realtimeRuntime: 1,
        realtimePeriod: 1,
        cpus: '0',
        mems: '0',
        idle: 0,
      },
      pids: { limit: 1 },
      blockIO: {
        weight: 10,
        leafWeight: 10,
        weightDevice: [{ major: 8, minor: 0, weight: 10, leafWeight: 10 }],
        throttleReadBpsDevice: throttle(),
        throttleWriteBpsDevice: throttle(),
        throttleReadIOPSDevice: throttle(),
        throttleWriteIOPSDevice: throttle(),
      },
      hugepageLimits: [{ pageSize: '2MB', limit: 1 }],
      network: { classID: 1, priorities: [{ name: 'eth0', priority: 1 }] },
      rdma: { mlx5: { hcaHandles: 1, hcaObjects: 1 } },
      unified: { 'memory.max': '1' },
    },
  },
})

const INT32 = [2147483648, 1.5, '1', true]
const UINT16 = [-1, 65536, 1.5, '1']
const UINT32 = [-1, 4294967296, 1.5, '1']
const ID = [-1, 4294967295, 0.5, '0']
const INT64 = [9223372036854775808n, -9223372036854775809n, 1.5, '1', 1e30]
const UINT64 = [-1, 18446744073709551616n, 1.5, '1']
const STRING = [7, true, [], {}]
const BOOLEAN = ['true', 0, []]
const ARRAY = [{}, 'a', 1]
const OBJECT = [[], 'a', 1]
const ABSOLUTE = ['', 'a', '../a', 7]
const NAMES = ['', 'x', 7]

type Table = { readonly [path: string]: readonly unknown[] | Table }

const HOOKS: Table = {
  '': ARRAY,
  '/0': {
    '': OBJECT,
    '/path': ABSOLUTE,
    '/args': ARRAY,
    '/args/0': STRING,
    '/env': ARRAY,
    '/env/0': STRING,
    '/timeout': [0, -1, ...INT32],
  },
}
const MAPPINGS: Table = {
  '': ARRAY,
  '/0': { '': OBJECT, '/containerID': ID, '/hostID': ID, '/size': [0, ...UINT32] },
}
const THROTTLES: Table = {
  '': ARRAY,
  '/0': { '': OBJECT, '/major': INT64, '/minor': INT64, '/rate': UINT64 },
}
const OFFSET: Table = { '': OBJECT, '/secs': INT64, '/nanosecs': [1_000_000_000, ...UINT32] }
const STRINGS: Table = { '': ARRAY, '/0': STRING }
const PATHS: Table = { '': ARRAY, '/0': ABSOLUTE }

/** Where a value is wrong, and what is. */
const MALFORMED: Table = {
  '/ociVersion': ['', '1', '2.0.0', 'v1.0.0', '1.0.0.0', ...STRING],
  '/process': {
    '': OBJECT,
    '/terminal': BOOLEAN,
    '/consoleSize': { '': OBJECT, '/height': UINT16, '/width': UINT16 },
    '/user': {
      '': OBJECT,
      '/uid': ID,
      '/gid': ID,
      '/umask': [0o1000, ...UINT32],
      '/additionalGids': ARRAY,
      '/additionalGids/0': ID,
    },
    '/args': [[], ...ARRAY],
    '/args/0': STRING,
    '/env': STRINGS,
    '/cwd': ABSOLUTE,
    '/capabilities': {
      '': OBJECT,
      '/bounding': STRINGS,
      '/effective': STRINGS,
      '/inheritable': STRINGS,
      '/permitted': STRINGS,
      '/ambient': STRINGS,
    },
    '/rlimits': ARRAY,
    '/rlimits/0': { '': OBJECT, '/type': ['RLIMIT_NONE', 'CORE', ...STRING], '/soft': UINT64, '/hard': UINT64 },
    '/noNewPrivileges': BOOLEAN,
    '/apparmorProfile': STRING,
    '/oomScoreAdj': [-1001, 1001, ...INT32],
    '/scheduler': {
      '': OBJECT,
      '/policy': ['SCHED_ISO', ...NAMES],
      '/nice': [-21, 20, ...INT32],
      '/priority': [1, ...INT32],
      '/flags': ARRAY,
      '/flags/0': NAMES,
      '/runtime': UINT64,
      '/deadline': UINT64,
      '/period': UINT64,
    },
    '/selinuxLabel': STRING,
    '/ioPriority': { '': OBJECT, '/class': NAMES, '/priority': [-1, 8, ...INT32] },
    '/execCPUAffinity': {
      '': OBJECT,
      '/initial': ['x', '1-', '3-1', '99999', 7],
      '/final': ['x', '-1', '3-1', '0,,1', 7],
    },
  },
  '/root': { '': OBJECT, '/path': ['', ...STRING], '/readonly': BOOLEAN },
  '/hostname': ['x'.repeat(65), ...STRING],
  '/domainname': ['x'.repeat(65), ...STRING],
  '/mounts': ARRAY,
  '/mounts/0': {
    '': OBJECT,
    '/destination': ['', ...STRING],
    '/type': STRING,
    '/source': STRING,
    '/options': STRINGS,
    '/uidMappings': MAPPINGS,
    '/gidMappings': MAPPINGS,
  },
  '/hooks': {
    '': OBJECT,
    '/prestart': HOOKS,
    '/createRuntime': HOOKS,
    '/createContainer': HOOKS,
    '/startContainer': HOOKS,
    '/poststart': HOOKS,
    '/poststop': HOOKS,
  },
  '/annotations': OBJECT,
  '/annotations/a': STRING,
  '/linux': {
    '': OBJECT,
    '/uidMappings': MAPPINGS,
    '/gidMappings': MAPPINGS,
    '/sysctl': OBJECT,
    '/sysctl/net.ipv4.ip_forward': STRING,
    '/cgroupsPath': ['../c', '/a/../b', ...STRING],
    '/namespaces': ARRAY,
    '/namespaces/0': { '': OBJECT, '/type': ['net', ...NAMES], '/path': ['a', 7] },
    '/devices': ARRAY,
    '/devices/0': {
      '': OBJECT,
      '/type': ['a', ...NAMES],
      '/path': ABSOLUTE,
      '/major': [-1, 4096, ...INT64],
      '/minor': [-1, 1048576, ...INT64],
      '/fileMode': UINT32,
      '/uid': ID,
      '/gid': ID,
    },
    '/netDevices': OBJECT,
    '/netDevices/eth0': OBJECT,
    '/netDevices/eth0/name': ['a/b', 'a b', 'x'.repeat(16), '%d%d', '%s', '..', 7],
    '/seccomp': {
      '': OBJECT,
      '/defaultAction': NAMES,
      '/defaultErrnoRet': [4096, ...UINT32],
      '/architectures': ARRAY,
      '/architectures/0': NAMES,
      '/flags': ARRAY,
      '/flags/0': NAMES,
      '/listenerPath': STRING,
      '/listenerMetadata': STRING,
      '/syscalls': ARRAY,
      '/syscalls/0': {
        '': OBJECT,
        '/names': [[], ...ARRAY],
        '/names/0': ['', 7],
        '/action': NAMES,
        '/errnoRet': [4096, ...UINT32],
        '/args': ARRAY,
        '/args/0': { '': OBJECT, '/index': [6, ...UINT32], '/value': UINT64, '/valueTwo': UINT64, '/op': NAMES },
      },
    },
    '/rootfsPropagation': ['x', 7],
    '/maskedPaths': PATHS,
    '/readonlyPaths': PATHS,
    '/mountLabel': STRING,
    '/intelRdt': {
      '': OBJECT,
      '/closID': ['..', 'a/b', ...STRING],
      '/schemata': ARRAY,
      '/schemata/0': ['L3:0=f\nMB:0=1', ...STRING],
      '/l3CacheSchema': ['L3:0=f\n', ...STRING],
      '/memBwSchema': ['0=10', 'MB:0=1\n', ...STRING],
      '/enableMonitoring': BOOLEAN,
    },
    '/memoryPolicy': {
      '': OBJECT,
      '/mode': NAMES,
      '/nodes': ['', 'x', '1-0', '99999', 7],
      '/flags': ARRAY,
      '/flags/0': ['MPOL_F_NONE', ...NAMES],
    },
    '/personality': { '': OBJECT, '/domain': NAMES, '/flags': [['x'], ...ARRAY], '/flags/0': [7] },
    '/timeOffsets': { '': OBJECT, '/monotonic': OFFSET, '/boottime': OFFSET },
    '/resources': {
      '': OBJECT,
      '/devices': ARRAY,
      '/devices/0': {
        '': OBJECT,
        '/allow': BOOLEAN,
        '/type': ['u', 7],
        '/major': [-2, 4096, ...INT64],
        '/minor': [-2, 1048576, ...INT64],
        '/access': ['x', 'rwx', 7],
      },
      '/memory': {
        '': OBJECT,
        '/limit': [-2, ...INT64],
        '/reservation': [-2, ...INT64],
        '/swap': [-2, ...INT64],
        '/kernel': [-2, ...INT64],
        '/kernelTCP': [-2, ...INT64],
        '/swappiness': UINT64,
        '/disableOOMKiller': BOOLEAN,
        '/useHierarchy': BOOLEAN,
        '/checkBeforeUpdate': BOOLEAN,
      },
      '/cpu': {
        '': OBJECT,
        '/shares': UINT64,
        '/quota': INT64,
        '/burst': UINT64,
        '/period': UINT64,
        '/realtimeRuntime': INT64,
        '/realtimePeriod': UINT64,
        '/cpus': STRING,
        '/mems': STRING,
        '/idle': INT64,
      },
      '/pids': { '': OBJECT, '/limit': INT64 },
      '/blockIO': {
        '': OBJECT,
        '/weight': UINT16,
        '/leafWeight': UINT16,
        '/weightDevice': ARRAY,
        '/weightDevice/0': { '': OBJECT, '/major': INT64, '/minor': INT64, '/weight': UINT16, '/leafWeight': UINT16 },
        '/throttleReadBpsDevice': THROTTLES,
        '/throttleWriteBpsDevice': THROTTLES,
        '/throttleReadIOPSDevice': THROTTLES,
        '/throttleWriteIOPSDevice': THROTTLES,
      },
      '/hugepageLimits': ARRAY,
      '/hugepageLimits/0': { '': OBJECT, '/pageSize': ['2M', '0KB', '2mb', 'x', 7], '/limit': UINT64 },
      '/network': {
        '': OBJECT,
        '/classID': UINT32,
        '/priorities': ARRAY,
        '/priorities/0': { '': OBJECT, '/name': STRING, '/priority': UINT32 },
      },
      '/rdma': OBJECT,
      '/rdma/mlx5': { '': OBJECT, '/hcaHandles': UINT32, '/hcaObjects': UINT32 },
      '/unified': OBJECT,
      '/unified/memory.max': STRING,
    },
  },
}

const rows = (table: Table, at = ''): (readonly [pointer: string, values: readonly unknown[]])[] =>
  Object.entries(table).flatMap(([path, value]) =>
    Array.isArray(value) ? [[at + path, value] as const] : rows(value as Table, at + path),
  )

const put = (document: Document, pointer: string, value: unknown): void => {
  const keys = pointer.split('/').slice(1)
  const last = keys.pop() ?? ''
  const holder = keys.reduce((inner, key) => inner[key], document)
  assert.ok(holder !== undefined && typeof holder === 'object', `${pointer} has no place in the document`)
  holder[last] = value
}

const accept = (document: Document): unknown => loadSpec(stringifyJson(document), 'config.json', { runnable: true })

test('a configuration that has every property is valid', () => {
  accept(everything())
})

for (const [pointer, values] of rows(MALFORMED))
  test(`${pointer}: a malformed value is named with its pointer`, () => {
    for (const value of values) {
      const document = everything()
      put(document, pointer, value)
      try {
        accept(document)
      } catch (error) {
        assert.ok(
          error instanceof BerthError,
          `${stringifyJson(value)}: ${error instanceof Error ? error.stack : error}`,
        )
        assert.equal(error.kind, 'invalid')
        // an element of what is no list of such elements may be what is named
        assert.ok(
          error.pointer === pointer || error.pointer?.startsWith(`${pointer}/`),
          `${stringifyJson(value)}: ${error.message}`,
        )
        continue
      }
      assert.fail(`${stringifyJson(value)} was accepted`)
    }
  })

test('every property of the schemas has its row', () => {
  const names = new Set(['a', 'eth0', 'mlx5', 'memory.max', 'net.ipv4.ip_forward'])
  const covered = rows(MALFORMED).map(([pointer]) =>
    pointer
      .split('/')
      .map((name) => (/^\d+$/.test(name) || names.has(name) ? '*' : name))
      .join('/'),
  )
  assert.deepEqual(
    schemaPaths().filter((path) => !covered.includes(path)),
    [],
  )
})
