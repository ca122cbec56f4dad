/** System calls that policies refuse. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bring, noCompiler } from '../harness/attack.ts'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { DOORS, lines } from '../harness/doors.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `syscalls-${process.pid}`

describe('system calls of policies', { skip: notHere || noCompiler }, () => {
  deletesAfterEach(id)
  const run = async (syscalls: object, script: string, change: (config: Config) => void = () => {}) => {
    using bundle = new Bundle(['/bin/sh', '-c', script], (config) => {
      config.root.readonly = false
      config.annotations = { 'io.berth.policy.inline': JSON.stringify({ syscalls }) }
      change(config)
    })
    bring(bundle, 'doors')
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

  it('are refused through every door', async () => {
    const args = [{ index: 2, op: 'SCMP_CMP_EQ', value: 0o711 }]
    const other = [{ index: 1, op: 'SCMP_CMP_EQ', value: 0o711 }]
    const syscalls = {
      deny: ['mkdir', 'mkdirat'],
      rules: [
        { names: ['fchmodat', 'fchmodat2'], args },
        { names: ['chmod'], args: other },
      ],
    }
    const script = '/doors mkdir /tmp/d; touch /tmp/f; /doors chmod /tmp/f 711; /doors chmod /tmp/f 700'
    const { stdout, stderr } = await run(syscalls, script)
    // a filter has its say before the kernel looks whether there is an x32
    const refused = (doors: readonly string[]) => lines(doors, 'EPERM').replace('x32 ENOSYS', 'x32 EPERM')
    assert.equal(stdout, refused(DOORS.mkdir) + refused(DOORS.chmod) + lines(DOORS.chmod, 'open'), stderr)
    const without = await run({ deny: ['reboot'] }, script)
    const made = lines(DOORS.mkdir, (door) => (door === 'io_uring' ? 'EPERM' : 'open'))
    assert.equal(without.stdout, made + lines(DOORS.chmod, 'open') + lines(DOORS.chmod, 'open'), without.stderr)
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
