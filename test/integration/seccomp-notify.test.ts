/** A real agent behind linux.seccomp.listenerPath: it gets the listener before the first call that it is asked for (trap 21, S17). */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Agent, nativeArch, numberOf } from '../harness/agent.ts'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { nothingLeft, snapshot } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

describe('seccomp notification', { skip: notHere }, () => {
  let before: Set<string>
  let dir: string
  const id = `notify-${process.pid}`
  beforeEach(() => {
    before = snapshot()
    dir = mkdtempSync(join(tmpdir(), 'berth-notify-'))
  })
  afterEach(async () => {
    await berth(['delete', '--force', id])
    rmSync(dir, { recursive: true })
    await nothingLeft(before)
  })

  const notifying = (names: readonly string[], change: (seccomp: Config, config: Config) => void = () => {}) =>
    ((config: Config) => {
      config.linux.seccomp = {
        defaultAction: 'SCMP_ACT_ALLOW',
        architectures: [nativeArch],
        listenerPath: join(dir, 'agent'),
        listenerMetadata: 'for <the> agent',
        syscalls: [{ names, action: 'SCMP_ACT_NOTIFY' }],
      }
      change(config.linux.seccomp, config)
    }) satisfies (config: Config) => void

  const run = (bundle: Bundle, ...args: string[]) => berth([...args, '--bundle', bundle.dir, id])

  it('sends the container process state with the listener, for the init and for each exec', async () => {
    await using agent = await Agent.start(join(dir, 'agent'))
    using bundle = new Bundle(
      ['/bin/sleep', '1000'],
      notifying(['mkdir'], (_, config) => {
        config.annotations = { b: '2', a: '1' }
      }),
    )
    assert.equal((await run(bundle, 'create')).stderr, '')
    const state = JSON.parse((await berth(['state', id])).stdout)
    const common = { ociVersion: bundle.config.ociVersion, fds: ['seccompFd'], metadata: 'for <the> agent', count: 1 }
    const inner = {
      ociVersion: bundle.config.ociVersion,
      id,
      pid: state.pid,
      bundle: bundle.dir,
      annotations: { a: '1', b: '2' },
    }
    assert.deepEqual(agent.messages(), [{ ...common, pid: state.pid, state: { ...inner, status: 'creating' } }])
    assert.equal((await berth(['start', id])).stderr, '')
    await berth(['exec', id, '/bin/mkdir', '/tmp/made'])
    const second = agent.messages()[1]
    assert.notEqual(second.pid, state.pid)
    assert.deepEqual(second, { ...common, pid: second.pid, state: { ...inner, status: 'running' } })
    assert.equal(agent.asked('mkdir'), 1)
    assert.equal(agent.lines.find(({ call }) => call === numberOf('mkdir'))?.pid, second.pid)
  })

  it('puts calls to the agent, whose answer counts', async () => {
    await using _agent = await Agent.start(join(dir, 'agent'), `${numberOf('mkdir')}=28`)
    using bundle = new Bundle(['/bin/mkdir', '/tmp/made'], notifying(['mkdir', 'mkdirat']))
    const done = await run(bundle, 'run')
    assert.equal(done.code, 1)
    assert.match(done.stderr, /No space left on device/)
  })

  const early = ['sendmsg', 'write', 'close', 'execve', 'fcntl', 'read']
  for (const noNewPrivileges of [true, false])
    for (const name of [...early, 'prctl', 'capset'])
      it(`${name} in the profile does not lock up create, start and exec (noNewPrivileges ${noNewPrivileges})`, async () => {
        await using agent = await Agent.start(join(dir, 'agent'))
        using bundle = new Bundle(
          ['/bin/sleep', '1000'],
          notifying([name], (_, config) => {
            config.process.noNewPrivileges = noNewPrivileges
          }),
        )
        assert.equal((await run(bundle, 'create')).stderr, '')
        // What is parked has let go of its listener: when the agent dies its calls fail instead of hanging.
        const { pid } = JSON.parse((await berth(['state', id])).stdout)
        const fds = execFileSync('ls', ['-l', `/proc/${pid}/fd`], { encoding: 'utf8' })
        assert.doesNotMatch(fds, /seccomp/)
        assert.equal((await berth(['start', id])).stderr, '')
        const exec = await berth(['exec', id, '/bin/echo', 'hello'])
        assert.deepEqual([exec.stdout, exec.code], ['hello\n', 0], exec.stderr)
        if (['write', 'close', 'execve', 'read'].includes(name)) assert.ok(agent.asked(name) >= 2)
      })

  it('every call can be put to the agent: notification as the default action, with every flag', async () => {
    await using agent = await Agent.start(join(dir, 'agent'))
    using bundle = new Bundle(
      ['/bin/echo', 'asked'],
      notifying([], (seccomp) => {
        seccomp.defaultAction = 'SCMP_ACT_NOTIFY'
        delete seccomp.syscalls
        seccomp.flags = ['TSYNC', 'LOG', 'SPEC_ALLOW', 'WAIT_KILLABLE_RECV'].map(
          (flag) => `SECCOMP_FILTER_FLAG_${flag}`,
        )
      }),
    )
    const done = await run(bundle, 'run')
    assert.deepEqual([done.stdout, done.code], ['asked\n', 0], done.stderr)
    assert.ok(agent.asked('execve') >= 1 && agent.asked('exit_group') === 1)
  })

  it('an agent that is not there, or refuses what the runtime needs, is an error of create', async () => {
    using bundle = new Bundle(['/bin/true'], notifying(['mkdir']))
    const absent = await run(bundle, 'create')
    assert.equal(absent.code, 1)
    assert.match(absent.stderr, /linux\.seccomp\.listenerPath: connect ".*\/agent": no such file/)
    await using _agent = await Agent.start(join(dir, 'agent'), `${numberOf('read')}=5`)
    notifying(['read'])(bundle.config)
    bundle.write()
    const refused = await run(bundle, 'create')
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /ended before it was ready/)
  })

  it('is no matter without SCMP_ACT_NOTIFY: the path is ignored', async () => {
    using bundle = new Bundle(
      ['/bin/true'],
      notifying(['mkdir'], (seccomp) => {
        seccomp.syscalls[0].action = 'SCMP_ACT_ERRNO'
      }),
    )
    assert.equal((await run(bundle, 'run')).stderr, '')
  })
})
