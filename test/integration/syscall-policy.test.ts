/** System calls that policies refuse. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `syscalls-${process.pid}`

describe('system calls of policies', { skip: notHere }, () => {
  deletesAfterEach(id)
  const run = async (syscalls: object, script: string, change: (config: Config) => void = () => {}) => {
    using bundle = new Bundle(['/bin/sh', '-c', script], (config) => {
      config.root.readonly = false
      config.annotations = { 'io.berth.policy.inline': JSON.stringify({ syscalls }) }
      change(config)
    })
    return await berth(['run', '--bundle', bundle.dir, id])
  }
  const tried = 'mkdir /tmp/d && echo made || echo refused; chmod 700 /tmp && echo changed'

  for (const noNewPrivileges of [true, false])
    it(`are refused with no_new_privs ${noNewPrivileges}, and others are not`, async () => {
      const { stdout, stderr } = await run({ deny: ['mkdir', 'mkdirat', '@default'] }, tried, (config) => {
        config.process.noNewPrivileges = noNewPrivileges
      })
      assert.equal(stdout, 'refused\nchanged\n', stderr)
      assert.match(stderr, /Operation not permitted/)
    })

  it('are refused by their arguments', async () => {
    const args = [{ index: 1, op: 'SCMP_CMP_EQ', value: 0o711 }]
    const { stdout } = await run(
      { rules: [{ names: ['chmod'], args }] },
      'chmod 711 /tmp || echo refused; chmod 700 /tmp && echo changed',
    )
    assert.equal(stdout, 'refused\nchanged\n')
  })

  it('are refused to execs', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.root.readonly = false
      config.annotations = { 'io.berth.syscalls.deny': 'mkdir;mkdirat' }
    })
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    assert.match((await berth(['exec', id, '/bin/mkdir', '/tmp/d'])).stderr, /Operation not permitted/)
  })

  it('that a start needs are an error of create', async () => {
    const { code, stderr } = await run({ deny: ['execve'] }, 'true')
    assert.equal(code, 1)
    assert.match(stderr, /policy: syscalls: refuses execve, which a container needs to be started/)
  })
})
