/** What an ordinary user's containers may not do to the host, and what its files may not do to others. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { berth } from '../harness/run.ts'
import { hasUser } from '../harness/suite.ts'
import { noUsers, type User } from '../harness/user.ts'

const id = `rootless-${process.pid}`
const memory = '/sys/fs/cgroup/memory'

describe('S12: rootless', { skip: noUsers }, () => {
  let user: User
  hasUser((made) => {
    user = made
  })

  it('S12: cgroups that were given to the user are read-only in its containers, below what covers them too', {
    skip: !existsSync(`${memory}/tasks`) && 'needs cgroup v1',
  }, async () => {
    const own = readFileSync('/proc/self/cgroup', 'utf8').match(/^\d+:memory:(.*)$/m)?.[1] ?? '/'
    const given = join(memory, own, `given-${process.pid}`)
    mkdirSync(given)
    user.give(given)
    try {
      // What the config mounts over /sys/fs/cgroup is its root's to take away again.
      const script = `umount /sys/fs/cgroup && test -d ${given} && mkdir ${given}/x`
      user.configure(['/bin/sh', '-c', script], (config) => {
        for (const set of ['bounding', 'effective', 'permitted'])
          config.process.capabilities[set].push('CAP_SYS_ADMIN', 'CAP_DAC_OVERRIDE')
      })
      const done = await user.berth(['run', '--bundle', user.bundle, id])
      assert.equal(done.code, 1)
      assert.match(done.stderr, /mkdir: can't create directory .*: Read-only file system/)
      // It is the mount that refuses, not the directory's owner.
      assert.equal((await user.enter([...user.as, 'mkdir', `${given}/x`])).code, 0)
      rmdirSync(`${given}/x`)
    } finally {
      rmdirSync(given)
    }
  })

  it('trap 10: state that one user wrote is not acted on by another, root included', async () => {
    user.configure(['/bin/sleep', '1000'])
    assert.equal((await user.berth(['run', '--detach', '--bundle', user.bundle, id])).code, 0)
    const root = join(user.runtimeDir, 'berth')
    for (const command of [
      ['state', id],
      ['kill', id, 'KILL'],
      ['exec', id, 'true'],
      ['delete', '--force', id],
    ]) {
      const done = await berth(['--root', root, ...command])
      assert.notEqual(done.code, 0)
      assert.match(done.stderr, /belongs to uid 12345, and is not trusted by uid 0/)
    }
    assert.equal((await berth(['--root', root, 'list', '--quiet'])).stdout, '')
    const created = await berth(['--root', root, 'create', '--bundle', user.bundle, `${id}-2`])
    assert.equal(created.code, 1)
    assert.match(created.stderr, /--root: ".*" belongs to uid 12345, not trusted/)
    assert.equal(JSON.parse((await user.berth(['state', id])).stdout).status, 'running')
    assert.equal((await user.berth(['delete', '--force', id])).code, 0)
  })
})
