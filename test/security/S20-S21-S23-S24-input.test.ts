/** S20, S21, S23 and S24: messages of any size, halves of different builds, what JavaScript would do to numbers and names, and who may connect. */
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { Bundle, notHere } from '../harness/bundle.ts'
import { binary, controllerPids, nothingLeft, root, snapshot, until } from '../harness/host.ts'
import { closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { stateOf } from '../harness/pod.ts'
import { berth, run } from '../harness/run.ts'
import { Daemon } from '../harness/shim.ts'

const v2 = containerd.task
const id = `s20-${process.pid}`
const temporary: string[] = []
const temp = (name: string) => {
  const dir = mkdtempSync(join(tmpdir(), name))
  temporary.push(dir)
  return dir
}
after(() => {
  for (const dir of temporary) rmSync(dir, { recursive: true, force: true })
})

/** That of the controller that was started last: those of others may have been left by what killed them. */
const controllerSocket = (): string =>
  readdirSync('/run/berth/.controller')
    .filter((name) => name.endsWith('.sock'))
    .map((name) => join('/run/berth/.controller', name))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0] ?? ''
const stop = () => {
  for (const pid of controllerPids()) process.kill(pid, 'SIGKILL')
}

describe('S20: lengths', { skip: notHere }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  for (const size of [64 << 10, 1 << 20, 12 << 20])
    it(`a configuration of ${size >> 10} KiB is carried whole`, async () => {
      using bundle = new Bundle(['/bin/true'], (config) => {
        config.annotations = { big: 'x'.repeat(size) }
      })
      assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
      assert.equal((await stateOf(id)).annotations.big.length, size)
    })

  it('one that is longer than 16 MiB is refused, and says so', async () => {
    using bundle = new Bundle(['/bin/true'], (config) => {
      config.annotations = { big: 'x'.repeat(17 << 20) }
    })
    const done = await berth(['create', '--bundle', bundle.dir, id])
    assert.equal(done.code, 1)
    assert.match(done.stderr, /config\.json.*file too large/)
  })

  it('20,000 variables and 200 mounts arrive as they were written', async () => {
    const env = Array.from({ length: 20_000 }, (_, i) => `V${i}=${i}`)
    using bundle = new Bundle(['/bin/sh', '-c', 'env | grep -c ^V; echo $V19999'], (config) => {
      config.process.env = ['PATH=/bin', ...env]
      for (let i = 0; i < 200; i++)
        config.mounts.push({ destination: `/tmp/m${i}`, type: 'tmpfs', source: 'tmpfs', options: ['size=4k'] })
      config.mounts.unshift({ destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: [] })
    })
    const done = await berth(['run', '--bundle', bundle.dir, id])
    assert.equal(done.stdout, '20000\n19999\n', done.stderr)
  })

  it('arguments that execve refuses are an error of start that says so', async () => {
    using bundle = new Bundle(['/bin/true', 'x'.repeat(200_000)])
    const done = await berth(['run', '--bundle', bundle.dir, id])
    assert.notEqual(done.code, 0)
    assert.match(done.stderr, /argument list too long/)
  })
})

describe('S21: builds', { skip: notHere }, () => {
  /** A copy of the installation, to be changed. */
  const copy = () => {
    const dir = temp('berth-other-')
    cpSync(join(root, 'bin'), join(dir, 'bin'), { recursive: true, verbatimSymlinks: true })
    mkdirSync(join(dir, 'dist'))
    for (const name of readdirSync(join(root, 'dist')))
      if (name !== 'node') cpSync(join(root, 'dist', name), join(dir, 'dist', name))
    execFileSync('ln', ['-s', realpathSync(join(root, 'dist/node')), join(dir, 'dist/node')])
    return dir
  }
  const build = readFileSync(join(root, 'dist/build-id'), 'utf8').trim()
  const other = build.replaceAll(/./g, (digit) => (digit === '0' ? '1' : '0'))

  it('a program beside the dist of another build refuses to go on', async () => {
    const dir = copy()
    writeFileSync(join(dir, 'dist/build-id'), `${other}\n`)
    const done = await run(join(dir, 'bin/berth'), ['list'])
    assert.equal(done.code, 1)
    assert.match(
      done.stderr,
      new RegExp(`is of build "${other}", this program of "${build}": build or install berth again`),
    )
  })

  it('a program of another build, beside a dist that does not say what it is, is refused by the controller', async () => {
    const dir = copy()
    const program = readFileSync(join(dir, 'bin/berth'))
    for (let at = program.indexOf(build); at >= 0; at = program.indexOf(build)) program.write(other, at)
    writeFileSync(join(dir, 'bin/berth'), program)
    for (const args of [['--no-controller', 'list']]) {
      const same = await run(join(dir, 'bin/berth'), args)
      assert.equal(same.code, 1)
      const log = /see (\S+\.log)/.exec(same.stderr)?.[1]
      assert.ok(log, same.stderr)
      assert.match(readFileSync(log, 'utf8'), new RegExp(`agent is of build "${other}", not "${build}"`))
    }
  })

  it('a controller turns away what is of another build, or speaks another protocol', async () => {
    stop()
    assert.equal((await berth(['list'])).code, 0)
    const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer)
    const str = (text: string) => Buffer.concat([u32(text.length), Buffer.from(`${text}\0`)])
    for (const [protocol, claimed] of [
      [1, other],
      [1, ''],
      [99, build],
    ] as const) {
      const body = Buffer.concat([u32(protocol), str(claimed), u32(1), Buffer.alloc(8), u32(0), u32(0)])
      const socket = connect(controllerSocket())
      socket.write(Buffer.concat([u32(body.length + 1), Buffer.from([1]), body]))
      const chunks: Buffer[] = []
      socket.on('data', (chunk) => chunks.push(chunk as Buffer))
      await new Promise((resolve) => socket.once('close', resolve))
      assert.equal(Buffer.concat(chunks).length, 0, 'was welcomed')
    }
    assert.equal((await berth(['list'])).code, 0)
  })

  it('nothing is found by way of PATH', async () => {
    const dir = temp('berth-path-')
    for (const name of ['node', 'berth', 'berth-monitor', 'controller.js'])
      writeFileSync(join(dir, name), `#!/bin/sh\ntouch ${dir}/found\n`, { mode: 0o755 })
    stop()
    assert.equal((await berth(['list'], { env: { PATH: dir } })).code, 0)
    assert.equal((await berth(['--no-controller', 'list'], { env: { PATH: dir } })).code, 0)
    assert.equal(existsSync(join(dir, 'found')), false)
  })
})

describe('S23: JavaScript', { skip: notHere }, () => {
  afterEach(() => berth(['delete', '--force', id]))
  after(closeClients)

  it('NODE_OPTIONS, LD_PRELOAD and their kin of the caller reach neither the controller nor the container', async () => {
    using bundle = new Bundle(['/bin/env'])
    const evil = join(bundle.dir, 'evil.cjs')
    const loaded = join(bundle.dir, 'loaded')
    writeFileSync(evil, `require('fs').writeFileSync(${JSON.stringify(loaded)}, '')`)
    const names = {
      NODE_OPTIONS: `--require=${evil}`,
      NODE_PATH: bundle.dir,
      NODE_REPL_EXTERNAL_MODULE: evil,
      LD_PRELOAD: '/nope.so',
      LD_LIBRARY_PATH: bundle.dir,
      LD_AUDIT: '/nope.so',
      NODE_V8_COVERAGE: bundle.dir,
      SSLKEYLOGFILE: loaded,
    }
    for (const args of [['--no-controller', 'run'], ['run']]) {
      if (args[0] === 'run') for (const pid of controllerPids()) process.kill(pid, 'SIGKILL')
      const done = await berth([...args, '--bundle', bundle.dir, id], { env: { ...process.env, ...names } })
      assert.equal(done.code, 0, done.stderr)
      for (const name of Object.keys(names)) assert.ok(!done.stdout.includes(`${name}=`), name)
    }
    for (const pid of controllerPids()) {
      const environ = readFileSync(`/proc/${pid}/environ`, 'utf8')
      for (const name of Object.keys(names)) assert.ok(!environ.includes(`${name}=`), name)
    }
    assert.equal(existsSync(loaded), false)
  })

  it('2^64-1 stays what it is: a limit of infinity', async () => {
    using bundle = new Bundle(['/bin/cat', '/proc/self/limits'])
    const text = JSON.stringify(bundle.config, (key, value) => (key === 'rlimits' ? '@' : value)).replace(
      '"@"',
      '[{"type":"RLIMIT_CORE","soft":9007199254740993,"hard":18446744073709551615},{"type":"RLIMIT_FSIZE","soft":18446744073709551615,"hard":18446744073709551615}]',
    )
    writeFileSync(join(bundle.dir, 'config.json'), text)
    const done = await berth(['run', '--bundle', bundle.dir, id])
    assert.match(done.stdout, /^Max core file size +9007199254740993 +unlimited/m, done.stderr)
    assert.match(done.stdout, /^Max file size +unlimited +unlimited/m)
    for (const wrong of ['18446744073709551616', '-1', '1e30', '1.5']) {
      writeFileSync(join(bundle.dir, 'config.json'), text.replace('9007199254740993', wrong))
      const refused = await berth(['create', '--bundle', bundle.dir, id])
      assert.equal(refused.code, 1)
      assert.match(refused.stderr, /\/process\/rlimits\/0\/soft/)
    }
  })

  it('__proto__, constructor and toString are names like any other', async () => {
    using bundle = new Bundle(['/bin/true'])
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
    const annotations = names.map((name) => `${JSON.stringify(name)}:"v"`).join(',')
    const process_ =
      '"__proto__":{"terminal":true,"noNewPrivileges":false,"capabilities":{"bounding":["CAP_SYS_ADMIN"]}}'
    const text = JSON.stringify(bundle.config)
      .replace(/^\{/, `{${process_},"annotations":{${annotations}},`)
      .replace('"process":{', `"process":{${process_},`)
    writeFileSync(join(bundle.dir, 'config.json'), text)
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    const raw = (await berth(['state', id])).stdout
    for (const name of names) assert.ok(raw.includes(`"${name}": "v"`), raw)
    const { pid } = await stateOf(id)
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    assert.match(status, /^NoNewPrivs:\t1$/m)
    assert.equal(BigInt(`0x${/^CapBnd:\t(\w+)$/m.exec(status)?.[1]}`) & (1n << 21n), 0n)
  })

  it('orphans of a container that shares the host’s pids are reaped by its monitor, and none else’s exit is lost', async () => {
    const before = snapshot()
    using daemon = new Daemon()
    using image = new Image()
    const events = eventsSocket(daemon)
    const config = image.config(['/bin/sh', '-c', 'for i in $(seq 50); do (sleep 0.01 &) ; done; sleep 0.3; exit 9'])
    config.linux.namespaces = config.linux.namespaces.filter(({ type }: { type: string }) => type !== 'pid')
    const task = await Task.start(daemon, id, config)
    await task.create(image)
    const wait = task.call('Wait', v2.WaitRequest.encode({ id }).finish())
    const { shimPid } = v2.ConnectResponse.decode(await task.call('Connect', v2.ConnectRequest.encode({ id }).finish()))
    await task.call('Start', v2.StartRequest.encode({ id }).finish())
    assert.equal(v2.WaitResponse.decode(await wait).exitStatus, 9)
    const zombies = () =>
      readdirSync('/proc').filter((entry) => {
        try {
          return (
            /^\d+$/.test(entry) && new RegExp(`\\) Z ${shimPid} `).test(readFileSync(`/proc/${entry}/stat`, 'utf8'))
          )
        } catch {
          return false
        }
      })
    await until('all reaped', () => zombies().length === 0)
    await task.call('Delete', v2.DeleteRequest.encode({ id }).finish())
    await task.call('Shutdown', v2.ShutdownRequest.encode({ id }).finish())
    task.client.close()
    await daemon.delete(id)
    events.close()
    await nothingLeft(before)
  })
})

describe('S24: sockets', { skip: notHere }, () => {
  const long = 'i'.repeat(64)
  /** As this user, says something to a socket; whether it was taken. */
  const speak = (path: string, uid: number, bytes: Buffer): Promise<string> => {
    const script = `
      const socket = require('node:net').connect(process.argv[1])
      socket.on('error', (error) => { console.log(error.code); process.exit() })
      socket.on('connect', () => socket.write(Buffer.from(process.argv[2], 'hex')))
      socket.on('data', (data) => { console.log('answered ' + data.length); process.exit() })
      socket.on('close', () => { console.log('closed'); process.exit() })`
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, ['-e', script, path, bytes.toString('hex')], {
        uid,
        gid: uid,
        cwd: '/',
        env: {},
      })
      let out = ''
      child.stdout.on('data', (text) => {
        out += text
      })
      child.once('error', reject)
      child.once('close', () => resolve(out.trim()))
    })
  }

  it('a 64 character id below a root of 200 characters: every verb, directories 0700, sockets 0600', async () => {
    const state = join(temp('berth-root-'), 'r'.repeat(90), 's'.repeat(90))
    using bundle = new Bundle(['/bin/sleep', '1000'])
    const at = (...args: string[]) => berth(['--root', state, ...args])
    assert.equal((await at('create', '--bundle', bundle.dir, long)).code, 0)
    assert.equal(JSON.parse((await at('state', long)).stdout).status, 'created')
    const socket = join(state, long, 'monitor.sock')
    assert.ok(socket.length > 250 && statSync(socket).isSocket())
    assert.deepEqual(
      [join(state, long), state].map((path) => statSync(path).mode & 0o777),
      [0o700, 0o700],
    )
    assert.equal(statSync(socket).mode & 0o077, 0)
    assert.equal((await at('start', long)).code, 0)
    assert.equal((await at('exec', long, '/bin/true')).code, 0)
    assert.equal((await at('kill', long, 'KILL')).code, 0)
    await until('stopped', async () => JSON.parse((await at('state', long)).stdout).status === 'stopped')
    assert.equal((await at('delete', long)).code, 0)
  })

  it('a run directory of 150 characters has a controller all the same', async (t) => {
    const dir = temp('berth-xdg-')
    const runtime = join(dir, 'x'.repeat(150))
    mkdirSync(runtime, { mode: 0o700 })
    chmodSync(dir, 0o755)
    execFileSync('chown', ['-R', '1234:1234', runtime])
    const env = { XDG_RUNTIME_DIR: runtime, PATH: '/bin:/usr/bin' }
    const list = spawnSync(binary, ['list', '-q'], { uid: 1234, gid: 1234, cwd: '/', env, encoding: 'utf8' })
    if (list.error) throw list.error
    if (/EACCES|permission denied/.test(list.stderr)) return t.skip('this checkout is not readable for other users')
    assert.equal(list.status, 0, list.stderr)
    const sockets = readdirSync(join(runtime, 'berth/.controller')).filter((name) => name.endsWith('.sock'))
    assert.equal(sockets.length, 1)
    for (const pid of controllerPids()) if (statSync(`/proc/${pid}`).uid === 1234) process.kill(pid, 'SIGKILL')
  })

  it('another user reaches neither a monitor nor the controller, not even where the file system lets them', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    const state = temp('berth-open-')
    stop()
    assert.equal((await berth(['--root', state, 'create', '--bundle', bundle.dir, long])).code, 0)
    try {
      const monitor = join(state, long, 'monitor.sock')
      const controllers = '/run/berth/.controller'
      assert.deepEqual(
        ['/run/berth', controllers].map((path) => statSync(path).mode & 0o077),
        [0, 0],
      )
      const controller = controllerSocket()
      const kept = [state, join(state, long), monitor, '/run/berth', controllers, controller].map(
        (path) => [path, statSync(path).mode] as const,
      )
      // a plan of nothing, to be run: type 1, flags 0
      const plan = Buffer.from('424c4e310100000000000000', 'hex')
      const body = Buffer.concat([
        Buffer.from([1]),
        Buffer.alloc(4),
        Buffer.from(Uint32Array.of(plan.length).buffer),
        plan,
      ])
      const frame = Buffer.concat([Buffer.from(Uint32Array.of(body.length).buffer), body])
      assert.equal(await speak(monitor, 1234, frame), 'EACCES')
      assert.equal(await speak(controller, 1234, frame), 'EACCES')
      for (const [path, mode] of kept) chmodSync(path, mode | 0o777)
      try {
        assert.match(await speak(monitor, 1234, frame), /^(closed|ECONNRESET|EPIPE)/)
        assert.match(await speak(controller, 1234, frame), /^(closed|ECONNRESET|EPIPE)/)
        assert.match(await speak(monitor, 0, frame), /^answered/)
      } finally {
        for (const [path, mode] of kept) chmodSync(path, mode)
      }
      assert.equal((await berth(['--root', state, 'start', long])).code, 0)
    } finally {
      await berth(['--root', state, 'delete', '--force', long])
    }
  })

  it('a run directory that is somebody else’s, or writable by others, is not used', async () => {
    for (const pid of controllerPids()) process.kill(pid, 'SIGKILL')
    const mode = statSync('/run/berth').mode & 0o777
    chmodSync('/run/berth', 0o777)
    try {
      const done = await berth(['list'])
      assert.equal(done.code, 1)
      assert.match(done.stderr, /\/run\/berth/)
    } finally {
      chmodSync('/run/berth', mode)
    }
    assert.equal((await berth(['list'])).code, 0)
  })
})
