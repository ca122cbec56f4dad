/** The mounts of a root file system, as operations. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { helpersOf, rootfsPlan } from '../../shim/mounts.ts'
import type { containerd } from '../../shim/proto/messages.gen.js'
import type { Op } from '../../src/plan/ops.ts'

type Mount = containerd.task.Mount.$Properties

const plan = (...mounts: Mount[]) =>
  rootfsPlan({ mounts, rootfs: '/b/rootfs', dir: '/s/c1', helpers: new Map([['mount.fuse3', '/sbin/mount.fuse3']]) })
const mountsOf = (...mounts: Mount[]) => plan(...mounts).make.filter((op) => op.op === 'mount')

describe("a root file system's mounts", () => {
  test('flags and data are told apart, and each target stays in the root', () => {
    const [overlay, below] = mountsOf(
      { type: 'overlay', source: 'overlay', options: ['lowerdir=/a:/b', 'ro', 'noatime', 'rw', 'index=off'] },
      { type: 'tmpfs', source: 'tmpfs', target: 'etc/../../x', options: [] },
    )
    assert.deepEqual(
      [overlay?.target, overlay?.root, overlay?.flags, overlay?.data],
      ['/b/rootfs', '', 1024n, 'lowerdir=/a:/b,index=off'],
    )
    assert.deepEqual([below?.target, below?.root], ['etc/../../x', '/b/rootfs'])
  })

  test('an image goes on a loop device', () => {
    const [image] = mountsOf({ type: 'erofs', source: '/i.img', options: ['ro', 'loop', 'direct-io', 'acl'] })
    assert.deepEqual([image?.loop, image?.flags, image?.data], [3, 1n, 'acl'])
    assert.equal(mountsOf({ type: 'ext4', source: '/dev/vdb', options: ['direct-io'] })[0]?.data, 'direct-io')
  })

  test('the layers of a mapped overlay are reached through a mapped mount that goes again', () => {
    const { make, undo } = plan({
      type: 'overlay',
      options: ['uidmap=0:1000:10,10:5000:5', 'gidmap=0:7:1', 'lowerdir=/s/2/fs:/s/1\\:x/fs', 'upperdir=/s/3/fs'],
    })
    const names = make.map(({ op }) => op)
    assert.deepEqual(names.slice(1), [
      'mkdir',
      'map-ids',
      'mount-source',
      'attach',
      'close',
      'close',
      'mount',
      'umount',
      'rmdir',
    ])
    const find = <N extends Op['op']>(name: N) => make.find((op): op is Extract<Op, { op: N }> => op.op === name)
    assert.equal(find('map-ids')?.uidMap, '0 1000 10\n10 5000 5\n')
    assert.equal(find('mount-source')?.path, '/s')
    assert.equal(find('mount')?.data, 'lowerdir=/s/c1/layers/2/fs:/s/c1/layers/1\\:x/fs,upperdir=/s/3/fs')
    assert.deepEqual(
      undo.map((op) => op.op === 'umount' && op.path),
      ['/b/rootfs', '/s/c1/layers'],
    )
  })

  test('one layer alone lies in its own parent', () => {
    const options = ['uidmap=0:1:1', 'gidmap=0:1:1', 'lowerdir=/s/2/fs']
    const source = plan({ type: 'overlay', options }).make.find((op) => op.op === 'mount-source')
    assert.equal(source?.op === 'mount-source' && source.path, '/s/2')
  })

  test('any other file system is mapped as it is mounted', () => {
    const { make } = plan({ type: 'bind', source: '/r', options: ['rbind', 'uidmap=0:1:1', 'gidmap=0:1:1'] })
    assert.deepEqual(
      make.map(({ op }) => op),
      ['mkdir', 'mount', 'map-ids', 'mount-source', 'attach', 'close', 'close'],
    )
  })

  test('a helper mounts what is of its type', () => {
    const mount = { type: 'fuse3.fuse-overlayfs', source: 'overlay', options: ['lowerdir=/a', 'ro'] }
    assert.deepEqual(helpersOf([mount, { type: 'fuse.x' }, mount]), ['mount.fuse3', 'mount.fuse'])
    const hook = plan(mount).make.at(-1)
    assert.ok(hook?.op === 'hook')
    const args = ['mount.fuse3', 'overlay', '/b/rootfs', '-o', 'lowerdir=/a', '-o', 'ro', '-t', 'fuse-overlayfs']
    assert.deepEqual([hook.path, hook.args], ['/sbin/mount.fuse3', args])
  })

  const BAD: readonly (readonly [Mount, RegExp])[] = [
    [{ type: 'fuse.x' }, /rootfs\[0\]: mount type "fuse.x" needs mount.fuse, which is not installed/],
    [{ type: 'format/overlay' }, /mount type "format\/overlay" is for containerd's mount manager/],
    [
      { type: 'bind', options: ['X-containerd.mkdir.path=/x'] },
      /option "X-containerd.* is for containerd's mount manager/,
    ],
    [{ type: 'bind', options: ['uidmap=0:0:1'] }, /uidmap and gidmap have to be given together/],
    [{ type: 'bind', options: ['uidmap=0:0', 'gidmap=0:0:1'] }, /"uidmap=0:0" has no ranges/],
    [{ type: 'bind', options: ['uidmap=0:0:4294967296', 'gidmap=0:0:1'] }, /has no ranges/],
    [{ type: 'bind', options: ['uidmap=0:0:0', 'gidmap=0:0:1'] }, /has no ranges/],
    [{ type: 'overlay', options: ['uidmap=0:0:1', 'gidmap=0:0:1'] }, /lowerdir has to name layers by absolute paths/],
    [{ type: 'overlay', options: ['uidmap=0:0:1', 'gidmap=0:0:1', 'lowerdir=/a/x:/b/y'] }, /no common directory/],
    [
      { type: 'bind', target: 'x', options: ['bind', 'uidmap=0:0:1', 'gidmap=0:0:1'] },
      /at the root of the file system only/,
    ],
  ]
  for (const [mount, message] of BAD)
    test(`refused: ${mount.type} ${mount.options?.join(',') ?? ''}`, () => assert.throws(() => plan(mount), message))
})
