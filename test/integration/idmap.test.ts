/** Idmapped mounts, and binds of what a user namespace can't reach, on the real kernel. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { leftOver, snapshot, until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

const id = `idmap-${process.pid}`
const map = (containerID: number, hostID: number, size = 65536) => [{ containerID, hostID, size }]
const mappings = (containerID: number, hostID: number, size?: number) => ({
  uidMappings: map(containerID, hostID, size),
  gidMappings: map(containerID, hostID, size),
})
const inUserNamespace = (config: Config) => {
  config.linux.namespaces.push({ type: 'user' })
  Object.assign(config.linux, mappings(0, 100000))
}

describe('idmapped mounts', { skip: notHere }, () => {
  let before: Set<string>
  let source: string
  beforeEach(() => {
    before = snapshot()
    source = mkdtempSync(join(tmpdir(), 'berth-idmap-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'idmap', source])
    for (const [name, owner] of [
      ['root', 0],
      ['user', 1000],
    ] as const) {
      writeFileSync(join(source, name), name)
      chownSync(join(source, name), owner, owner)
    }
    mkdirSync(join(source, 'below'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'below', join(source, 'below')])
    writeFileSync(join(source, 'below/file'), '')
  })
  afterEach(async () => {
    execFileSync('umount', ['-R', source])
    rmSync(source, { recursive: true })
    await until('nothing left', () => leftOver(before).length === 0).catch(() => assert.deepEqual(leftOver(before), []))
  })
  const run = async (mount: Config, script: string, change: (config: Config) => void = () => {}) => {
    using bundle = new Bundle(['/bin/sh', '-c', script], (config) => {
      change(config)
      config.mounts.push({ destination: '/data', type: 'bind', source, ...mount })
    })
    // a root that is another user on the host has to be able to reach its root file system, and can make nothing in it
    for (const dir of ['data', 'new']) mkdirSync(join(bundle.dir, 'rootfs', dir))
    for (const dir of ['', 'rootfs']) chmodSync(join(bundle.dir, dir), 0o755)
    return await berth(['run', '--bundle', bundle.dir, id])
  }
  const owners = 'cd /data; stat -c "%n %u:%g" root user below below/file'
  const shown = async (...args: Parameters<typeof run>) => {
    const done = await run(...args)
    assert.equal(done.stderr, '')
    return done.stdout.trim().split('\n')
  }

  it('maps by the mount’s own mappings, the top only or the tree', async () => {
    const top = await shown({ options: ['rbind', 'idmap'], ...mappings(0, 500) }, owners)
    assert.deepEqual(top, ['root 500:500', 'user 1500:1500', 'below 0:0', 'below/file 0:0'])
    const tree = await shown({ options: ['rbind', 'ridmap'], ...mappings(0, 500) }, owners)
    assert.deepEqual(tree, ['root 500:500', 'user 1500:1500', 'below 500:500', 'below/file 500:500'])
  })

  it('maps where only mappings say so, and what is outside of them belongs to nobody', async () => {
    const some = await shown({ options: ['bind'], ...mappings(0, 7, 1) }, 'cd /data; stat -c "%n %u" root user')
    assert.deepEqual(some, ['root 7', 'user 65534'])
  })

  it('maps what is written, back to the disk', async () => {
    await shown({ options: ['bind'], ...mappings(0, 500) }, 'echo x >/data/new', (config) => {
      config.process.user = { uid: 500, gid: 500 }
    })
    assert.equal(execFileSync('stat', ['-c', '%u:%g', join(source, 'new')], { encoding: 'utf8' }), '0:0\n')
  })

  it('maps by the user namespace of the container where the mount has no mappings', async () => {
    const done = await shown({ options: ['rbind', 'idmap'] }, owners, inUserNamespace)
    assert.deepEqual(done, ['root 0:0', 'user 1000:1000', 'below 65534:65534', 'below/file 65534:65534'])
  })

  it('maps a new tmpfs', async () => {
    const mount = { destination: '/new', type: 'tmpfs', source: 'tmpfs', options: ['mode=755'], ...mappings(0, 300) }
    assert.deepEqual(await shown(mount, 'stat -c %u:%g /new'), ['300:300'])
  })

  it('binds what the root of a user namespace could not reach', async () => {
    chmodSync(source, 0o700)
    const done = await shown({ source: join(source, 'below'), options: ['bind'] }, 'ls /data', inUserNamespace)
    assert.deepEqual(done, ['file'])
  })

  it('does not let a mount of the host’s come back, nor one of the container’s go out', async () => {
    execFileSync('mount', ['--make-rshared', source])
    const script = 'grep -c " /data.* shared:" /proc/self/mountinfo; mount -t tmpfs x /data/below; echo mounted'
    const done = await shown({ options: ['rbind'] }, script, (config) => {
      inUserNamespace(config)
      config.process.capabilities.effective.push('CAP_SYS_ADMIN')
      config.process.capabilities.permitted.push('CAP_SYS_ADMIN')
      config.process.capabilities.bounding.push('CAP_SYS_ADMIN')
    })
    assert.deepEqual(done, ['0', 'mounted'])
    const lines = execFileSync('grep', ['-c', ` ${source}/below `, '/proc/self/mountinfo'], { encoding: 'utf8' })
    assert.equal(lines, '1\n')
  })

  it('names the mount, the file system and what the kernel lacks', async () => {
    const done = await run({ source: '/sys/kernel', options: ['bind', 'idmap'], ...mappings(0, 500) }, 'true')
    assert.equal(done.code, 1)
    assert.match(done.stderr, /mounts\[\d+\]: open mount "\/sys\/kernel".*\(sysfs\) cannot map ids on this kernel/)
  })
})
