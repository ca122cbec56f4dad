/** S5, S6, S8 and S9 (CVE-2025-31133, 2025-52565, 2026-41579, 2026-47766, 2026-88264, 2026-88265): a /dev that belongs to the image. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { Attacker, Canary, forMs, noCompiler } from '../harness/attack.ts'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { binary } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

const MS = Number(process.env.RACE_MS ?? 1500)
const id = `s5-${process.pid}`

/** Nothing of the configuration's covers the image's /dev. */
const bareDev = (config: Config) => {
  config.mounts = config.mounts.filter(({ destination }: { destination: string }) => !destination.startsWith('/dev'))
}
const refused = async (bundle: Bundle, says: RegExp, verb = 'create') => {
  const done = await berth([verb, '--bundle', bundle.dir, id])
  assert.equal(done.code, 1, 'was not refused')
  assert.match(done.stderr, says)
}

describe('S5: /dev/null of the image', { skip: notHere || noCompiler }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  for (const target of ['/proc/sysrq-trigger', '/proc/sys/kernel/core_pattern', '../../../../etc/passwd', 'zero'])
    it(`a symlink to ${target} masks nothing: the container is refused`, async () => {
      using bundle = new Bundle(['/bin/true'], bareDev)
      symlinkSync(target, join(bundle.dir, 'rootfs/dev/null'))
      await refused(bundle, /linux\.devices: mknod "\/dev\/null".*exists and is not this device/)
    })

  for (const [name, make] of [
    ['a regular file', (path: string) => writeFileSync(path, 'x')],
    ['a directory', (path: string) => mkdirSync(path)],
    ['another device', (path: string) => execFileSync('mknod', [path, 'c', '1', '5'])],
    ['a block device of the same number', (path: string) => execFileSync('mknod', [path, 'b', '1', '3'])],
    ['a FIFO', (path: string) => execFileSync('mkfifo', [path])],
  ] as const)
    it(`${name} in a /dev from the host masks nothing: the container is refused`, async () => {
      const dev = mkdtempSync(join(tmpdir(), 'berth-dev-'))
      make(join(dev, 'null'))
      using bundle = new Bundle(['/bin/true'], (config) => {
        bareDev(config)
        config.mounts.push({ destination: '/dev', type: 'bind', source: dev, options: ['rbind'] })
      })
      await refused(bundle, /linux\.maskedPaths: mask "\/dev\/null".*is not the null device/)
      rmSync(dev, { recursive: true })
    })

  it('one that is exchanged with a symlink all the time: refused, or what was to be masked is the null device', async () => {
    const dev = mkdtempSync(join(tmpdir(), 'berth-dev-'))
    execFileSync('mknod', [join(dev, 'null'), 'c', '1', '3'])
    symlinkSync('/proc/sysrq-trigger', join(dev, 'evil'))
    using bundle = new Bundle(['/bin/stat', '-c', '%F %t %T', '/proc/timer_list'], (config) => {
      bareDev(config)
      config.mounts.push({ destination: '/dev', type: 'bind', source: dev, options: ['rbind'] })
      config.linux.maskedPaths = ['/proc/timer_list']
    })
    {
      await using _racer = await Attacker.start('race', 'swap', join(dev, 'null'), join(dev, 'evil'))
      await forMs(MS, async () => {
        const done = await berth(['run', '--bundle', bundle.dir, id])
        if (done.code === 0) assert.equal(done.stdout, 'character special file 1 3\n')
        else assert.match(done.stderr, /linux\.maskedPaths: mask "\/dev\/null"/)
      })
    }
    rmSync(dev, { recursive: true })
  })
})

describe('S6, S9: terminals', { skip: notHere || noCompiler }, () => {
  afterEach(() => berth(['delete', '--force', id]))
  const withTerminal = (config: Config) => {
    config.process.terminal = true
  }

  it('a /dev/pts that is no devpts gives no terminal, and nothing in it is opened', async () => {
    for (const make of [
      (path: string) => execFileSync('mkfifo', [path]),
      (path: string) => execFileSync('mknod', [path, 'c', '5', '2']),
      (path: string) => symlinkSync('/proc/self/fd/4', path),
      (path: string) => writeFileSync(path, ''),
    ]) {
      using bundle = new Bundle(['/bin/true'], (config) => {
        withTerminal(config)
        bareDev(config)
      })
      mkdirSync(join(bundle.dir, 'rootfs/dev/pts'))
      make(join(bundle.dir, 'rootfs/dev/pts/ptmx'))
      await refused(bundle, /terminal "\/dev\/pts".*is not a devpts.*mount it there/, 'run')
    }
  })

  for (const [name, target] of [
    ['a file of the host', (canary: Canary) => canary.file],
    ['a file above the root', (canary: Canary) => `../../../../../../..${canary.file}`],
    ['a file that is not there', (canary: Canary) => join(canary.dir, 'new')],
    ['its own /proc', () => '/proc/sysrq-trigger'],
  ] as const)
    it(`a /dev/console that is a symlink to ${name} is not followed`, async () => {
      using canary = new Canary()
      using bundle = new Bundle(['/bin/true'], (config) => {
        withTerminal(config)
        config.mounts = config.mounts.filter(({ destination }: { destination: string }) => destination !== '/dev')
      })
      symlinkSync(target(canary), join(bundle.dir, 'rootfs/dev/console'))
      await refused(bundle, /terminal "\/dev\/console".*is neither a file nor a character device/, 'run')
      canary.check()
    })

  it('a /dev/console that is exchanged with a symlink all the time: refused, or the terminal is on the console itself', async () => {
    const dev = mkdtempSync(join(tmpdir(), 'berth-dev-'))
    using canary = new Canary()
    execFileSync('mknod', [join(dev, 'null'), 'c', '1', '3'])
    mkdirSync(join(dev, 'pts'))
    writeFileSync(join(dev, 'console'), '')
    symlinkSync(canary.file, join(dev, 'evil'))
    using bundle = new Bundle(['/bin/true'], (config) => {
      withTerminal(config)
      config.mounts = config.mounts.filter(
        ({ destination }: { destination: string }) => !destination.startsWith('/dev') || destination === '/dev/pts',
      )
      config.mounts.unshift({ destination: '/dev', type: 'bind', source: dev, options: ['rbind'] })
    })
    {
      await using _racer = await Attacker.start('race', 'swap', join(dev, 'console'), join(dev, 'evil'))
      await forMs(MS, async () => {
        const done = await berth(['run', '--bundle', bundle.dir, id])
        if (done.code !== 0) assert.match(done.stderr, /terminal "\/dev\/console"/)
        canary.check()
      })
    }
    rmSync(dev, { recursive: true })
  })
})

describe('S8: /dev itself', { skip: notHere }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  for (const [name, target] of [
    ['by a path of ..', (canary: Canary) => `../../../../../../..${canary.dir}`],
    ['by an absolute path', (canary: Canary) => canary.dir],
    ['into the image', () => '/etc'],
    ['to nothing', () => '/nowhere'],
  ] as const)
    it(`a symlink ${name}: nothing is made or removed through it`, async () => {
      using canary = new Canary()
      using bundle = new Bundle(['/bin/true'], bareDev)
      const rootfs = join(bundle.dir, 'rootfs')
      rmSync(join(rootfs, 'dev'), { recursive: true })
      symlinkSync(target(canary), join(rootfs, 'dev'))
      const before = readdirSync(join(rootfs, 'etc'))
      await refused(bundle, /linux\.devices: mknod "\/dev\/null".*symlink that is not to be followed/)
      canary.check()
      assert.deepEqual(readdirSync(join(rootfs, 'etc')), before)
      assert.ok(!readdirSync(rootfs).includes('nowhere'))
    })

  it('a directory below it that is a symlink, for a device of the configuration', async () => {
    using canary = new Canary()
    using bundle = new Bundle(['/bin/true'], (config) => {
      bareDev(config)
      config.linux.devices = [{ type: 'c', path: '/dev/net/tun', major: 10, minor: 200 }]
    })
    symlinkSync(canary.dir, join(bundle.dir, 'rootfs/dev/net'))
    await refused(bundle, /linux\.devices.*mknod "\/dev\/net\/tun".*symlink that is not to be followed/)
    canary.check()
  })
})

describe('S9: owners', { skip: notHere }, () => {
  afterEach(() => berth(['delete', '--force', id]))
  const asUser = (config: Config) => {
    config.process.user = { uid: 1000, gid: 1000 }
  }

  it('of nodes that the image has are left alone, and so are those of what has their number', async () => {
    using bundle = new Bundle(['/bin/true'], (config) => {
      bareDev(config)
      config.linux.devices = [{ type: 'c', path: '/dev/null', major: 1, minor: 3, uid: 1000, gid: 1000 }]
    })
    const node = join(bundle.dir, 'rootfs/dev/null')
    execFileSync('mknod', ['-m', '600', node, 'c', '1', '3'])
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    assert.deepEqual([statSync(node).uid, statSync(node).mode & 0o777], [0, 0o600])
  })

  it('of the host’s devices and of files given for reading stay, of files given for writing and of pipes go to the user', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'stat -L -c %u /proc/self/fd/2'], asUser)
    chmodSync(join(bundle.dir, 'rootfs'), 0o755)
    const [read, write, device] = ['read', 'write', 'device'].map((name) => join(bundle.dir, name)) as [
      string,
      string,
      string,
    ]
    writeFileSync(read, 'secret', { mode: 0o644 })
    writeFileSync(write, '')
    execFileSync('mknod', ['-m', '666', device, 'c', '1', '5'])
    execFileSync('/bin/sh', [
      '-c',
      `"$0" run --bundle "$1" "$2" <"$3" >"$4" 2>"$5"`,
      binary,
      bundle.dir,
      id,
      read,
      write,
      device,
    ])
    assert.deepEqual(
      [read, write, device].map((path) => statSync(path).uid),
      [0, 1000, 0],
    )
    assert.equal(execFileSync('cat', [write], { encoding: 'utf8' }), '0\n')
    const piped = execFileSync(
      '/bin/sh',
      ['-c', `"$0" run --bundle "$1" "$2" </dev/null 2>&1 | cat`, binary, bundle.dir, id],
      { encoding: 'utf8' },
    )
    assert.equal(piped, '1000\n')
    assert.deepEqual([statSync('/dev/null').uid, statSync('/dev/zero').uid], [0, 0])
  })
})
