/** Mounts of config.json, option by option, as the container's own mountinfo shows them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { leftOver, snapshot, until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

const id = `mounts-${process.pid}`
const sh = (...args: string[]) => execFileSync(args[0] ?? '', args.slice(1), { encoding: 'utf8' })

const noPython = existsSync('/usr/bin/python3') ? false : 'needs python3 to set attributes with'
const python = (...args: string[]) => sh('/usr/bin/python3', '-c', ...args)
const SET = 'import os,sys; os.setxattr(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))'
const GET =
  'import os,sys,json; f = sys.argv[1]; print(json.dumps({n: os.getxattr(f, n).hex() for n in sorted(os.listxattr(f))}))'
/** CAP_NET_BIND_SERVICE; user 1000 may read and write. */
const ATTRIBUTES = {
  'security.capability': '0000000200040000000000000000000000000000',
  'system.posix_acl_access': '0200000001000600ffffffff02000600e803000004000400ffffffff10000600ffffffff20000000ffffffff',
}

describe('mounts', { skip: notHere }, () => {
  let before: Set<string>
  let source: string
  beforeEach(() => {
    before = snapshot()
    source = mkdtempSync(join(tmpdir(), 'berth-mounts-'))
    sh('mount', '-t', 'tmpfs', '-o', 'mode=755', 'mounts', source)
    sh('mount', '--make-private', source)
    mkdirSync(join(source, 'below'))
    writeFileSync(join(source, 'file'), 'of the host')
    sh('mount', '-t', 'tmpfs', '-o', 'mode=755', 'below', join(source, 'below'))
  })
  afterEach(async () => {
    sh('umount', '-R', source)
    rmSync(source, { recursive: true })
    await until('nothing left', () => leftOver(before).length === 0).catch(() => assert.deepEqual(leftOver(before), []))
  })

  const run = async (mounts: Config[], script: string, prepare: (root: string, config: Config) => void = () => {}) => {
    using bundle = new Bundle(['/bin/sh', '-c', script], (config) => config.mounts.push(...mounts))
    prepare(join(bundle.dir, 'rootfs'), bundle.config)
    bundle.write()
    return await berth(['run', '--bundle', bundle.dir, id])
  }
  const good = async (...args: Parameters<typeof run>) => {
    const done = await run(...args)
    assert.deepEqual([done.code, done.stderr], [0, ''])
    return done.stdout.trim()
  }
  /** The options and the propagation of each mount below /data. */
  const shown = async (options: string[], mount: Config = {}) => {
    const script = 'grep " /data" /proc/self/mountinfo'
    const lines = (await good([{ destination: '/data', type: 'bind', source, options, ...mount }], script)).split('\n')
    return lines.map((line) => {
      const [fields = '', fs = ''] = line.split(' - ')
      const [, , , , point, flags = '', ...tags] = fields.split(' ')
      return { point, flags: flags.split(','), tags: tags.map((tag) => tag.replace(/:\d+$/, '')), fs }
    })
  }

  it('sets each attribute on the mount alone, and with an r before it on the whole tree', async () => {
    for (const option of ['ro', 'nosuid', 'nodev', 'noexec', 'noatime', 'nodiratime', 'nosymfollow']) {
      const [top, below] = await shown(['rbind', option])
      assert.ok(top?.flags.includes(option) && !below?.flags.includes(option), option)
      for (const { point, flags } of await shown(['rbind', `r${option}`]))
        assert.ok(flags.includes(option), `${point} r${option}`)
    }
    assert.ok((await shown(['rbind', 'rstrictatime'])).every(({ flags }) => !flags.includes('relatime')))
  })

  it('takes attributes of the source away, of the mount alone or of the whole tree', async () => {
    for (const dir of [source, join(source, 'below')])
      sh('mount', '-o', 'remount,bind,ro,nosuid,nodev,noexec,noatime', dir)
    const kept = ['ro', 'nosuid', 'nodev', 'noexec', 'noatime']
    const has = (flags: string[] = []) => kept.filter((option) => flags.includes(option))
    assert.deepEqual(
      (await shown(['rbind'])).map(({ flags }) => has(flags)),
      [kept, kept],
    )
    const [top, below] = await shown(['rbind', 'rw', 'suid', 'dev', 'exec', 'relatime'])
    assert.deepEqual([has(top?.flags), has(below?.flags)], [[], kept])
    const tree = await shown(['rbind', 'rrw', 'rsuid', 'rdev', 'rexec', 'rrelatime'])
    assert.deepEqual(
      tree.map(({ flags }) => has(flags)),
      [[], []],
    )
    for (const dir of [source, join(source, 'below')]) sh('mount', '-o', 'remount,bind,rw', dir)
  })

  it('sets the propagation of each mount', async () => {
    const [of, tree]: [Record<string, string[]>, Record<string, string[]>] = [{}, {}]
    for (const kind of ['private', 'shared', 'slave', 'unbindable']) {
      of[kind] = (await shown(['rbind', kind])).map(({ tags }) => tags.join())
      tree[kind] = (await shown(['rbind', `r${kind}`])).map(({ tags }) => tags.join())
    }
    assert.deepEqual(of, { private: ['', ''], shared: ['shared', ''], slave: ['', ''], unbindable: ['unbindable', ''] })
    assert.deepEqual(tree, {
      private: ['', ''],
      shared: ['shared', 'shared'],
      slave: ['', ''],
      unbindable: ['unbindable', 'unbindable'],
    })
    sh('mount', '--make-rshared', source)
    assert.deepEqual(
      (await shown(['rbind', 'rslave'])).map(({ tags }) => tags.join()),
      ['master', 'master'],
    )
  })

  it('sets what belongs to the file system', async () => {
    const of = async (...options: string[]) => (await shown(options, { type: 'tmpfs', source: 'tmpfs' }))[0]?.fs ?? ''
    for (const option of ['sync', 'dirsync', 'lazytime'])
      assert.match(await of(option), new RegExp(`[ ,]${option}(,|$)`))
    assert.match(await of('size=1m', 'mode=711', 'uid=5', 'nr_inodes=10'), /size=1024k,nr_inodes=10,mode=711,uid=5/)
    assert.doesNotMatch(await of('lazytime', 'nolazytime', 'sync', 'async'), /lazytime|sync/)
    // of no effect that could be seen, and no error
    await of('loud', 'silent', 'defaults', 'norelatime', 'nomand', 'iversion', 'noiversion')
  })

  it('takes the data of a bind for nobody’s, and says whose option it does not know', async () => {
    await shown(['bind', 'mode=755', 'size=1m'])
    const done = await run([{ destination: '/data', type: 'tmpfs', source: 'tmpfs', options: ['made=up'] }], 'true')
    assert.equal(done.code, 1)
    assert.match(done.stderr, /mounts\[\d+\].*made/)
  })

  it('changes a mount that is there', async () => {
    const mounts = [
      { destination: '/data', type: 'tmpfs', source: 'tmpfs', options: ['size=1m'] },
      { destination: '/data', type: 'tmpfs', options: ['remount', 'size=2m', 'nosuid'] },
      { destination: '/two', type: 'bind', source, options: ['bind'] },
      { destination: '/two', options: ['remount', 'bind', 'ro'] },
    ]
    const lines = await good(
      mounts,
      'grep -E " /(data|two) " /proc/self/mountinfo; touch /data/a; touch /two/a 2>&1 || true',
    )
    assert.match(lines, / \/data rw,nosuid.* - tmpfs .*size=2048k.* \/two ro.*Read-only/s)
    const none = await run([{ destination: '/tmp', options: ['remount', 'bind', 'ro'] }], 'true')
    assert.match(none.stderr, /mounts\[\d+\].*"\/tmp".*EINVAL/)
  })

  it('binds files, follows links within the root, takes a relative destination as below /', async () => {
    const mounts = [
      { destination: '/etc/new', type: 'bind', source: join(source, 'file'), options: ['bind', 'ro'] },
      { destination: '/link/x', type: 'bind', source: join(source, 'file'), options: ['bind'] },
      { destination: 'relative/dir', type: 'bind', source, options: ['bind'] },
    ]
    const done = await good(mounts, 'cat /etc/new /real/x /relative/dir/file', (root) => {
      mkdirSync(join(root, 'real'))
      symlinkSync('/real', join(root, 'link'))
    })
    assert.equal(done, 'of the host'.repeat(3))
  })

  it('copies what a tmpfs covers: links, kinds, owners, modes, times', async () => {
    const script = `cd /data && stat -c '%n %F %h %u:%g %a %Y' . file second link fifo null dir dir/deep && cat second && [ file -ef second ]
      readlink link; stat -c '%t:%T' null; cat /proc/self/mountinfo | grep -c ' /data '; true`
    const mount = { destination: '/data', type: 'tmpfs', source: 'tmpfs', options: ['tmpcopyup', 'nosuid'] }
    const listing = async (mounts: Config[]) =>
      await good(mounts, script, (root) => {
        const dir = join(root, 'data')
        mkdirSync(join(dir, 'dir'), { recursive: true })
        writeFileSync(join(dir, 'file'), 'content')
        writeFileSync(join(dir, 'dir/deep'), '')
        linkSync(join(dir, 'file'), join(dir, 'second'))
        symlinkSync('/nowhere', join(dir, 'link'))
        sh('mkfifo', '-m', '640', join(dir, 'fifo'))
        sh('mknod', '-m', '604', join(dir, 'null'), 'c', '1', '3')
        sh('chown', '-h', '12:34', ...['', 'file', 'link', 'fifo', 'dir'].map((name) => join(dir, name)))
        chmodSync(join(dir, 'file'), 0o4755)
        chmodSync(dir, 0o1771)
        for (const name of ['dir/deep', 'dir', 'file', 'fifo', 'null', '']) utimesSync(join(dir, name), 1000, 2000)
        lutimesSync(join(dir, 'link'), 1000, 2000)
      })
    const copied = (await listing([mount])).split('\n')
    const original = (await listing([])).split('\n')
    assert.equal(copied.pop(), '1')
    assert.equal(original.pop(), '0')
    assert.deepEqual(copied, original)
  })

  it('copies file capabilities and ACLs', { skip: noPython }, async () => {
    const mount = { destination: '/data', type: 'tmpfs', source: 'tmpfs', options: ['tmpcopyup'] }
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => config.mounts.push(mount))
    const file = join(bundle.dir, 'rootfs/data/file')
    mkdirSync(join(bundle.dir, 'rootfs/data'))
    writeFileSync(file, '')
    for (const [name, value] of Object.entries(ATTRIBUTES)) python(SET, file, name, value)
    try {
      assert.equal((await berth(['create', '--bundle', bundle.dir, id])).stderr, '')
      const { pid } = JSON.parse((await berth(['state', id])).stdout)
      const copied = python(GET, `/proc/${pid}/root/data/file`)
      assert.deepEqual(Object.keys(JSON.parse(copied)).sort(), Object.keys(ATTRIBUTES).sort())
      assert.equal(copied, python(GET, file))
    } finally {
      await berth(['delete', '--force', id])
    }
  })

  it('mounts an overlay of many layers', async () => {
    const long = 'l'.repeat(100)
    const layers = Array.from({ length: 40 }, (_, i) => {
      const layer = join(source, `${long}-${i}:x`)
      mkdirSync(layer)
      writeFileSync(join(layer, `of-${i}`), '')
      return layer.replaceAll(':', '\\:')
    })
    for (const name of ['upper', 'work']) mkdirSync(join(source, name))
    const options = [`lowerdir=${layers.join(':')}`, `upperdir=${source}/upper`, `workdir=${source}/work`]
    const mount = { destination: '/data', type: 'overlay', source: 'overlay', options }
    assert.equal(await good([mount], 'ls /data | grep -c of-; echo x >/data/new'), '40')
    assert.equal(sh('cat', join(source, 'upper/new')), 'x\n')
    const wrong = await run([{ ...mount, options: [...options, `lowerdir=/${'nope/'.repeat(100)}`] }], 'true')
    assert.match(wrong.stderr, /layer's path has more than 255 bytes/)
  })

  it('masks files and directories, and makes paths read-only, through links too, where they are there', async () => {
    const script = `exec 2>&1; cat /secret; ls /hidden | wc -l; touch /hidden/x; cat /linked; echo >/frozen/f; echo >/frozen/sub/f; true`
    const done = await good([], script, (root, config) => {
      for (const dir of ['hidden', 'second', 'frozen/sub']) mkdirSync(join(root, dir), { recursive: true })
      for (const file of ['secret', 'real', 'hidden/file', 'frozen/f']) writeFileSync(join(root, file), 'secret')
      symlinkSync('/real', join(root, 'linked'))
      config.linux.maskedPaths = ['/secret', '/hidden', '/second', '/linked', '/nope', '/nope/below']
      config.linux.readonlyPaths = ['/frozen', '/nope']
    })
    const lines = done.split('\n')
    assert.equal(lines[0], '0')
    assert.match(lines[1] ?? '', /Read-only/)
    assert.match(lines[2] ?? '', /Read-only/)
    assert.match(lines[3] ?? '', /Read-only/)
  })

  it('has its own file systems in a user namespace of its own', async () => {
    const script = `for m in /proc /sys /dev /dev/pts /dev/mqueue /dev/shm; do awk -v m=$m '$5 == m' /proc/self/mountinfo | wc -l; done
      echo x >/dev/null && head -c 4 /dev/zero | wc -c; [ -c /dev/ptmx ] && echo ptmx; ls -l /dev/fd | grep -c /proc/self/fd`
    const done = await good([], script, (root, config) => {
      for (const dir of ['..', '.']) chmodSync(join(root, dir), 0o755)
      config.linux.namespaces.push({ type: 'user' })
      for (const name of ['uidMappings', 'gidMappings'])
        config.linux[name] = [{ containerID: 0, hostID: 100000, size: 65536 }]
    })
    assert.equal(done.replaceAll('\n', ' '), '1 1 1 1 1 1 4 ptmx 1')
  })

  it('takes a root that is relative, a link, or a mount itself', async () => {
    for (const kind of ['relative', 'link', 'mount'] as const) {
      const done = await good([], 'ls -d /bin', (root, config) => {
        if (kind === 'relative') config.root.path = './rootfs/../rootfs'
        if (kind === 'link') {
          symlinkSync('rootfs', join(root, '../other'))
          config.root.path = 'other'
        }
        if (kind === 'mount') {
          sh('mount', '--bind', root, join(source, 'below'))
          config.root.path = join(source, 'below')
        }
      })
      assert.equal(done, '/bin', kind)
    }
  })
})
