/** Commands on the host's own root: what they change is thrown away, shown or applied, and nothing else is. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { binary, nothingLeft, snapshot, until } from '../harness/host.ts'
import { berth, run, terminal } from '../harness/run.ts'
import { hasUser } from '../harness/suite.ts'
import { noUsers, UID, type User } from '../harness/user.ts'

const python = existsSync('/usr/bin/python3')
/** The launcher takes signals for the command by now: those that would end it are blocked. */
const passesOn = (pid = 0) => !/^SigBlk:\s*0+$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
const KEPT = /berth commit (run-\S+) /

describe('commands on the host’s root', { skip: notHere }, () => {
  let host: Set<string>
  let dir: string
  const path = (name: string) => join(dir, name)
  const read = (name: string) => readFileSync(path(name), 'utf8')
  /** Runs a script in the directory. */
  const sh = (flags: readonly string[], script: string, options = {}) =>
    berth(['run', ...flags, '--', 'sh', '-c', script], { cwd: dir, ...options })
  const ok = async (flags: readonly string[], script: string) => {
    const { code, stdout, stderr } = await sh(flags, script)
    assert.deepEqual([code, stderr], [0, ''])
    return stdout
  }
  const policy = (document: object): readonly string[] => {
    writeFileSync(path('policy.json'), JSON.stringify(document))
    return ['--policy', path('policy.json')]
  }

  beforeEach(() => {
    host = snapshot()
    dir = mkdtempSync(join(tmpdir(), 'berth-command-'))
  })
  afterEach(async () => {
    rmSync(dir, { recursive: true })
    await nothingLeft(host)
  })

  it('has the caller’s directory, environment, user and exit code, and throws all changes away', async () => {
    writeFileSync(path('file'), 'old\n')
    const script = 'pwd; echo $WORD; id -u; umask; echo new >file; rm -r /usr/share; mkdir /made; cat file; exit 3'
    const { code, stdout } = await sh([], script, { env: { ...process.env, WORD: 'passed on' } })
    assert.deepEqual([code, stdout], [3, `${dir}\npassed on\n0\n0022\nnew\n`])
    assert.equal(read('file'), 'old\n')
    assert.ok(existsSync('/usr/share') && !existsSync('/made'))
  })

  it('gets no more than it was born with, and sees the host’s files only', async () => {
    const out = await ok(
      [],
      [
        'grep -E "^(NoNewPrivs|CapInh|CapAmb)" /proc/self/status',
        'mount -t tmpfs none /mnt 2>/dev/null || echo no mounts',
        'mknod /tmp/disk b 1 0 2>/dev/null || echo no devices',
        'ls /sys/class/net',
        'set -- /proc/[0-9]*; echo $#',
        'cat /proc/1/mem /proc/1/maps /proc/1/environ 2>/dev/null || readlink /proc/1/exe || echo nobody to pry on',
        'sleep 1000 >/dev/null 2>&1 &',
        'echo x 2>/dev/null >/proc/sys/kernel/hostname || echo no sysctls',
      ].join('\n'),
    )
    assert.equal(
      out,
      'CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nno mounts\nno devices\nlo\n2\nnobody to pry on\nno sysctls\n',
    )
  })

  it('ends by the signals that it has no handler for, as anywhere else', async () => {
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const child = spawn(binary, ['run', '--', 'sh', '-c', 'echo ready; exec sleep 1000'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const ended = once(child, 'exit')
      await once(child.stdout, 'data')
      await until('signals are passed on', () => passesOn(child.pid))
      child.kill(signal)
      assert.equal((await ended)[0], code)
    }
    assert.equal((await sh([], 'kill -KILL $$')).code, 137)
    const typed = spawn('/usr/bin/script', [
      '-qec',
      `${binary} run -- sh -c "echo ready; exec sleep 1000"`,
      '/dev/null',
    ])
    const ended = once(typed, 'exit')
    await once(typed.stdout, 'data')
    typed.stdin.write('\x03')
    assert.equal((await ended)[0], 130)
    typed.stdin.end()
  })

  it('has a terminal where the caller has one', async () => {
    const { stdout } = await terminal([binary, 'run', '--', 'sh', '-c', 'test -t 0 && test -t 1 && tty'], { cwd: dir })
    assert.equal(stdout.trim(), '/dev/pts/0')
  })

  it('does not reach what listens on the host, neither by path nor by address', { skip: !python }, async () => {
    const server = createServer((socket) => socket.on('error', () => {}).end('host'))
    const inet = createServer((socket) => socket.on('error', () => {}).end('host'))
    await new Promise<void>((done) => server.listen(path('socket'), done))
    await new Promise<void>((done) => inet.listen(0, '127.0.0.1', done))
    const { port } = inet.address() as { port: number }
    const connect = (family: string, address: string) =>
      `python3 -c 'import socket,sys\ntry: socket.socket(socket.${family}).connect(${address}); print("reached")\nexcept OSError as e: print(e.errno)'`
    try {
      const script = `${connect('AF_UNIX', `"${path('socket')}"`)}; ${connect('AF_INET', `("127.0.0.1", ${port})`)}`
      assert.equal(await ok([], script), '111\n111\n')
      assert.equal(await ok(['--network', 'host'], script), '111\nreached\n')
      const allowed = policy({ network: { allow: [`tcp://127.0.0.1:${port}`] } })
      assert.equal(await ok(allowed, script), '111\nreached\n')
      assert.equal(await ok(policy({ network: { allow: [] } }), script), '111\n1\n')
    } finally {
      server.close()
      inet.close()
    }
  })

  it('gets the host’s network from its caller only, who has to allow something of it', async () => {
    writeFileSync(
      path('node.json'),
      JSON.stringify({ policy: { network: { deny: ['192.0.2.1'] }, tcp: { bind: [80] } } }),
    )
    const node = ['--config', path('node.json'), 'run']
    const own = readlinkSync('/proc/self/ns/net')
    const isHosts = async (flags: readonly string[]) => {
      const { code, stdout, stderr } = await berth([...flags, '--', 'readlink', '/proc/self/ns/net'], { cwd: dir })
      assert.equal(code, 0, stderr)
      return stdout.trim() === own
    }
    assert.equal(await isHosts(node), false)
    assert.equal(await isHosts([...node, '--network', 'host']), true)
    for (const [rules, expected] of [
      [{ network: { allow: ['192.0.2.2'] } }, true],
      [{ network: { allow: [], allowBind: ['80'] } }, true],
      [{ tcp: { bind: [80] } }, true],
      [{ network: { allow: [] } }, false],
      [{ network: { deny: ['192.0.2.1'], denyBind: ['80'] } }, false],
      [{ tcp: { connect: [], bind: [] } }, false],
      [{ limits: { processes: 10 } }, false],
    ] as const) {
      assert.equal(await isHosts([...node, ...policy(rules)]), expected, JSON.stringify(rules))
      assert.equal(await isHosts(['run', ...policy(rules)]), expected, JSON.stringify(rules))
    }
    assert.equal(await isHosts([...node, '--network', 'none', ...policy({ network: { allow: ['192.0.2.2'] } })]), false)
  })

  it('does not reach what listens where a socket or a FIFO is mounted by itself', { skip: !python }, async () => {
    const server = createServer((socket) => socket.on('error', () => {}).end('host'))
    await new Promise<void>((done) => server.listen(path('listening'), done))
    await run('mkfifo', [path('pipe')])
    writeFileSync(path('shown'), 'shown')
    const fifo = openSync(path('pipe'), constants.O_RDONLY | constants.O_NONBLOCK)
    const mounted = ['listening', 'pipe', 'shown'].map((name) => [path(name), path(`at-${name}`)] as const)
    for (const [, at] of mounted) writeFileSync(at, '')
    try {
      for (const [from, at] of mounted) assert.equal((await run('mount', ['--bind', from, at])).code, 0)
      const script = `python3 - <<'end'
import os, socket
try: socket.socket(socket.AF_UNIX).connect("at-listening"); print("reached")
except OSError as e: print(e.errno)
try: os.write(os.open("at-pipe", os.O_WRONLY | os.O_NONBLOCK), b"x"); print("written")
except OSError as e: print(e.errno)
try: os.write(os.open("pipe", os.O_WRONLY | os.O_NONBLOCK), b"x"); print("written")
except OSError as e: print(e.errno)
print(open("at-shown").read())
end`
      for (const flags of [[], ['--workdir', dir], ['--workdir', '/etc']]) {
        const { stdout, stderr } = await sh(flags, script)
        assert.match(stdout, /^(111|30)\n(written|30)\n6\nshown\n$/, stderr)
      }
      assert.equal(readSync(fifo, Buffer.alloc(1)), 0)
    } finally {
      for (const [, at] of mounted) await run('umount', ['--quiet', at])
      closeSync(fifo)
      server.close()
    }
  })

  it('shows what was changed, file by file', async () => {
    mkdirSync(path('gone/deep'), { recursive: true })
    mkdirSync(path('replaced'))
    for (const name of ['changed', 'gone/one', 'gone/deep/two', 'removed', 'replaced/old'])
      writeFileSync(path(name), 'x')
    const { code, stdout, stderr } = await sh(
      ['--dry-run'],
      'echo y >>changed; rm -r gone; rm removed; mkdir new; touch new/file; ln new/file new/link; ln -s x new/symlink; rm -r replaced; mkdir replaced; touch replaced/other; chmod 700 .',
    )
    const lines = ['M changed', 'D gone/deep/two', 'D gone/one', 'A new/file', 'A new/link', 'A new/symlink'].concat([
      'D removed',
      'D replaced/old',
      'A replaced/other',
    ])
    assert.deepEqual([code, stdout], [0, ''])
    assert.equal(
      stderr,
      `berth: dry-run: filesystem changes:\n${lines.map((line) => `${line[0]} ${path(line.slice(2))}\n`).join('')}`,
    )
    assert.equal((await sh(['--dry-run'], 'cat changed')).stderr, 'berth: dry-run: no filesystem changes\n')
    assert.deepEqual(readdirSync(path('gone')), ['deep', 'one'])
  })

  it('applies changes with all that belongs to a file', async () => {
    mkdirSync(path('gone/deep'), { recursive: true })
    for (const name of ['changed', 'gone/deep/file', 'dir-to-be']) writeFileSync(path(name), 'old')
    chmodSync(path('changed'), 0o4711)
    writeFileSync(path('other'), 'kept')
    linkSync(path('other'), path('another'))
    await ok(
      ['--commit'],
      [
        'printf new >changed; chmod 640 changed; chown 12:34 changed; touch -d @1000000000 changed',
        'rm -r gone; rm dir-to-be; mkdir -m 2750 dir-to-be; echo x >dir-to-be/a; ln dir-to-be/a dir-to-be/b',
        'ln -s ../nowhere dir-to-be/symlink; mkfifo -m 600 dir-to-be/fifo; touch -h -d @5 dir-to-be/symlink',
        'rm another; touch -d @77 dir-to-be; chmod 711 .',
        ...(python
          ? ['python3 -c \'import os; os.setxattr("changed", "trusted.test", b"kept")\' 2>/dev/null || true']
          : []),
        ...(python ? ['python3 -c \'import os; os.setxattr("changed", "user.test", b"kept")\''] : []),
      ].join('\n'),
    )
    const changed = statSync(path('changed'))
    assert.deepEqual(
      [read('changed'), changed.mode & 0o7777, changed.uid, changed.gid, changed.mtimeMs],
      ['new', 0o640, 12, 34, 1e12],
    )
    assert.deepEqual(readdirSync(dir).sort(), ['changed', 'dir-to-be', 'other'])
    const made = lstatSync(path('dir-to-be'))
    assert.deepEqual([made.mode & 0o7777, made.mtimeMs], [0o2750, 77_000])
    assert.equal(statSync(path('dir-to-be/a')).ino, statSync(path('dir-to-be/b')).ino)
    assert.equal(readlinkSync(path('dir-to-be/symlink')), '../nowhere')
    assert.equal(lstatSync(path('dir-to-be/symlink')).mtimeMs, 5000)
    assert.ok(lstatSync(path('dir-to-be/fifo')).isFIFO())
    assert.equal(statSync(dir).mode & 0o777, 0o711)
    if (python) {
      const { stdout } = await run('python3', [
        '-c',
        `import os; print(os.getxattr("${path('changed')}", "user.test"))`,
      ])
      assert.equal(stdout, "b'kept'\n")
    }
  })

  it('applies nothing of a command that fails, unless that is wanted', async () => {
    const { code, stderr } = await sh(['--commit'], 'touch made; exit 7')
    assert.equal(code, 7)
    assert.match(stderr, /nothing was applied, as the command ended with 7/)
    assert.ok(!existsSync(path('made')))
    assert.equal((await sh(['--commit-always'], 'touch made; exit 7')).code, 7)
    assert.ok(existsSync(path('made')))
  })

  it('keeps a layer, says what could not be applied, and goes on from there', async () => {
    mkdirSync(path('sub'))
    const { code, stderr } = await sh(['--keep'], 'echo 1 >a; echo 2 >sub/b; echo 3 >z')
    const id = KEPT.exec(stderr)?.[1] ?? assert.fail(stderr)
    assert.equal(code, 0)
    try {
      const shown = await berth(['commit', '--dry-run', id])
      assert.equal(
        shown.stderr,
        `berth: dry-run: filesystem changes:\nA ${path('a')}\nA ${path('sub/b')}\nA ${path('z')}\n`,
      )
      await run('chattr', ['+i', path('sub')])
      const failed = await berth(['commit', id])
      assert.equal(failed.code, 1)
      assert.match(
        failed.stderr,
        /^berth: commit: 1 of \d+ changes were applied, then: copy ".*\/sub\/b": .*; not applied: A .*\/sub\/b, A .*\/z, /,
      )
      assert.deepEqual([read('a'), existsSync(path('z'))], ['1\n', false])
      await run('chattr', ['-i', path('sub')])
      assert.deepEqual(await berth(['commit', id]).then(({ code, stderr }) => [code, stderr]), [0, ''])
      assert.deepEqual([read('a'), read('sub/b'), read('z')], ['1\n', '2\n', '3\n'])
      assert.match((await berth(['commit', id])).stderr, /does not exist/)
    } finally {
      await run('chattr', ['-i', path('sub')])
      await berth(['delete', '--force', id])
    }
  })

  it('takes changes of one directory only where that is asked for', async () => {
    mkdirSync(path('work'))
    const flags = ['--workdir', path('work'), '--commit']
    const out = await ok(
      flags,
      `touch work/made; touch beside 2>/dev/null || echo read-only; touch /etc/x 2>/dev/null || echo too`,
    )
    assert.equal(out, 'read-only\ntoo\n')
    assert.ok(existsSync(path('work/made')))
    assert.match((await sh(['--workdir', '/nowhere'], 'true')).stderr, /--workdir: "\/nowhere" is no directory/)
    assert.match((await sh(['--workdir', '/proc'], 'true')).stderr, /--workdir: "\/proc" can not have a layer/)
  })

  it('holds it to a policy, under the node’s as its ceiling', async () => {
    writeFileSync(path('secret'), 'secret')
    const system = ['/bin', '/usr', '/lib', '/lib64'].filter(
      (name) => existsSync(name) && !lstatSync(name).isSymbolicLink(),
    )
    const files = { execute: system, read: ['/etc'], write: ['/dev/null'] }
    const { stdout } = await sh(
      policy({ files }),
      'cat /etc/passwd >/dev/null && echo read; cat secret 2>&1; echo x >/etc/x',
    )
    assert.match(stdout, /^read\ncat: secret: Permission denied\n/)
    writeFileSync(path('node.json'), JSON.stringify({ policy: { limits: { processes: 100 } } }))
    const node = ['--config', path('node.json'), 'run']
    const wide = await berth([...node, ...policy({ limits: { processes: 200 } }), '--', 'true'], { cwd: dir })
    assert.equal(wide.code, 1)
    assert.match(
      wide.stderr,
      /limits\.processes: 200 is more than .*node\.json allows: a policy that is given can only narrow it/,
    )
    assert.equal((await berth([...node, ...policy({ limits: { processes: 50 } }), '--', 'true'], { cwd: dir })).code, 0)
    assert.match((await sh(['--policy', path('none')], 'true')).stderr, /--policy: ".*none" does not exist/)
    assert.match((await sh(policy({ fils: {} }), 'true')).stderr, /unknown property "fils".*files/)
  })

  it('holds bundles to a policy that is given, beside their own', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'cat /etc/passwd /data/file'], (config) => {
      config.annotations = { 'io.berth.files.execute': '/bin', 'io.berth.files.read': '/etc;/data' }
    })
    for (const name of ['etc', 'data']) mkdirSync(join(bundle.dir, 'rootfs', name), { recursive: true })
    writeFileSync(join(bundle.dir, 'rootfs/etc/passwd'), 'passwd\n')
    writeFileSync(join(bundle.dir, 'rootfs/data/file'), 'data\n')
    const id = `command-${process.pid}`
    const both = await berth(['run', '--bundle', bundle.dir, id])
    assert.equal(both.stdout, 'passwd\ndata\n', both.stderr)
    const given = policy({ files: { execute: ['/bin'], read: ['/data'] } })
    const narrowed = await berth(['run', ...given, '--bundle', bundle.dir, id])
    assert.equal(narrowed.stdout, 'data\n')
    assert.match(narrowed.stderr, /passwd'?: Permission denied/)
  })

  it('refuses what makes no sense', async () => {
    const refused = async (args: readonly string[], pattern: RegExp) => {
      const { code, stderr } = await berth(['run', ...args])
      assert.equal(code, 2, stderr)
      assert.match(stderr, pattern)
    }
    await refused(['--'], /no command is given behind --/)
    await refused(['id', '--', 'true'], /unexpected argument "id" before --/)
    await refused(['--bundle', '/x', '--', 'true'], /--bundle: is for bundles only/)
    await refused(['--commit', 'id'], /--commit: is for commands/)
    await refused(['--commit', '--dry-run', '--', 'true'], /exclude each other/)
    await refused(['--network', 'some', '--', 'true'], /expected host or none/)
    const missing = await berth(['run', '--', '/no/such/program'])
    assert.equal(missing.code, 1)
    assert.match(missing.stderr, /\/no\/such\/program/)
  })
})

describe('commands of an ordinary user', { skip: noUsers }, () => {
  let user: User
  hasUser((made) => {
    user = made
  })

  it('have a layer in a directory of theirs, and say why there is none of the whole root', async () => {
    const work = join(user.dir, 'work')
    mkdirSync(work)
    writeFileSync(join(work, 'old'), 'old')
    user.give(work)
    const whole = await user.berth(['run', '--', 'true'])
    assert.equal(whole.code, 1)
    assert.match(whole.stderr, /without root there is no copy-on-write layer of the whole root, .*: give --workdir DIR/)
    const script = `cd ${work}; id -u; rm old; echo new >new; touch ${user.dir}/beside 2>/dev/null || echo read-only`
    const shown = await user.berth(['run', '--workdir', work, '--dry-run', '--', 'sh', '-c', script])
    assert.deepEqual(
      [shown.code, shown.stdout, shown.stderr],
      [0, `${UID}\nread-only\n`, `berth: dry-run: filesystem changes:\nA ${work}/new\nD ${work}/old\n`],
    )
    const done = await user.berth(['run', '--workdir', work, '--commit', '--', 'sh', '-c', script])
    assert.deepEqual([done.code, done.stderr, readdirSync(work)], [0, '', ['new']])
    assert.equal(statSync(join(work, 'new')).uid, UID)
  })
})
