/** Root file systems of every kind that containerd's snapshotters describe, mounted by a shim and taken down again. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  accessSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { RpcError } from '../../shim/ttrpc/status.ts'
import { type Config, makeRootfs, notHere } from '../harness/bundle.ts'
import { nothingLeft, snapshot } from '../harness/host.ts'
import { closeClients, eventsSocket, Image, type Mount, Task } from '../harness/life.ts'
import { Daemon } from '../harness/shim.ts'

/** Why images can't be mounted here, or false. */
const noLoop = ((): string | false => {
  try {
    accessSync('/dev/loop-control')
    execFileSync('losetup', ['--find'], { stdio: 'ignore' })
    return false
  } catch {
    return 'needs a loop device'
  }
})()
const has = (program: string): boolean =>
  ['/usr/sbin', '/sbin', '/usr/bin', '/usr/local/sbin'].some((dir) => existsSync(join(dir, program)))
const mountsWith = (text: string): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(text))

describe('root file systems', { skip: notHere }, () => {
  let daemon: Daemon
  let image: Image
  let before: Set<string>
  let events: ReturnType<typeof eventsSocket>
  beforeEach(() => {
    before = snapshot()
    daemon = new Daemon()
    image = new Image()
    events = eventsSocket(daemon)
  })
  afterEach(async () => {
    closeClients()
    events.close()
    assert.deepEqual(mountsWith(daemon.dir), [])
    daemon[Symbol.dispose]()
    image[Symbol.dispose]()
    await nothingLeft(before)
  })

  /** The exit code of a shell script on this root file system. */
  const run = async (
    id: string,
    script: string,
    rootfs: readonly Mount[],
    change?: (config: Config) => void,
  ): Promise<number> => {
    const config = image.config(['/bin/sh', '-ec', script])
    config.root.readonly = false
    change?.(config)
    const task = await Task.start(daemon, id, config)
    // Whoever is root in a user namespace has to get there, as in containerd's own directories.
    for (const path of [daemon.dir, task.bundle, join(task.bundle, 'rootfs')]) chmodSync(path, 0o711)
    return await task.live(daemon, { rootfs })
  }
  const refused = async (id: string, rootfs: readonly Mount[]): Promise<string> => {
    const task = await Task.start(daemon, id, image.config(['/bin/true']))
    const error = await task.create({ rootfs }).catch((reason: unknown) => reason)
    assert.ok(error instanceof RpcError)
    await task.call('Shutdown', new Uint8Array())
    task.client.close()
    await daemon.delete(id)
    return error.message
  }
  const dir = (name: string): string => {
    const path = join(daemon.dir, 'layers', name)
    mkdirSync(path, { recursive: true })
    return path
  }

  it('binds, for reading only and for writing', async () => {
    const bind = (...options: string[]) => [{ type: 'bind', source: image.dir, options: ['rbind', ...options] }]
    assert.equal(await run('ro', '! touch /x', bind('ro')), 0)
    assert.equal(await run('rw', 'touch /x', bind('rw')), 0)
    assert.ok(existsSync(join(image.dir, 'x')))
    assert.equal(await run('nodev', 'grep -q " / rw,nosuid,nodev" /proc/self/mountinfo', bind('nosuid', 'nodev')), 0)
  })

  it('an overlay of a hundred layers, whose names take more than a page', async () => {
    const snapshots = 'snapshots-of-a-snapshotter-with-a-long-name'
    const layers = Array.from({ length: 100 }, (_, index) => {
      const layer = dir(`${snapshots}/${index}/fs`)
      writeFileSync(join(layer, `f${index}`), '')
      return layer
    })
    const base = dir(`${snapshots}/base/fs`)
    makeRootfs(base)
    const lower = `lowerdir=${[...layers, base].join(':')}`
    assert.ok(lower.length > 4096)
    const options = [`upperdir=${dir('upper')}`, `workdir=${dir('work')}`, lower]
    const overlay = { type: 'overlay', source: 'overlay', options }
    assert.equal(await run('hundred', 'test -e /f0 && test -e /f99 && touch /new', [overlay]), 0)
    assert.ok(existsSync(join(dir('upper'), 'new')))
  })

  it('an image on a loop device, for reading only and for writing', {
    skip: noLoop || (!has('mkfs.ext4') && 'needs e2fsprogs'),
  }, async () => {
    const file = join(daemon.dir, 'image.ext4')
    execFileSync('truncate', ['-s', '32M', file])
    execFileSync('mkfs.ext4', ['-q', '-d', image.dir, file])
    const mount = (...options: string[]) => [{ type: 'ext4', source: file, options: ['loop', ...options] }]
    assert.equal(await run('loop-rw', 'touch /written', mount()), 0)
    assert.equal(await run('loop-ro', 'test -e /written && ! touch /x', mount('ro')), 0)
    assert.equal(await run('loop-direct', 'test -e /written', mount('ro', 'direct-io')), 0)
    const attached = execFileSync('losetup', ['-j', file], { encoding: 'utf8' })
    assert.equal(attached, '')
  })

  it('an overlay and a bind whose ids are mapped', async () => {
    const base = dir('mapped/base')
    makeRootfs(base)
    writeFileSync(join(base, 'mine'), '')
    chownSync(join(base, 'mine'), 5, 6)
    const map = ['uidmap=0:200000:65536', 'gidmap=0:300000:65536']
    const upper = dir('mapped-upper')
    chownSync(upper, 200000, 300000)
    const options = [
      ...map,
      `lowerdir=${dir('mapped/top')}:${base}`,
      `upperdir=${upper}`,
      `workdir=${dir('mapped-work')}`,
    ]
    const inUserNamespace = (config: Config) => {
      config.linux.namespaces.push({ type: 'user' })
      config.linux.uidMappings = [{ containerID: 0, hostID: 200000, size: 65536 }]
      config.linux.gidMappings = [{ containerID: 0, hostID: 300000, size: 65536 }]
    }
    const script = 'test "$(stat -c %u:%g /mine)" = 5:6 && test "$(stat -c %u:%g /bin/busybox)" = 0:0'
    assert.equal(
      await run('overlay-map', script, [{ type: 'overlay', source: 'overlay', options }], inUserNamespace),
      0,
    )
    const bind = { type: 'bind', source: base, options: ['rbind', ...map] }
    assert.equal(await run('bind-map', script, [bind], inUserNamespace), 0)
  })

  it('a mount below the root does not follow its symlinks out of it', async () => {
    const outside = dir('outside')
    symlinkSync(outside, join(image.dir, 'escape'))
    mkdirSync(join(image.dir, outside), { recursive: true })
    const rootfs = [
      { type: 'bind', source: image.dir, options: ['rbind', 'rw'] },
      { type: 'tmpfs', source: 'tmpfs', target: 'escape', options: ['size=1m'] },
    ]
    assert.equal(await run('escape', `touch /escape/inside; test -e ${outside}/inside`, rootfs), 0)
    assert.equal(existsSync(join(outside, 'inside')), false)
  })

  it('types that a helper mounts', {
    skip: !has('fuse-overlayfs') || !has('mount.fuse3') ? 'needs fuse3 and fuse-overlayfs' : false,
  }, async () => {
    const options = [`lowerdir=${image.dir}`, `upperdir=${dir('fuse-upper')}`, `workdir=${dir('fuse-work')}`]
    const rootfs = [{ type: 'fuse3.fuse-overlayfs', source: 'overlay', options }]
    assert.equal(await run('fuse', 'touch /new', rootfs), 0)
    assert.ok(existsSync(join(dir('fuse-upper'), 'new')))
  })

  it('malformed ones are refused, and leave nothing', async () => {
    const good = { type: 'bind', source: image.dir, options: ['rbind'] }
    const cases: readonly (readonly [Mount, RegExp])[] = [
      [{ type: 'nofs', source: 'x' }, /create failed: mount ".*rootfs": no such device \(ENODEV\)/],
      [{ type: 'bind', source: '/nowhere', options: ['bind'] }, /no such file or directory/],
      [{ type: 'tmpfs', target: 'missing', options: [] }, /mount "missing": no such file or directory/],
      [{ type: 'ext4', source: '/nowhere.img', options: ['loop'] }, /\/nowhere.img/],
      [{ type: 'overlay', options: ['uidmap=0:1:1', 'gidmap=0:1:1', 'lowerdir=/nowhere/a:/nowhere/b'] }, /"\/nowhere"/],
      [{ type: 'format/bind', source: 'x' }, /mount manager/],
      [{ type: 'fuse.nothing-of-this-name', source: 'x' }, /mount.fuse/],
    ]
    for (const [index, [mount, message]] of cases.entries()) {
      assert.match(await refused(`bad${index}`, [good, mount]), message)
      assert.deepEqual(mountsWith(daemon.dir), [])
    }
    rmSync(join(daemon.dir, 'layers'), { recursive: true, force: true })
  })
})
