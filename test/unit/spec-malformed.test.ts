/** A malformed value of each property about file system, namespaces and devices: refused, with where it stands. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BerthError } from '../../src/errors.ts'
import { compileCreate } from '../../src/plan/create.ts'
import { loadSpec } from '../../src/spec/load.ts'
import { input } from './plan-fixture.ts'

const MAP = [{ containerID: 0, hostID: 1000, size: 1 }]
const mount = (change: object) => ({ mounts: [{ destination: '/a', type: 'tmpfs', ...change }] })
const linux = (change: object) => ({ linux: { namespaces: [{ type: 'mount' }], ...change } })
const device = (change: object) => linux({ devices: [{ type: 'c', path: '/d', major: 1, minor: 3, ...change }] })
const namespace = (...more: object[]) => linux({ namespaces: [{ type: 'mount' }, ...more] })

const MALFORMED: readonly (readonly [pointer: string, change: object])[] = [
  ['/root/path', { root: {} }],
  ['/root/path', { root: { path: 5 } }],
  ['/root/readonly', { root: { path: 'r', readonly: 'yes' } }],
  ['/mounts', { mounts: {} }],
  ['/mounts/0/destination', { mounts: [{ type: 'tmpfs' }] }],
  ['/mounts/0/type', mount({ type: 1 })],
  ['/mounts/0/source', mount({ source: [] })],
  ['/mounts/0/options', mount({ options: 'ro' })],
  ['/mounts/0/options/1', mount({ options: ['ro', 1] })],
  ['/mounts/0', mount({ uidMappings: MAP })],
  ['/mounts/0', mount({ gidMappings: MAP })],
  ['/mounts/0/uidMappings/0/size', mount({ uidMappings: [{ containerID: 0, hostID: 0 }], gidMappings: MAP })],
  [
    '/mounts/0/gidMappings/0/hostID',
    mount({ uidMappings: MAP, gidMappings: [{ containerID: 0, hostID: -1, size: 1 }] }),
  ],
  [
    '/mounts/0/uidMappings/0',
    mount({ uidMappings: [{ containerID: 9, hostID: 0, size: 4294967294 }], gidMappings: MAP }),
  ],
  ['/mounts/0/options', mount({ options: ['idmap'] })],
  ['/mounts/0/options', mount({ options: ['ridmap'] })],
  ['/mounts/0', mount({ destination: '/' })],
  ['/mounts/0', mount({ type: undefined })],
  ['/mounts/0', mount({ type: 'bind' })],
  ['/mounts/0', mount({ destination: '/proc/sys' })],
  ['/linux/namespaces', linux({ namespaces: 'mount' })],
  ['/linux/namespaces/1/type', namespace({ path: '/x' })],
  ['/linux/namespaces/1/type', namespace({ type: 'disk' })],
  ['/linux/namespaces/1/path', namespace({ type: 'uts', path: 'relative' })],
  ['/linux/namespaces/2', namespace({ type: 'uts' }, { type: 'uts', path: '/x' })],
  ['/linux/uidMappings', namespace({ type: 'user' })],
  ['/linux/gidMappings', linux({ gidMappings: MAP })],
  ['/linux/uidMappings/0/containerID', linux({ uidMappings: [{ hostID: 0, size: 1 }] })],
  ['/linux/timeOffsets', linux({ timeOffsets: { monotonic: { secs: 1 } } })],
  ['/linux/timeOffsets/boottime/nanosecs', linux({ timeOffsets: { boottime: { nanosecs: -1 } } })],
  ['/linux/timeOffsets/monotonic/secs', linux({ timeOffsets: { monotonic: { secs: '1' } } })],
  ['/hostname', { hostname: 'x', ...linux({}) }],
  ['/hostname', { hostname: 'x'.repeat(65), ...namespace({ type: 'uts' }) }],
  ['/domainname', { domainname: 'x', ...linux({}) }],
  ['/linux/sysctl/net.x', linux({ sysctl: { 'net.x': '1' } })],
  ['/linux/sysctl/kernel.panic', linux({ sysctl: { 'kernel.panic': '1' } })],
  ['/linux/sysctl/net.x', linux({ sysctl: { 'net.x': 1 } })],
  ['/linux/devices/0/type', device({ type: 'x' })],
  ['/linux/devices/0/path', device({ path: undefined })],
  ['/linux/devices/0/major', device({ major: undefined })],
  ['/linux/devices/0/minor', device({ minor: 1048576 })],
  ['/linux/devices/0/fileMode', device({ fileMode: 'rw' })],
  ['/linux/devices/0/uid', device({ uid: -1 })],
  ['/linux/devices/0/gid', device({ gid: 4294967295 })],
  ['/linux/rootfsPropagation', linux({ rootfsPropagation: 'sideways' })],
  ['/linux/maskedPaths', linux({ maskedPaths: '/proc/kcore' })],
  ['/linux/maskedPaths/0', linux({ maskedPaths: [1] })],
  ['/linux/readonlyPaths', linux({ readonlyPaths: {} })],
  ['/linux/readonlyPaths/1', linux({ readonlyPaths: ['/a', null, 1] })],
  ['/linux/mountLabel', linux({ mountLabel: 5 })],
]

test('each is refused, and the pointer leads to it', () => {
  for (const [pointer, change] of MALFORMED) {
    const document = { ociVersion: '1.3.0', root: { path: 'r' }, ...linux({}), ...change }
    const text = JSON.stringify(document)
    try {
      compileCreate(input(loadSpec(text).spec))
    } catch (error) {
      assert.ok(error instanceof BerthError, `${text}: ${error}`)
      assert.deepEqual([error.pointer, error.kind], [pointer, 'invalid'], `${text}: ${error.message}`)
      continue
    }
    assert.fail(`${text}: is taken`)
  }
})
