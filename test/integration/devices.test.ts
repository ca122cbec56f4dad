/** linux.devices of every kind, and those that each container has. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { leftOver, snapshot, until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

const id = `devices-${process.pid}`
const sh = (...args: string[]) => execFileSync(args[0] ?? '', args.slice(1), { encoding: 'utf8' })
const MAP = [{ containerID: 0, hostID: 100000, size: 65536 }]
const inUserNamespace = (root: string, config: Config) => {
  for (const dir of ['..', '.']) chmodSync(join(root, dir), 0o755)
  config.linux.namespaces.push({ type: 'user' })
  Object.assign(config.linux, { uidMappings: MAP, gidMappings: MAP })
}

describe('devices', { skip: notHere }, () => {
  let before: Set<string>
  beforeEach(() => {
    before = snapshot()
  })
  afterEach(async () => {
    await until('nothing left', () => leftOver(before).length === 0).catch(() => assert.deepEqual(leftOver(before), []))
  })

  const run = async (devices: Config[], script: string, prepare: (root: string, config: Config) => void = () => {}) => {
    using bundle = new Bundle(['/bin/sh', '-c', script], (config) => {
      config.linux.devices = devices
    })
    prepare(join(bundle.dir, 'rootfs'), bundle.config)
    bundle.write()
    return await berth(['run', '--bundle', bundle.dir, id])
  }
  const good = async (...args: Parameters<typeof run>) => {
    const done = await run(...args)
    assert.deepEqual([done.code, done.stderr], [0, ''])
    return done.stdout.trim().split('\n')
  }
  const SHOW = 'stat -c "%n %F %t:%T %a %u:%g"'

  it('makes each kind with its numbers, mode and owner, whatever the umask, in /dev and elsewhere', async () => {
    const devices = [
      { type: 'c', path: '/dev/c', major: 1, minor: 5, fileMode: 0o604, uid: 7, gid: 8 },
      { type: 'u', path: '/dev/u', major: 1, minor: 5, fileMode: 0o100666 },
      { type: 'b', path: '/dev/sub/b', major: 8, minor: 300 },
      { type: 'p', path: '/p', fileMode: 0o622, uid: 1, gid: 2 },
      // a pipe has no numbers, but they may be there
      { type: 'p', path: '/dev/numbered', major: 8, minor: 666, fileMode: 0o600 },
    ]
    const paths = devices.map(({ path }) => path).join(' ')
    assert.deepEqual(await good(devices, `${SHOW} ${paths}`), [
      '/dev/c character special file 1:5 604 7:8',
      '/dev/u character special file 1:5 666 0:0',
      '/dev/sub/b block special file 8:12c 666 0:0',
      '/p fifo 0:0 622 1:2',
      '/dev/numbered fifo 0:0 600 0:0',
    ])
  })

  it('has the default devices and links', async () => {
    const nodes = ['null 1:3', 'zero 1:5', 'full 1:7', 'random 1:8', 'urandom 1:9', 'tty 5:0']
    const links = ['fd', 'stdin', 'stdout', 'stderr', 'ptmx']
    const shown = await good(
      [],
      `cd /dev; stat -c '%n %t:%T %a' ${nodes.map((node) => node.split(' ')[0]).join(' ')}; for l in ${links.join(' ')}; do readlink $l; done`,
    )
    assert.deepEqual(
      shown.slice(0, 6),
      nodes.map((node) => `${node} 666`),
    )
    const to = ['/proc/self/fd', '/proc/self/fd/0', '/proc/self/fd/1', '/proc/self/fd/2', 'pts/ptmx']
    assert.deepEqual(shown.slice(6), to)
  })

  it('takes a node that is there already, if it is the same', async () => {
    const device = { type: 'c', path: '/zero', major: 1, minor: 5, fileMode: 0o600 }
    const there = (minor: string) => (root: string) => void sh('mknod', join(root, 'zero'), 'c', '1', minor)
    assert.deepEqual(await good([device], 'stat -c %t:%T /zero', there('5')), ['1:5'])
    const other = await run([device], 'true', there('3'))
    assert.equal(other.code, 1)
    assert.match(other.stderr, /linux\.devices\[0\].*"\/zero".*exists and is not this device/)
    const file = await run([device], 'true', (root) => writeFileSync(join(root, 'zero'), ''))
    assert.match(file.stderr, /exists and is not this device/)
  })

  it('makes none in a /dev that is somebody else’s', async () => {
    const device = { type: 'c', path: '/dev/mine', major: 1, minor: 5 }
    const shown = await good([device], 'ls /dev', (root, config) => {
      mkdirSync(join(root, '../dev'))
      writeFileSync(join(root, '../dev/theirs'), '')
      const kept = config.mounts.filter(({ destination }: Config) => !destination.startsWith('/dev'))
      config.mounts = [...kept, { destination: '/dev', type: 'bind', source: 'dev', options: ['bind'] }]
      config.linux.maskedPaths = []
    })
    assert.deepEqual(shown, ['theirs'])
  })

  it('binds the host’s in a user namespace, and refuses what the host has otherwise', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'berth-device-'))
    const path = join(dir, 'node')
    sh('mknod', path, 'c', '1', '5')
    const device = { type: 'c', path, major: 1, minor: 5, fileMode: 0o666, uid: 0, gid: 0 }
    chmodSync(dir, 0o755)
    const bindHost = (root: string, config: Config) => {
      inUserNamespace(root, config)
      config.mounts.push({ destination: '/tmp', type: 'tmpfs', source: 'tmpfs' })
    }
    assert.deepEqual(await good([device], `stat -c %t:%T ${path} /dev/null`, bindHost), ['1:5', '1:3'])
    const other = await run([{ ...device, minor: 3 }], 'true', bindHost)
    assert.match(other.stderr, /linux\.devices\[0\].*node".*is another device on the host/)
    rmSync(dir, { recursive: true })
    const none = await run([device], 'true', bindHost)
    assert.match(none.stderr, /linux\.devices\[0\].*node".*ENOENT/)
    const pipe = { type: 'p', path: '/dev/pipe', fileMode: 0o640, uid: 5, gid: 6 }
    assert.deepEqual(await good([pipe], `${SHOW} /dev/pipe`, inUserNamespace), ['/dev/pipe fifo 0:0 640 5:6'])
  })
})
