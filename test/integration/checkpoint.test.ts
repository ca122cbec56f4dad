/** checkpoint and restore on the command line, with the CRIU that there is. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, type Config, makeRootfs, notHere } from '../harness/bundle.ts'
import { criu, noCriu, removeMountRoots } from '../harness/criu.ts'
import { binary, nothingLeft, snapshot, until } from '../harness/host.ts'
import { berth, run } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `checkpoint-${process.pid}`
const other = `${id}-2`

/** Counts in its memory, into a file of the host's that it keeps open, and to its output. */
const COUNTER = 'exec 3>>/data/counts; n=0; while :; do n=$((n+1)); echo $n >&3; echo out $n; usleep 50000; done'

/** CRIU takes CAP_SYS_RESOURCE to read the limits of other users' processes. */
const maySeeLimits = (): boolean =>
  (BigInt(`0x${/^CapEff:\t(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]}`) & (1n << 24n)) !== 0n

describe('checkpoint', { skip: noCriu }, () => {
  let before: Set<string>
  let dir: string
  const children: ChildProcess[] = []
  beforeEach(() => {
    before = snapshot()
    dir = mkdtempSync(join(tmpdir(), 'berth-checkpoint-'))
    mkdirSync(join(dir, 'data'))
  })
  afterEach(async () => {
    for (const name of [id, other]) await berth(['delete', '--force', name])
    for (const child of children.splice(0)) child.kill('SIGKILL')
    rmSync(dir, { recursive: true })
    await nothingLeft(before)
  })

  const images = () => join(dir, 'images')
  /** Pipes of Node's are sockets, which CRIU can't give back. */
  const call = (...args: string[]) =>
    berth(['-c', 'exec "$@" </dev/null', 'sh', binary, '--criu', criu ?? '', ...args], {}, '/bin/sh')
  const well = async (...args: string[]) => {
    const done = await call(...args)
    assert.equal(done.code, 0, done.stderr)
    return done
  }
  /** What stays behind has no file for its output: CRIU wants one to be as long as it was. */
  const detached = async (...args: string[]) => {
    const log = join(dir, 'log')
    const all = [binary, '--log', log, '--criu', criu ?? '', ...args]
    const done = await berth(['-c', 'exec "$@" </dev/null >/dev/null 2>&1', 'sh', ...all], {}, '/bin/sh')
    assert.equal(done.code, 0, done.code === 0 ? '' : readFileSync(log, 'utf8'))
  }
  const refused = async (reason: RegExp, ...args: string[]) => {
    const done = await call(...args)
    assert.equal(done.code, 1, done.stderr)
    assert.match(done.stderr, reason)
  }
  const stateOf = async (name: string) => JSON.parse((await well('state', name)).stdout)
  const counts = (): number[] => {
    const file = join(dir, 'data/counts')
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : []
  }
  const counter = (change: (config: Config) => void = () => {}) =>
    new Bundle(['/bin/sh', '-c', COUNTER], (config) => {
      config.mounts.push({ destination: '/data', type: 'bind', source: join(dir, 'data'), options: ['rbind'] })
      change(config)
    })
  /** Each number once and in order: memory and the file's position were brought back as they were. */
  const unbroken = () => {
    const all = counts()
    assert.deepEqual(
      all,
      all.map((_, index) => index + 1),
    )
  }
  /** Run with a pipe for its output, as engines do it; ends when nobody holds that any more. */
  const piped = (...args: string[]) => {
    const shell = ['-c', 'exec </dev/null; "$@" 2>&1 | cat', 'sh', binary, '--criu', criu ?? '', ...args]
    const child = spawn('/bin/sh', shell, { stdio: ['ignore', 'pipe', 'inherit'] })
    children.push(child)
    const said = { text: '' }
    child.stdout.setEncoding('utf8').on('data', (text) => {
      said.text += text
    })
    return said
  }

  it('a container goes on under another name, with its memory, its files, and another output', async () => {
    using bundle = counter((config) => {
      config.linux.resources = { ...config.linux.resources, pids: { limit: 33 } }
    })
    const first = piped('run', '-d', '--bundle', bundle.dir, id)
    await until(`it counts ${first.text}`, () => counts().length > 3)
    await well('checkpoint', '--image-path', images(), id)
    await refused(/does not exist/, 'state', id)
    const dumped = counts().length
    const pidFile = join(dir, 'pid')
    const made = ['--bundle', bundle.dir, '--pid-file', pidFile]
    const second = piped('restore', '-d', '--image-path', images(), ...made, other)
    await until('it counts on', () => counts().length > dumped + 3)
    unbroken()
    await until('its output arrives', () => second.text.includes(`out ${dumped + 2}\n`))
    assert.doesNotMatch(second.text, /^out 1$/m)
    const { status, pid } = await stateOf(other)
    assert.equal(status, 'running')
    assert.equal(Number(readFileSync(pidFile, 'utf8')), pid)
    const own = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')
    assert.ok(
      own.every((line) => line.endsWith(`/berth-${other}`) || line.endsWith(':/')),
      own.join('\n'),
    )
    assert.match((await well('exec', other, '/bin/sh', '-c', 'cat /data/counts | head -n 1')).stdout, /^1$/m)
    await well('pause', other)
    await well('resume', other)
    await well('kill', other, 'KILL')
    await until('stopped', async () => (await stateOf(other)).status === 'stopped')
  })

  it('what confines the processes is as it was: user, capabilities, filter, limits, masks', async () => {
    mkdirSync(join(dir, 'data/hidden'))
    writeFileSync(join(dir, 'data/hidden/x'), 'secret')
    const confine = (config: Config) => {
      const user = maySeeLimits() ? 1000 : 0
      config.process.user = { uid: user, gid: user, additionalGids: [7] }
      config.process.noNewPrivileges = true
      config.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 100, hard: 200 }]
      config.process.capabilities = { bounding: ['CAP_KILL', 'CAP_CHOWN'], permitted: ['CAP_KILL'], effective: [] }
      config.linux.maskedPaths.push('/data/hidden')
      config.linux.seccomp = {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 5 }],
      }
      const script = 'n=0; while :; do n=$((n+1)); cat /proc/self/status /proc/self/limits >/tmp/new'
      config.process.args[2] = `${script}; mkdir /tmp/d 2>>/tmp/new; ls /data/hidden >>/tmp/new; mv /tmp/new /tmp/seen; done`
      config.mounts.push({ destination: '/tmp', type: 'tmpfs', options: ['mode=1777'] })
    }
    using bundle = counter(confine)
    chmodSync(join(bundle.dir, 'rootfs'), 0o755)
    await detached('run', '-d', '--bundle', bundle.dir, id)
    /** What the container says of itself, without what a process has of its own. */
    const seen = async (): Promise<string> => {
      const { pid } = await stateOf(id)
      const file = `/proc/${pid}/root/tmp/seen`
      rmSync(file, { force: true })
      await until('it says it anew', () => existsSync(file))
      const lines = readFileSync(file, 'utf8').split('\n')
      return lines.filter((line) => /^(Uid|Gid|Groups|NoNewPrivs|Seccomp|Cap|Max open|mkdir|x)/.test(line)).join('\n')
    }
    const was = await seen()
    for (const line of [/^Seccomp:\t2$/m, /^Max open files +100 +200 /m, /^mkdir: .*Input\/output error$/m])
      assert.match(was, line)
    assert.doesNotMatch(was, /^x$/m)
    await well('checkpoint', '--image-path', images(), id)
    await detached('restore', '-d', '--image-path', images(), '--bundle', bundle.dir, id)
    assert.equal(await seen(), was)
  })

  it('one that is left running runs on, paused or not, and each of its images is whole', async () => {
    using bundle = counter()
    await detached('run', '-d', '--bundle', bundle.dir, id)
    await until('it counts', () => counts().length > 3)
    await well('checkpoint', '--leave-running', '--image-path', images(), id)
    const dumped = counts().length
    await until('it counts on', () => counts().length > dumped + 3)
    await well('pause', id)
    const still = counts().length
    await well('checkpoint', '--leave-running', '--image-path', join(dir, 'paused'), id)
    assert.equal((await stateOf(id)).status, 'paused')
    assert.equal(counts().length, still)
    await well('resume', id)
    await until('it counts after the pause', () => counts().length > still + 3)
    unbroken()
    await well('delete', '--force', id)
    const last = counts().length
    await detached('restore', '-d', '--image-path', join(dir, 'paused'), '--bundle', bundle.dir, id)
    await until('it counts from the pause on', () => counts().length > last + 1)
    assert.equal(counts()[last], still + 1)
  })

  it('restore waits for a container that is not detached, has its exit code, and takes it away', async () => {
    using bundle = new Bundle(
      ['/bin/sh', '-c', 'while [ ! -e /data/end ]; do usleep 50000; done; exit 7'],
      (config) => {
        config.mounts.push({ destination: '/data', type: 'bind', source: join(dir, 'data'), options: ['rbind'] })
      },
    )
    await detached('run', '-d', '--bundle', bundle.dir, id)
    await well('checkpoint', '--image-path', images(), '--work-path', join(dir, 'work'), id)
    assert.ok(readdirSync(join(dir, 'work')).includes('dump.log'))
    const waiting = call('restore', '--image-path', images(), '--bundle', bundle.dir, id)
    await until('restored', async () => (await call('state', id)).code === 0)
    writeFileSync(join(dir, 'data/end'), '')
    const done = await waiting
    assert.equal(done.code, 7, done.stderr)
    await refused(/does not exist/, 'state', id)
  })

  it('a fresh root file system, without the mount points; a file of the host is on a file', async () => {
    writeFileSync(join(dir, 'file'), 'host\n')
    const mounts = (config: Config) => {
      config.mounts.push({ destination: '/some/file', type: 'bind', source: join(dir, 'file'), options: ['bind'] })
      config.root.readonly = false
    }
    using old = counter(mounts)
    await detached('run', '-d', '--bundle', old.dir, id)
    await until('it counts', () => counts().length > 1)
    await well('checkpoint', '--image-path', images(), id)
    using fresh = counter(mounts)
    assert.ok(!existsSync(join(fresh.dir, 'rootfs/some')))
    await detached('restore', '-d', '--image-path', images(), '--bundle', fresh.dir, id)
    assert.equal((await well('exec', id, '/bin/cat', '/some/file')).stdout, 'host\n')
  })

  it('hooks: those that prepare run while nothing of the container does, and those at its end run twice', async () => {
    const log = join(dir, 'hooks')
    const hook = (name: string) => ({
      path: '/bin/sh',
      args: ['sh', '-c', `echo ${name} $(cat | grep -o '"status":"[a-z]*"') $(wc -l <${dir}/data/counts) >>${log}`],
    })
    using bundle = counter((config) => {
      config.hooks = { createRuntime: [hook('runtime')], poststop: [hook('poststop')] }
    })
    writeFileSync(join(dir, 'data/counts'), '')
    await detached('run', '-d', '--bundle', bundle.dir, id)
    await until('it counts', () => counts().length > 3)
    await well('checkpoint', '--image-path', images(), id)
    const dumped = counts().length
    await detached('restore', '-d', '--image-path', images(), '--bundle', bundle.dir, id)
    await until('it counts on', () => counts().length > dumped + 3)
    await well('delete', '--force', id)
    const lines = readFileSync(log, 'utf8').trim().split('\n')
    assert.deepEqual(lines.slice(0, 3), [
      'runtime "status":"creating" 0',
      `poststop "status":"stopped" ${dumped}`,
      `runtime "status":"creating" ${dumped}`,
    ])
    assert.match(lines[3] ?? '', /^poststop "status":"stopped"/)
  })

  it('a launcher that is killed over a restore leaves nothing that delete --force does not find', async () => {
    using bundle = counter()
    await detached('run', '-d', '--bundle', bundle.dir, id)
    await until('it counts', () => counts().length > 1)
    await well('checkpoint', '--image-path', images(), id)
    const restore = ['restore', '-d', '--image-path', images(), '--bundle', bundle.dir, id]
    const child = spawn(binary, ['--criu', criu ?? '', ...restore], { stdio: 'ignore' })
    const ended = new Promise((resolve) => child.on('exit', resolve))
    const log = `/run/berth/${id}/criu.work/restore.log`
    await until('CRIU is at work', () => existsSync(log))
    child.kill('SIGKILL')
    await ended
    await well('delete', '--force', id)
    await nothingLeft(before)
    removeMountRoots()
  })

  it('errors say what CRIU says, and leave the container as it was, or nothing', async () => {
    // An open file that has been removed is written down only up to a size.
    const script = 'dd if=/dev/zero of=/dev/shm/x bs=1M count=2; exec 3</dev/shm/x; rm /dev/shm/x; exec sleep 1000'
    using bundle = new Bundle(['/bin/sh', '-c', script])
    await detached('run', '-d', '--bundle', bundle.dir, id)
    const { pid } = await stateOf(id)
    await until('it sleeps', () => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep'))
    await refused(/criu dump: .*ghost.*its log: .*dump\.log/, 'checkpoint', '--image-path', images(), id)
    assert.equal((await stateOf(id)).status, 'running')
    const made = ['--bundle', bundle.dir]
    await refused(/holds no checkpoint: there is no inventory.img/, 'restore', ...made, '--image-path', dir, other)
    await well('delete', '--force', id)

    mkdirSync(join(dir, 'broken'))
    for (const name of ['inventory.img', 'pstree.img']) writeFileSync(join(dir, 'broken', name), 'no image')
    await refused(/criu restore: .*its log/, 'restore', ...made, '--image-path', join(dir, 'broken'), id)
    await refused(/does not exist/, 'state', id)
  })
})

const noLandlock =
  notHere === false &&
  /Landlock.*MISSING|missing +Landlock/i.test(spawnSync(binary, ['doctor'], { encoding: 'utf8' }).stdout)
    ? 'needs Landlock'
    : false

/** For its own checks it wants CRIU on its PATH; the runtime is told by a flag where that is. */
const podman = '/usr/bin/podman'
const noPodman = noCriu || (existsSync(podman) ? false : 'needs podman')

describe('checkpoint, by podman', { skip: noPodman }, () => {
  it('a container goes on, and in another one from an exported checkpoint', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'berth-podman-'))
    const storage = ['--root', `${dir}/root`, '--runroot', `${dir}/run`, '--cgroup-manager', 'cgroupfs']
    const runtime = ['--runtime', binary, '--runtime-flag', `criu=${criu}`, '--events-backend', 'none']
    const env = { ...process.env, PATH: `${dirname(criu ?? '')}:${process.env.PATH}` }
    const cli = async (...args: string[]) => {
      const done = await run(podman, [...storage, ...runtime, ...args], { env })
      assert.equal(done.code, 0, done.stderr)
      return done.stdout
    }
    const counts = () => readFileSync(`${dir}/data/counts`, 'utf8').trim().split('\n').map(Number)
    try {
      mkdirSync(`${dir}/data`)
      writeFileSync(`${dir}/data/counts`, '')
      makeRootfs(`${dir}/rootfs`)
      execFileSync('sh', ['-c', `tar -C ${dir}/rootfs -c . | ${podman} ${storage.join(' ')} import -q - bb`])
      // Without CAP_SYS_RESOURCE podman's default limits could not be set.
      const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024', '--network', 'none']
      await cli('run', '-d', '--name', 'one', ...limits, '-v', `${dir}/data:/data`, 'bb', '/bin/sh', '-c', COUNTER)
      await until('it counts', () => counts().length > 3)
      await cli('container', 'checkpoint', 'one')
      assert.match(await cli('ps', '-a', '--format', '{{.Status}}'), /^Exited/)
      const first = counts().length
      await cli('container', 'restore', 'one')
      await until('it counts on', () => counts().length > first + 3)
      await cli('container', 'checkpoint', '--export', `${dir}/checkpoint.tar`, 'one')
      const second = counts().length
      await cli('rm', 'one')
      await cli('container', 'restore', '--import', `${dir}/checkpoint.tar`, '--name', 'two')
      await until('it counts on in another', () => counts().length > second + 3)
      assert.deepEqual(
        counts(),
        counts().map((_, index) => index + 1),
      )
      await until('it is heard', async () => (await cli('logs', 'two')).includes(`out ${second + 2}\n`))
    } finally {
      await run(podman, [...storage, ...runtime, 'rm', '-af', '-t', '0'], { env })
      execFileSync('sh', ['-c', `umount -R ${dir}/root/overlay 2>/dev/null; true`])
      // conmon's own `podman container cleanup` may still be at work in there.
      rmSync(dir, { recursive: true, force: true, maxRetries: 20 })
    }
  })
})

describe('checkpoint, refused', { skip: notHere }, () => {
  deletesAfterEach(id)
  const refused = async (reason: RegExp, ...args: string[]) => {
    const done = await berth(args)
    assert.equal(done.code, 1, done.stderr)
    assert.match(done.stderr, reason)
  }

  it('without CRIU, by whoever names it', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    await refused(/cannot checkpoint a container that is created/, 'checkpoint', await created(bundle))
    assert.equal((await berth(['start', id])).code, 0)
    const missing = join(bundle.dir, 'nope')
    await refused(/CRIU, and ".*\/nope", which the caller names/, '--criu', missing, 'checkpoint', id)
    writeFileSync(join(bundle.dir, 'node.json'), JSON.stringify({ criu: missing }))
    const node = ['--config', join(bundle.dir, 'node.json')]
    await refused(/which .*node\.json names, can not be executed: install CRIU/, ...node, 'checkpoint', id)
    await refused(/node\.json names/, ...node, 'restore', '--bundle', bundle.dir, `${id}-2`)
  })

  it('a policy that Landlock enforces, which a restore could not', { skip: noLandlock }, async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      const files = { execute: ['/bin'], read: ['/etc'], write: ['/tmp', '/dev/null'] }
      config.annotations = { 'io.berth.policy.inline': JSON.stringify({ files }) }
    })
    const done = await berth(['run', '-d', '--bundle', bundle.dir, id])
    assert.equal(done.code, 0, done.stderr)
    await refused(/checkpoint: the container has a policy that Landlock enforces/, 'checkpoint', id)
  })

  it('a policy for the network, which CRIU could not work under', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.annotations = { 'io.berth.network.deny': '192.0.2.1' }
    })
    const done = await berth(['run', '-d', '--bundle', bundle.dir, id])
    assert.equal(done.code, 0, done.stderr)
    await refused(/checkpoint: the container has network rules/, 'checkpoint', id)
  })

  it('what no restore could bring back', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }: { type: string }) => type !== 'mount')
      config.linux.maskedPaths = []
      config.linux.readonlyPaths = []
    })
    assert.equal((await berth(['run', '-d', '--bundle', bundle.dir, id])).code, 0)
    await refused(/linux.namespaces: .*no mount namespace of its own/, 'checkpoint', id)
    assert.equal((await berth(['delete', '--force', id])).code, 0)
  })

  const created = async (bundle: Bundle): Promise<string> => {
    const done = await berth(['create', '--bundle', bundle.dir, id])
    assert.equal(done.code, 0, done.stderr)
    return id
  }
})
