/** A policy that was learned lets the same run pass, and nothing else. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { bring, noCompiler } from '../harness/attack.ts'
import { Bundle, notHere } from '../harness/bundle.ts'
import { nothingLeft, snapshot } from '../harness/host.ts'
import { berth } from '../harness/run.ts'
import { hasUser } from '../harness/suite.ts'
import { noUsers, UID, type User } from '../harness/user.ts'

const python = existsSync('/usr/bin/python3')

describe('learn', { skip: notHere || noCompiler }, () => {
  let host: Set<string>
  let dir: string
  const path = (name: string) => join(dir, name)
  const file = () => path('policy.json')
  const learned = () => JSON.parse(readFileSync(file(), 'utf8'))
  const at = (args: readonly string[]) => berth(args, { cwd: dir })
  /** What `argv` is, learned and then held to it. */
  const learnAndRun = async (argv: readonly string[]) => {
    const learn = await at(['learn', '--output', file(), '--', ...argv])
    assert.equal(learn.code, 0, learn.stderr)
    const check = await at(['policy', 'check', file()])
    assert.equal(check.code, 0, check.stdout)
    const run = await at(['run', '--policy', file(), '--', ...argv])
    assert.deepEqual([run.code, run.stdout, run.stderr], [0, learn.stdout, ''])
    return learned()
  }
  const held = (argv: readonly string[]) => at(['run', '--policy', file(), '--', ...argv])

  beforeEach(() => {
    host = snapshot()
    dir = mkdtempSync(join(tmpdir(), 'berth-learn-'))
  })
  afterEach(async () => {
    rmSync(dir, { recursive: true })
    await nothingLeft(host)
  })

  it('learns what is read, written, made and executed, and lets just that pass', async () => {
    writeFileSync(path('data'), 'data\n')
    writeFileSync(path('secret'), 'secret\n')
    writeFileSync(path('log'), '')
    symlinkSync('data', path('link'))
    for (const name of ['out', 'in']) mkdirSync(path(name))
    const script = [
      ...['cat link', 'echo x >>log', 'mkdir -p out/deep/er', 'echo y >out/deep/er/f', 'cat out/deep/er/f'],
      ...[
        'mv out/deep/er/f out/g',
        'ln out/g out/h',
        'rm -r out/deep',
        'ls in',
        'cat </dev/null',
        'read x </proc/self/stat',
      ],
      ...['cp /bin/true out/prog', 'out/prog', 'printf "#!/bin/sh\\necho script\\n" >out/s', 'chmod +x out/s', 'out/s'],
    ].join(' && ')
    const { files, network } = await learnAndRun(['sh', '-c', script])
    assert.ok(files.read.includes(path('data')) && files.read.includes(path('in')) && files.read.includes('/proc'))
    assert.ok(!files.read.includes(path('link')))
    assert.deepEqual(
      files.write.filter((name: string) => name.startsWith(dir)),
      [path('log'), path('out')],
    )
    assert.ok(files.execute.includes(path('out')) && files.execute.some((name: string) => /\/cat$/.test(name)))
    assert.deepEqual(network, { allow: [], allowBind: [] })

    const denied = async (command: string, pattern: RegExp = /Permission denied/) => {
      const { code, stderr } = await held(['sh', '-c', command])
      assert.notEqual(code, 0, command)
      assert.match(stderr, pattern, command)
    }
    await denied('cat secret')
    await denied('echo x >data')
    await denied('mkdir elsewhere')
    await denied('cat /etc/passwd')
    await denied('id')
  })

  it('learns destinations and ports', { skip: !python }, async () => {
    const script = `
import socket, sys
def tcp(port):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port)); s.listen()
    socket.create_connection(("127.0.0.1", port)).close()
tcp(18080)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.sendto(b"x", ("127.0.0.9", 1053))
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); 
try: probe.connect(("127.0.0.9", 1054))
except PermissionError: pass # as resolvers do, which look which way it would go
v = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); v.connect(("::1", 1055)); v.sendmsg([b"x"])
m = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); m.sendto(b"x", ("::ffff:127.0.0.8", 1056))
if sys.argv[1:]: tcp(int(sys.argv[1]))
`
    writeFileSync(path('net.py'), script)
    const python3 = ['/usr/bin/python3', '-SE', path('net.py')]
    const { network, scopes } = await learnAndRun(python3)
    assert.deepEqual(network, {
      allow: ['tcp://127.0.0.1:18080', 'udp://[::1]:1055', 'udp://127.0.0.8:1056', 'udp://127.0.0.9:1053'],
      allowBind: ['18080'],
    })
    assert.equal(scopes.abstractSockets, true)
    const other = await held([...python3, '18081'])
    assert.notEqual(other.code, 0)
    assert.match(other.stderr, /PermissionError: \[Errno 1\]/)
  })

  it('says where the policy gives no network that the run has used', { skip: !python }, async () => {
    const script =
      'import socket; s = socket.socket(socket.AF_UNIX); s.bind("\\0own"); s.listen(); socket.socket(socket.AF_UNIX).connect("\\0own")'
    const learn = await at(['learn', '-o', file(), '--', '/usr/bin/python3', '-SE', '-c', script])
    assert.equal(learn.code, 0, learn.stderr)
    assert.match(learn.stderr, /used of the host's network is in no list: run it with --network host/)
    assert.equal((await held(['/usr/bin/python3', '-SE', '-c', script])).code, 0)
    assert.doesNotMatch((await at(['learn', '-o', file(), '--', 'true'])).stderr, /network/)
  })

  it('learns from every thread and child, and from each way to start a program', { skip: !python }, async () => {
    for (const name of ['thread', 'child', 'fork']) writeFileSync(path(name), name)
    mkdirSync(path('py'))
    writeFileSync(
      path('py/many.py'),
      `
import threading, os, subprocess
t = threading.Thread(target=lambda: open("thread").read()); t.start(); t.join()
if os.fork() == 0:
    open("fork").read(); os._exit(0)
os.wait()
print(subprocess.run(["cat", "child"], capture_output=True).stdout)
fd = os.open("/usr/bin/env", os.O_RDONLY); pid = os.fork()
if pid == 0: os.execve(fd, ["env", "true"], os.environ)
assert os.waitpid(pid, 0)[1] == 0
`,
    )
    const { files, limits } = await learnAndRun(['/usr/bin/python3', '-SE', path('py/many.py')])
    for (const name of ['thread', 'child', 'fork']) assert.ok(files.read.includes(path(name)), name)
    assert.ok(files.execute.includes('/usr/bin/env') && files.execute.includes('/usr/bin/true'))
    assert.ok(limits.processes >= 4)
  })

  it('writes nothing of a run that fails, and something of one that takes too long', async () => {
    writeFileSync(path('data'), 'data\n')
    const failed = await at(['learn', '-o', file(), '--', 'sh', '-c', 'cat data; exit 7'])
    assert.equal(failed.code, 7)
    assert.match(failed.stderr, /the run ended with 7: no policy is written/)
    assert.ok(!existsSync(file()))
    const slow = await at(['learn', '-o', file(), '--timeout', '1s', '--', 'sh', '-c', 'cat data; exec sleep 1000'])
    assert.equal(slow.code, 124)
    assert.match(slow.stderr, /the time was over/)
    assert.ok(learned().files.read.includes(path('data')))
  })

  it('merges, collapses, and says what is worth a second look', async () => {
    mkdirSync(path('lib'))
    for (const name of ['a', 'b', 'c', 'd']) writeFileSync(path(`lib/${name}`), name)
    writeFileSync(path('one'), '')
    assert.equal((await at(['learn', '-o', file(), '--', 'sh', '-c', 'cat one'])).code, 0)
    const flags = ['-o', file(), '--merge', '--collapse', '4']
    const merged = await at([
      'learn',
      ...flags,
      '--',
      'sh',
      '-c',
      'cat lib/* >/dev/null; ls / >/dev/null; ls /etc >/dev/null',
    ])
    assert.equal(merged.code, 0, merged.stderr)
    assert.match(merged.stderr, /"\/" was used as a whole, and is in no list: the policy will not let that pass/)
    assert.match(merged.stderr, /"\/etc" is in the policy as a whole, with .* and \d+ more/)
    const { files } = learned()
    assert.ok(files.read.includes(path('one')) && files.read.includes(path('lib')) && files.read.includes('/etc'))
    assert.ok(!files.read.includes('/'))
    assert.equal((await at(['learn', '--merge', '--', 'true'])).code, 2)
    assert.equal((await at(['learn'])).code, 2)
  })

  it('gives no homes and no keys as a whole, and says so', async () => {
    mkdirSync(path('homes/me/.ssh'), { recursive: true })
    mkdirSync(path('homes/you'))
    writeFileSync(path('homes/you/key'), 'secret\n')
    const script = `ls ${path('homes')} >/dev/null; ls /home >/dev/null; ls -a ${path('homes/me')} ${path('homes/me/.ssh')} >/dev/null`
    const env = { ...process.env, HOME: path('homes/me') }
    const learn = (...flags: string[]) =>
      berth(['learn', '-o', file(), ...flags, '--', 'sh', '-c', script], { cwd: dir, env })
    const plain = await learn()
    assert.equal(plain.code, 0, plain.stderr)
    for (const name of [path('homes'), '/home'])
      assert.ok(plain.stderr.includes(`"${name}" was used as a whole, and is in no list (--force-s`), plain.stderr)
    assert.match(plain.stderr, /homes\/me" is in the policy as a whole, with \.ssh/)
    assert.ok(learned().files.read.every((name: string) => !['/home', path('homes')].includes(name)))
    assert.notEqual((await held(['cat', path('homes/you/key')])).code, 0)
    const forced = await learn('--force-sensitive-collapse')
    assert.match(forced.stderr, /homes" is in the policy as a whole, with me, you/)
    assert.match(forced.stderr, /"\/home" is in the policy as a whole/)
  })

  it('knows the home directory of who a bundle’s container runs as', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'ls /srv/users /srv/users/one /srv/users/one/.ssh >/dev/null'])
    const { process: own } = bundle.config
    for (const name of ['etc', 'srv/users/one/.ssh', 'srv/two'])
      mkdirSync(join(bundle.dir, 'rootfs', name), { recursive: true })
    chmodSync(join(bundle.dir, 'rootfs'), 0o755)
    rmSync(join(bundle.dir, 'rootfs/etc/passwd')) // which other bundles have, too
    writeFileSync(join(bundle.dir, 'rootfs/etc/passwd'), 'root:x:0:0::/root:\none:x:1234:1234::/srv/users/one:\n')
    const learn = async (env: readonly string[], uid: number) => {
      bundle.config.process = { ...own, user: { uid, gid: uid }, env: ['PATH=/bin', ...env] }
      bundle.write()
      const { code, stderr } = await at(['learn', '-o', file(), '--bundle', bundle.dir])
      assert.equal(code, 0, stderr)
      return [learned().files.read.filter((name: string) => name.startsWith('/srv')), stderr]
    }
    const none = ['/srv/users/one']
    for (const [env, uid] of [
      [[], 1234],
      [['HOME=/srv/users/one/'], 5],
    ] as const) {
      const [read, stderr = ''] = await learn(env, uid)
      assert.deepEqual(read, none, stderr)
      assert.match(stderr, /"\/srv\/users" was used as a whole, and is in no list/)
      for (const name of ['one', 'one/.ssh'])
        assert.match(stderr, new RegExp(`"/srv/users/${name}" is in the policy as a whole`))
    }
    assert.deepEqual((await learn(['HOME=/srv/two'], 1234))[0], ['/srv/users'])
  })

  it('prints the policy where no file is named, and leaves the host as it was', async () => {
    const { code, stdout } = await at(['learn', '--', 'touch', 'made'])
    assert.equal(code, 0)
    assert.deepEqual(JSON.parse(stdout).files.write, [dir])
    assert.ok(!existsSync(path('made')))
  })

  it('learns from a bundle, beside its own profile', async () => {
    const script = 'cat /data/file; echo x >/tmp/made; ls /data >/dev/null; chmod 600 /tmp/made 2>&1'
    using bundle = new Bundle(['/bin/sh', '-c', script], (config) => {
      config.root.readonly = false
      config.linux.seccomp = {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['chmod', 'fchmodat', 'fchmodat2'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 }],
      }
    })
    mkdirSync(join(bundle.dir, 'rootfs/data'), { recursive: true })
    writeFileSync(join(bundle.dir, 'rootfs/data/file'), 'data\n')
    bring(bundle, 'doors')
    const learn = await at(['learn', '-o', file(), '--bundle', bundle.dir])
    assert.match(learn.stdout, /^data\nchmod: .*Operation not permitted\n$/)
    assert.equal(learn.code, 1)
    const allowed = await at(['learn', '-o', file(), '--bundle', bundle.dir, '--collapse-prefix', '/data'])
    assert.equal(allowed.code, 1)
    rmSync(join(bundle.dir, 'rootfs/tmp/made'))
    bundle.config.process.args = ['/bin/sh', '-c', script.replace(/; chmod.*/, '')]
    writeFileSync(join(bundle.dir, 'config.json'), JSON.stringify(bundle.config))
    const done = await at(['learn', '-o', file(), '--bundle', bundle.dir])
    assert.equal(done.code, 0, done.stderr)
    const { files } = learned()
    assert.deepEqual([files.read, files.write], [['/data'], ['/dev/null', '/tmp']])
    const id = `learn-${process.pid}`
    const run = await at(['run', '--policy', file(), '--bundle', bundle.dir, id])
    assert.deepEqual([run.code, run.stdout, run.stderr], [0, 'data\n', ''])
  })
})

describe('learning as an ordinary user', { skip: noUsers }, () => {
  let user: User
  hasUser((made) => {
    user = made
  })

  it('learns from a command in a directory of the user’s', async () => {
    const work = join(user.dir, 'work')
    mkdirSync(work)
    writeFileSync(join(work, 'data'), 'data\n')
    user.give(work)
    const argv = ['sh', '-c', `cd ${work} && cat data && echo x >made && id -u`]
    const file = join(work, 'policy.json')
    const learn = await user.berth(['learn', '-o', file, '--workdir', work, '--', ...argv])
    assert.deepEqual([learn.code, learn.stdout], [0, `data\n${UID}\n`], learn.stderr)
    const { files } = JSON.parse(readFileSync(file, 'utf8'))
    assert.deepEqual(files.write, [work])
  })
})
