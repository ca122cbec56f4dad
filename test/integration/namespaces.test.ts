/** Namespaces of every type, new, joined and the host's, alone and together, on the real kernel. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { ourProcesses, until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `ns-${process.pid}`
const FILES = { pid: 'pid', network: 'net', ipc: 'ipc', uts: 'uts', cgroup: 'cgroup', time: 'time', user: 'user' }
type Type = keyof typeof FILES
const MAP = [{ containerID: 0, hostID: 100000, size: 65536 }]
/** Prints what the script's namespaces are, a line each. */
const SHOW = `for n in ${Object.values(FILES).join(' ')}; do echo $n $(readlink /proc/self/ns/$n); done`

/** A process with namespaces of its own for others to join. */
class Holder implements Disposable {
  readonly #child: ChildProcess
  readonly pid: number
  private constructor(child: ChildProcess, pid: number) {
    this.#child = child
    this.pid = pid
  }

  static async start(...flags: string[]): Promise<Holder> {
    const child = spawn('unshare', [...flags, '--fork', '--kill-child', 'sleep', '1000'], { stdio: 'ignore' })
    let pid = 0
    await until('the holder sleeps', () => {
      pid = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim())
      return pid > 0 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep')
    })
    if (flags.includes('-U'))
      for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${pid}/${map}`, '0 100000 65536')
    return new Holder(child, pid)
  }

  path(type: Type | 'mount'): string {
    return `/proc/${this.pid}/ns/${type === 'mount' ? 'mnt' : FILES[type]}`
  }

  [Symbol.dispose](): void {
    process.kill(this.pid, 'SIGKILL')
    this.#child.kill()
  }
}

const bundleOf = (script: string, namespaces: Config[], change: (config: Config) => void = () => {}) => {
  const bundle = new Bundle(['/bin/sh', '-c', script], (config) => {
    config.linux.namespaces = namespaces
    delete config.hostname
    if (namespaces.some(({ type, path }) => type === 'user' && path === undefined))
      Object.assign(config.linux, { uidMappings: MAP, gidMappings: MAP })
    change(config)
  })
  for (const dir of ['', 'rootfs']) chmodSync(join(bundle.dir, dir), 0o755)
  return bundle
}

const run = async (script: string, namespaces: Config[], change?: (config: Config) => void) => {
  using bundle = bundleOf(script, namespaces, change)
  return await berth(['run', '--bundle', bundle.dir, id])
}

/** Which namespaces the script was in. */
const shown = async (...[namespaces, change]: [Config[], ((config: Config) => void)?]) => {
  const done = await run(SHOW, namespaces, change)
  assert.equal(done.stderr, '')
  assert.equal(done.code, 0)
  return Object.fromEntries(
    done.stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')),
  ) as Record<string, string>
}

describe('namespaces', { skip: notHere }, () => {
  deletesAfterEach(id)

  it('joins each type by its path', async () => {
    using holder = await Holder.start('-n', '-i', '-u', '-C', '-p', '-T')
    for (const type of ['network', 'ipc', 'uts', 'cgroup', 'pid', 'time'] as const) {
      const there = await shown([{ type: 'mount' }, { type, path: holder.path(type) }])
      assert.equal(there[FILES[type]], readlinkSync(holder.path(type)), type)
    }
  })

  it('has new ones of all types at once, and shares what is not named', async () => {
    const types = Object.keys(FILES) as Type[]
    const fresh = await shown([{ type: 'mount' }, ...types.map((type) => ({ type }))])
    for (const type of types) assert.notEqual(fresh[FILES[type]], readlinkSync(`/proc/self/ns/${FILES[type]}`), type)
    const shared = await shown([{ type: 'mount' }])
    for (const type of types) assert.equal(shared[FILES[type]], readlinkSync(`/proc/self/ns/${FILES[type]}`), type)
  })

  it('names the type that it found and the one that was asked for', async () => {
    using holder = await Holder.start('-n')
    const wrong = await run('true', [{ type: 'mount' }, { type: 'uts', path: holder.path('network') }])
    assert.equal(wrong.code, 1)
    assert.match(wrong.stderr, /namespaces\[1\].*\/ns\/net.*of type network, not uts/)
    const none = await run('true', [{ type: 'mount' }, { type: 'uts', path: '/etc/passwd' }])
    assert.match(none.stderr, /namespaces\[1\].*"\/etc\/passwd".*no namespace/)
    const missing = await run('true', [{ type: 'mount' }, { type: 'uts', path: '/nope' }])
    assert.match(missing.stderr, /namespaces\[1\].*"\/nope".*ENOENT/)
  })

  it('joins a user namespace, with new ones that belong to it', async () => {
    using holder = await Holder.start('-U', '-n', '-i', '-u')
    const joined = ['user', 'network', 'ipc', 'uts'] as const
    const there = await shown([
      { type: 'mount' },
      { type: 'pid' },
      { type: 'cgroup' },
      { type: 'time' },
      ...joined.map((type) => ({ type, path: holder.path(type) })),
    ])
    for (const type of joined) assert.equal(there[FILES[type]], readlinkSync(holder.path(type)), type)
    for (const type of ['pid', 'cgroup', 'time'] as const)
      assert.notEqual(there[FILES[type]], readlinkSync(holder.path(type)), type)
    // it is the first in its own pid namespace, as root there
    const user = { type: 'user', path: holder.path('user') }
    const done = await run('echo $$ $(id -u) $(ls -ld /proc/1 | grep -c root)', [
      { type: 'mount' },
      { type: 'ipc', path: holder.path('ipc') },
      { type: 'network', path: holder.path('network') },
      { type: 'pid' },
      user,
    ])
    assert.deepEqual(done, { code: 0, signal: null, stdout: '1 0 1\n', stderr: '' })
  })

  it('leaves no process between behind while the container runs', async () => {
    using holder = await Holder.start('-U')
    const user = { type: 'user', path: holder.path('user') }
    using bundle = bundleOf('sleep 1000', [
      { type: 'mount' },
      { type: 'ipc' },
      { type: 'network' },
      { type: 'pid' },
      user,
    ])
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    // A monitor may be about to reap an executor that has said all it had to say.
    await until('no zombie', () => ourProcesses().every(({ state }) => state !== 'zombie'))
    const done = await berth(['exec', id, '/bin/sh', '-c', 'id -u; readlink /proc/self/ns/user'])
    assert.deepEqual(done, { code: 0, signal: null, stdout: `0\n${readlinkSync(holder.path('user'))}\n`, stderr: '' })
  })

  it('has a new user namespace beside a network, ipc, uts and pid namespace of others', async () => {
    using holder = await Holder.start('-n', '-i', '-u', '-p')
    const joined = ['network', 'ipc', 'uts', 'pid'] as const
    const there = await shown(
      [{ type: 'mount' }, { type: 'user' }, ...joined.map((type) => ({ type, path: holder.path(type) }))],
      (config) => {
        // they belong to the host, so that their file systems are not this root's to mount
        config.mounts = config.mounts.filter(({ type }: Config) => type !== 'mqueue' && type !== 'proc')
        config.mounts.push({ destination: '/proc', type: 'bind', source: '/proc', options: ['rbind'] })
        config.linux.maskedPaths = []
        config.linux.readonlyPaths = []
      },
    )
    assert.equal(there.net, readlinkSync(holder.path('network')))
    assert.equal(there.ipc, readlinkSync(holder.path('ipc')))
    assert.notEqual(there.user, readlinkSync('/proc/self/ns/user'))
  })

  it('sets the clocks of a new time namespace, in a user namespace that is joined too', async () => {
    const up = () => Math.floor(Number(readFileSync('/proc/uptime', 'utf8').split('.')[0]))
    using holder = await Holder.start('-U')
    const own = ['mount', 'ipc', 'network', 'pid'].map((type) => ({ type }))
    for (const more of [[], [{ type: 'user', path: holder.path('user') }]]) {
      const done = await run('cut -d. -f1 /proc/uptime', [...own, { type: 'time' }, ...more], (config) => {
        config.linux.timeOffsets = { boottime: { secs: 1_000_000 }, monotonic: { secs: 5, nanosecs: 7 } }
      })
      assert.equal(done.stderr, '')
      const ahead = Number(done.stdout) - up()
      assert.ok(ahead > 999_990 && ahead <= 1_000_000, String(ahead))
    }
  })

  it('takes a mount namespace over that it joins', async () => {
    using holder = await Holder.start('-m')
    const done = await run('readlink /proc/self/ns/mnt; ls /', [
      { type: 'pid' },
      { type: 'mount', path: holder.path('mount') },
    ])
    assert.equal(done.stderr, '')
    assert.equal(done.stdout.split('\n')[0], readlinkSync(holder.path('mount')))
    assert.ok(done.stdout.includes('bin\ndev\netc\nproc\n'))
  })

  it('runs without a mount namespace, and takes its mounts down again', async () => {
    const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8')
    const before = mounts()
    using bundle = bundleOf('sleep 1000', [{ type: 'pid' }], (config) => {
      config.root.readonly = true
    })
    const created = await berth(['run', '--detach', '--bundle', bundle.dir, id])
    assert.equal(created.code, 0)
    const inside = await berth(['exec', id, '/bin/sh', '-c', 'ls -d /* | tr "\\n" " "; touch /x; cat /proc/1/comm'])
    assert.equal(inside.stdout, '/bin /dev /etc /proc /root /sys /tmp sleep\n')
    assert.match(inside.stderr, /Read-only/)
    assert.notEqual(mounts(), before)
    assert.equal((await berth(['delete', '--force', id])).code, 0)
    assert.equal(mounts(), before)
  })

  it('takes them down when the creation fails, too', async () => {
    const before = readFileSync('/proc/self/mountinfo', 'utf8')
    const failed = await run('true', [{ type: 'pid' }], (config) => {
      config.process.args = ['/nope']
    })
    assert.equal(failed.code, 1)
    assert.equal(readFileSync('/proc/self/mountinfo', 'utf8'), before)
    assert.equal(execFileSync('ls', ['/run/berth'], { encoding: 'utf8' }).includes(id), false)
  })

  it('maps the process’s user where root of the container is nobody on the host', async () => {
    const done = await run('id -u; cat /proc/self/uid_map', [{ type: 'mount' }, { type: 'user' }], (config) => {
      config.linux.uidMappings = [{ containerID: 5, hostID: 1000, size: 10 }]
      config.linux.gidMappings = [{ containerID: 5, hostID: 1000, size: 10 }]
      config.process.user = { uid: 7, gid: 7 }
      config.mounts = config.mounts.filter(({ type }: Config) => type === 'proc')
    })
    assert.equal(done.stderr, '')
    assert.match(done.stdout, /^7\n +5 +1000 +10\n$/)
  })
})
