/** S13 (CVE-2026-30892) and S14: users, ids and sub-cgroups are what was written, or an error. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { stateOf } from '../harness/pod.ts'
import { berth } from '../harness/run.ts'

const id = `s13-${process.pid}`

describe('S13, S14: names', { skip: notHere }, () => {
  let bundle: Bundle
  before(async () => {
    bundle = new Bundle(['/bin/sleep', '1000'])
    chmodSync(join(bundle.dir, 'rootfs'), 0o755)
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
  })
  after(async () => {
    await berth(['delete', '--force', id])
    bundle[Symbol.dispose]()
  })

  for (const [user, uid, gid] of [
    ['0', 0, 0],
    ['1000', 1000, 0],
    ['7:8', 7, 8],
    ['4294967294:4294967294', 4294967294, 4294967294],
  ] as const)
    it(`S13: exec -u ${user} is uid ${uid}, gid ${gid}`, async () => {
      const done = await berth(['exec', '-u', user, id, '/bin/sh', '-c', 'stat -L -c %u:%g /proc/self'])
      assert.equal(done.stdout, `${uid}:${gid}\n`, done.stderr)
    })

  const bad = [
    '+0',
    '-1',
    ' 0',
    '0 ',
    '0\n',
    '1:',
    ':1',
    ':',
    '1:2:3',
    '0x0',
    '0:+1',
    '1e3',
    '00',
    '01',
    '١',
    '1.0',
    'root',
    '1000:root',
    '4294967295',
    '0:4294967295',
    '4294967296',
    '0:4294967296',
    '18446744073709551616',
    '99999999999999999999',
    '1,2',
    '0;0',
    '0\u00a0',
  ] // prettier-ignore
  for (const user of bad)
    it(`S13: exec -u ${JSON.stringify(user)} is refused`, async () => {
      const done = await berth(['exec', `--user=${user}`, id, '/bin/true'])
      assert.notEqual(done.code, 0, done.stdout)
      assert.match(done.stderr, /user .*invalid: expected UID\[:GID\]/)
    })

  for (const [property, value] of [
    ['uid', 4294967295],
    ['gid', 4294967295],
    ['uid', -1],
    ['uid', 4294967296],
    ['uid', 1.5],
    ['uid', '0'],
  ] as const)
    it(`S13: a configuration whose ${property} is ${JSON.stringify(value)} is refused`, async () => {
      using other = new Bundle(['/bin/true'], (config) => {
        config.process.user[property] = value
      })
      const done = await berth(['create', '--bundle', other.dir, `${id}-user`])
      assert.equal(done.code, 1)
      assert.match(done.stderr, new RegExp(`/process/user/${property}`))
    })

  it('S13: a group that is 2^32-1 is refused', async () => {
    using other = new Bundle(['/bin/true'], (config) => {
      config.process.user.additionalGids = [1, 4294967295]
    })
    const done = await berth(['create', '--bundle', other.dir, `${id}-user`])
    assert.equal(done.code, 1)
    assert.match(done.stderr, /additionalGids/)
  })

  for (const name of [
    'a/b',
    '/a',
    '..',
    '.',
    '../x',
    '.controller',
    '.shim',
    '-x',
    'a b',
    'a\nb',
    'a:b',
    'ä',
    'a%2fb',
    '',
    'x'.repeat(256),
  ])
    it(`S14: the id ${JSON.stringify(name.slice(0, 12))} is refused by every verb`, async () => {
      const entries = readdirSync('/run/berth').sort()
      for (const args of [
        ['create', '--bundle', bundle.dir],
        ['state'],
        ['start'],
        ['kill'],
        ['delete', '--force'],
        ['exec'],
      ]) {
        const done = await berth([...args, '--', name, ...(args[0] === 'exec' ? ['/bin/true'] : [])])
        assert.notEqual(done.code, 0, args.join(' '))
        assert.match(done.stderr, /container id/, args.join(' '))
      }
      assert.deepEqual(readdirSync('/run/berth').sort(), entries)
    })

  for (const path of [
    '..',
    '../x',
    'sub/../..',
    '/..',
    './../x',
    'pids:../x',
    'pids:sub/../../x',
    '../../../../../../tmp',
  ])
    it(`S14: exec --cgroup ${path} is refused`, async () => {
      const done = await berth(['exec', '--cgroup', path, id, '/bin/true'])
      assert.notEqual(done.code, 0)
      assert.match(done.stderr, /--cgroup .*"\.\." is not allowed/)
    })

  it('S14: exec --cgroup goes below the container’s cgroup, or nowhere', async () => {
    const missing = await berth(['exec', '--cgroup', 'none', id, '/bin/true'])
    assert.notEqual(missing.code, 0)
    assert.match(missing.stderr, /none.*no such file/)
    const paths = JSON.parse(readFileSync(`/run/berth/${id}/state.json`, 'utf8')).cgroupPaths as string[]
    const pids = paths.find((path) => path.includes('/pids/'))
    mkdirSync(join(pids ?? paths[0] ?? '', 'sub'))
    const done = await berth(['exec', '--cgroup', pids ? 'pids:sub' : 'sub', id, '/bin/cat', '/proc/self/cgroup'])
    assert.equal(done.code, 0, done.stderr)
    assert.match(done.stdout, new RegExp(`/berth-${id}/sub$`, 'm'))
  })

  it('S14: a cgroupsPath that leads out is refused', async () => {
    for (const cgroupsPath of ['/..', '/a/../../b', '../x', 'a/../../..', '/', '.']) {
      using other = new Bundle(['/bin/true'], (config) => {
        config.linux.cgroupsPath = cgroupsPath
      })
      const done = await berth(['create', '--bundle', other.dir, `${id}-path`])
      assert.equal(done.code, 1, cgroupsPath)
      assert.match(done.stderr, /cgroupsPath/)
    }
    assert.equal(existsSync('/run/berth/x'), false)
    assert.equal((await stateOf(id)).status, 'running')
  })
})
