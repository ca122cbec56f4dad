/** S4 and S7 (CVE-2019-19921, 2023-27561, 2023-28642, 2025-52881): a /proc or /sys that only looks like one. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { Attacker, Canary, forMs, noCompiler } from '../harness/attack.ts'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { stateOf } from '../harness/pod.ts'
import { berth } from '../harness/run.ts'

const id = `s4-${process.pid}`

/** Replaces a directory of the image by a symlink. */
const link = (bundle: Bundle, name: string, target: string) => {
  rmSync(join(bundle.dir, 'rootfs', name), { recursive: true })
  symlinkSync(target, join(bundle.dir, 'rootfs', name))
}

/** A directory that looks like a procfs. */
const fakeProc = (dir: string) => {
  for (const name of ['self/attr/apparmor', 'self/fd', 'sys/net/ipv4', '1'])
    mkdirSync(join(dir, name), { recursive: true })
  for (const name of ['self/oom_score_adj', 'self/attr/exec', 'self/attr/apparmor/exec', 'sys/net/ipv4/ip_default_ttl'])
    writeFileSync(join(dir, name), 'fake')
}
const untouched = (dir: string) => {
  for (const name of ['self/oom_score_adj', 'self/attr/exec', 'self/attr/apparmor/exec', 'sys/net/ipv4/ip_default_ttl'])
    assert.equal(readFileSync(join(dir, name), 'utf8'), 'fake', name)
}

describe('S4: /proc and /sys', { skip: notHere }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  for (const [name, target] of [
    ['proc', '/etc'],
    ['proc', '../../../../../../..'],
    ['proc', 'nowhere'],
    ['sys', '/etc'],
    ['sys', '/proc/self'],
  ] as const)
    it(`an image whose /${name} is a symlink to ${target} is refused`, async () => {
      using canary = new Canary()
      using bundle = new Bundle()
      link(bundle, name, target.startsWith('..') ? `${target}${canary.dir}` : target)
      const done = await berth(['create', '--bundle', bundle.dir, id])
      assert.equal(done.code, 1)
      assert.match(done.stderr, new RegExp(`mounts\\[\\d+\\]: mount "/${name}".*symlink that is not to be followed`))
      canary.check()
    })

  for (const destination of ['/proc', '/proc/sys', '/proc/self/attr', '/proc/../proc/', 'proc'])
    it(`a volume on ${destination} is refused`, async () => {
      const volume = mkdtempSync(join(tmpdir(), 'berth-fake-'))
      fakeProc(volume)
      using bundle = new Bundle(['/bin/true'], (config) => {
        config.mounts.push({ destination, type: 'bind', source: volume, options: ['rbind'] })
      })
      const done = await berth(['create', '--bundle', bundle.dir, id])
      assert.equal(done.code, 1)
      assert.match(done.stderr, /mounts\[\d+\]|\/mounts\/\d+/)
      assert.match(done.stderr, /\/proc.*(is inside \/proc|can only be a procfs)/)
      untouched(volume)
      rmSync(volume, { recursive: true })
    })

  for (const target of ['/proc', 'proc/sys', '/proc/self/attr', '/etc/../proc/sys/kernel'])
    it(`a volume that the image leads to ${target} is refused`, async () => {
      const volume = mkdtempSync(join(tmpdir(), 'berth-fake-'))
      fakeProc(volume)
      using bundle = new Bundle(['/bin/true'], (config) => {
        config.mounts.push({ destination: '/data', type: 'bind', source: volume, options: ['rbind'] })
      })
      symlinkSync(target, join(bundle.dir, 'rootfs/data'))
      const done = await berth(['create', '--bundle', bundle.dir, id])
      assert.equal(done.code, 1)
      assert.match(done.stderr, /mounts\[\d+\]: mount "\/data".*leads into \/proc through a symlink/)
      rmSync(volume, { recursive: true })
    })
})

describe('S4: a /proc that becomes a symlink', { skip: notHere || noCompiler }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  it('is refused, or a procfs is mounted on /proc itself', async () => {
    using bundle = new Bundle(['/bin/cat', '/proc/self/mountinfo'])
    const proc = join(bundle.dir, 'rootfs/proc')
    rmSync(proc, { recursive: true })
    await using _racer = await Attacker.start('race', 'dangle', proc, '/elsewhere')
    await forMs(Number(process.env.RACE_MS ?? 1500), async () => {
      const done = await berth(['run', '--bundle', bundle.dir, id])
      if (done.code === 0) assert.match(done.stdout, / \/proc .* - proc proc /)
      // A racer that removes the mount point takes the mount along, which is its own loss; what is below is not looked for elsewhere then.
      else
        assert.match(
          done.stderr,
          /mount "\/proc"|(mask|readonly) "\/proc\/.*\(E[A-Z]+ in (openat2|open_tree|move_mount)\)|cat: can't open/,
        )
    })
  })
})

describe('S7: what is written to procfs', { skip: notHere }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  const wishes = (config: Config) => {
    config.linux.sysctl = { 'net.ipv4.ip_default_ttl': '77' }
    config.process.oomScoreAdj = 777
  }
  /** Read by the host, on its own procfs. */
  const landed = async () => {
    const { pid } = await stateOf(id)
    assert.equal(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim(), '777')
    const ttl = execFileSync('nsenter', ['-t', String(pid), '-n', 'cat', '/proc/sys/net/ipv4/ip_default_ttl'], {
      encoding: 'utf8',
    })
    assert.equal(ttl.trim(), '77')
  }

  it('lands in the kernel where the image has a fake /proc and no procfs is mounted', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      wishes(config)
      config.mounts = config.mounts.filter(({ type }: { type: string }) => type !== 'proc')
    })
    const fake = join(bundle.dir, 'rootfs/proc')
    fakeProc(fake)
    const done = await berth(['create', '--bundle', bundle.dir, id])
    assert.equal(done.code, 0, done.stderr)
    await landed()
    untouched(fake)
  })

  it('lands in the kernel where /proc/sys is read-only and files of it are covered', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      wishes(config)
      for (const name of ['sys/kernel/ns_last_pid', 'uptime', 'net/dev'])
        config.mounts.push({ destination: `/proc/${name}`, type: 'bind', source: '/etc/hostname', options: ['bind'] })
      config.linux.readonlyPaths = ['/proc/sys', '/proc/self', '/proc/1']
      config.linux.maskedPaths = ['/proc/sys/net', '/proc/self/attr']
    })
    const done = await berth(['create', '--bundle', bundle.dir, id])
    assert.equal(done.code, 0, done.stderr)
    await landed()
  })

  it('of an exec lands in the kernel where the container has covered its /proc since', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.process.capabilities.bounding.push('CAP_SYS_ADMIN')
      config.process.capabilities.effective.push('CAP_SYS_ADMIN')
      config.process.capabilities.permitted.push('CAP_SYS_ADMIN')
    })
    fakeProc(join(bundle.dir, 'rootfs/fake'))
    const begun = await berth(['run', '--detach', '--bundle', bundle.dir, id])
    assert.equal(begun.code, 0, begun.stderr)
    const covered = await berth(['exec', id, '/bin/mount', '-o', 'bind', '/fake', '/proc'])
    assert.equal(covered.code, 0, covered.stderr)
    const { process: model } = bundle.config
    const wanted = { ...model, oomScoreAdj: 778, args: ['/bin/sleep', '2000'] }
    const file = join(bundle.dir, 'process.json')
    const pidFile = join(bundle.dir, 'pid')
    writeFileSync(file, JSON.stringify(wanted))
    const done = await berth(['exec', '--detach', '--pid-file', pidFile, '--process', file, id])
    assert.equal(done.code, 0, done.stderr)
    const pid = readFileSync(pidFile, 'utf8')
    assert.equal(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim(), '778')
    untouched(join(bundle.dir, 'rootfs/fake'))
  })

  it('and an exec finds itself in the root that the container has moved to since', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.root.readonly = false
      for (const set of ['bounding', 'effective', 'permitted']) config.process.capabilities[set].push('CAP_SYS_ADMIN')
    })
    using canary = new Canary()
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    const script =
      'mkdir -p /new; mount -t tmpfs t /new; mkdir /new/old /new/bin /new/proc; cp /bin/busybox /new/bin; ln -s busybox /new/bin/sh; cd /new; pivot_root . old'
    const moved = await berth(['exec', id, '/bin/sh', '-c', script])
    assert.equal(moved.code, 0, moved.stderr)
    const seen = await berth(['exec', id, '/bin/sh', '-c', `echo in; cat ${canary.file} /old${canary.file}`])
    assert.match(seen.stdout, /^in\n$/)
  })
})
