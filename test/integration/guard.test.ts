/** What enforces a policy and is a process: its end, whichever of them it is, is the container's (trap 18). */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { hasEnded, ourProcesses, pidsWith, until } from '../harness/host.ts'
import { JudgingNode } from '../harness/judged.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach, hasUser } from '../harness/suite.ts'
import { noUsers, type User } from '../harness/user.ts'

const id = `guard-${process.pid}`

const limited = (change: (config: Config) => void) => (config: Config) => {
  config.annotations = { 'io.berth.limits.maxDuration': '1000' }
  change(config)
}
const sleeping = () =>
  new Bundle(
    ['/bin/sleep', '1000'],
    limited(() => {}),
  )
const recorded = (dir: string, name: string) => Number.parseInt(readFileSync(join(dir, 'helpers', name), 'utf8'), 10)
const monitorIn = (dir: string): number => JSON.parse(readFileSync(join(dir, 'state.json'), 'utf8')).monitor.pid

describe('a guard', { skip: notHere }, () => {
  deletesAfterEach(id)
  const dir = `/run/berth/${id}`

  const start = async (bundle: Bundle) => {
    for (const command of [
      ['create', '--bundle', bundle.dir, id],
      ['start', id],
    ]) {
      const { code, stderr } = await berth(command)
      assert.equal(code, 0, stderr)
    }
    return { init: (await state()).pid as number, guard: recorded(dir, 'guard'), monitor: monitorIn(dir) }
  }
  const state = async () => JSON.parse((await berth(['state', id])).stdout) as Config
  const endsForPolicy = async (pids: readonly number[]) => {
    await until('the end of all', () => pids.every(hasEnded))
    const { status, annotations } = await state()
    assert.deepEqual([status, annotations['io.berth.reason']], ['stopped', 'policy'])
    const { code, stderr } = await berth(['delete', id])
    assert.equal(code, 0, stderr)
    assert.equal(existsSync(dir), false)
  }

  it('is there where a policy needs its monitor, holds nothing else, and can not be looked into', async () => {
    using bundle = sleeping()
    const { guard, init } = await start(bundle)
    assert.deepEqual(ourProcesses().filter(({ name }) => name === 'berth-guard').map(({ pid }) => pid), [guard]) // biome-ignore format: one line
    const held = readdirSync(`/proc/${guard}/fd`).map((fd) => readlinkSync(`/proc/${guard}/fd/${fd}`))
    assert.deepEqual(
      held.filter((to) => !/^(\/dev\/null|pipe:.*|anon_inode:\[pidfd\]|pidfd:.*)$/.test(to)),
      [],
    )
    assert.equal(held.length, 3 + 3) // both processes, and the word to the monitor
    assert.match(readFileSync(`/proc/${guard}/status`, 'utf8'), /^NoNewPrivs:\t1$/m)
    await berth(['kill', id, 'KILL'])
    await until('its end', () => hasEnded(init) && hasEnded(guard))
    // Kernels before 6.15 may not tell that it was a signal.
    assert.match((await state()).annotations['io.berth.reason'], /^(signal|exit)$/)
  })

  it('is not there where none does', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.annotations = { 'io.berth.limits.processes': '10' }
    })
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    assert.deepEqual(
      ourProcesses().filter(({ name }) => name === 'berth-guard'),
      [],
    )
  })

  for (const who of ['monitor', 'guard'] as const) {
    it(`ends the container where the ${who} is killed`, async () => {
      using bundle = sleeping()
      const all = await start(bundle)
      process.kill(all[who], 'SIGKILL')
      await endsForPolicy(Object.values(all))
    })

    it(`and all of its processes, where the ${who} is killed: paused, and without a pid namespace of its own`, async () => {
      const withoutPid = (config: Config) => {
        config.linux.namespaces = config.linux.namespaces.filter(({ type }: Config) => type !== 'pid')
      }
      using bundle = new Bundle(['/bin/sh', '-c', 'sleep 12321 & sleep 12321'], limited(withoutPid))
      const all = await start(bundle)
      const asleep = () => pidsWith((args) => args[1] === '12321')
      await until('both', () => asleep().length === 2)
      assert.equal((await berth(['pause', id])).code, 0)
      const pids = asleep()
      process.kill(all[who], 'SIGKILL')
      await endsForPolicy([...Object.values(all), ...pids])
    })

    it(`ends a container that is parked where the ${who} is killed`, async () => {
      using bundle = sleeping()
      assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
      const all = { init: (await state()).pid as number, guard: recorded(dir, 'guard'), monitor: monitorIn(dir) }
      process.kill(all[who], 'SIGKILL')
      await until('the end of all', () => Object.values(all).every(hasEnded))
      assert.equal((await state()).status, 'stopped')
    })
  }

  it('leaves a container to itself only where it is killed together with the monitor', async () => {
    using bundle = sleeping()
    const { init, guard, monitor } = await start(bundle)
    for (const signal of ['SIGSTOP', 'SIGKILL']) for (const pid of [guard, monitor]) process.kill(pid, signal)
    await until('their end', () => hasEnded(guard) && hasEnded(monitor))
    assert.equal(hasEnded(init), false)
    assert.equal((await state()).status, 'running')
    assert.equal((await berth(['delete', '--force', id])).code, 0)
    assert.equal(hasEnded(init), true)
  })

  for (const what of ['', ', even if all that was written down is lost'] as const)
    it(`does not stay behind, nor does another helper, where somebody has stopped them all${what}`, async () => {
      using node = new JudgingNode()
      const policy = {
        network: { allow: ['localhost:80'], refresh: 60 },
        http: { allow: ['GET localhost/'] },
      }
      const flags = node.config("export const onSyscall = () => 'allow'", {}, policy)
      using bundle = new Bundle(['/bin/sleep', '1000'])
      const made = await berth([...flags, 'run', '--detach', '--bundle', bundle.dir, id])
      assert.deepEqual([made.code, made.stderr], [0, ''])
      const names = readdirSync(join(dir, 'helpers'))
      assert.deepEqual(names.sort(), [
        'guard',
        'http-accept',
        'http-worker',
        'names-apply',
        'names-worker',
        'supervisor',
      ])
      const pids = names.map((name) => recorded(dir, name))
      assert.equal(pids.some(hasEnded), false)
      for (const pid of pids) process.kill(pid, 'SIGSTOP')
      if (what !== '') for (const name of ['config.json', 'undo', 'delete']) rmSync(join(dir, name))
      const removed = await berth(['delete', '--force', id])
      assert.equal(removed.code, 0, removed.stderr)
      assert.equal(pids.every(hasEnded), true)
      assert.equal(existsSync(dir), false)
    })

  it('ends with a container whose maker fails after it', async () => {
    using bundle = sleeping()
    // Which is looked at last.
    const { code } = await berth(['create', '--bundle', bundle.dir, '--pid-file', '/no/such/place', id])
    assert.notEqual(code, 0)
    await until('no guard', () => ourProcesses().every(({ name }) => name !== 'berth-guard'))
  })
})

describe('a guard of an ordinary user', { skip: noUsers }, () => {
  let user: User
  hasUser((made) => {
    user = made
  })

  for (const who of ['monitor', 'guard'] as const)
    it(`ends the container where the ${who} is killed`, async () => {
      user.configure(
        ['/bin/sleep', '1000'],
        limited(() => {}),
      )
      const made = await user.berth(['run', '--detach', '--bundle', user.bundle, id])
      assert.deepEqual([made.code, made.stderr], [0, ''])
      const dir = join(user.runtimeDir, 'berth', id)
      const state = async () => JSON.parse((await user.berth(['state', id])).stdout) as Config
      const all = { init: (await state()).pid as number, guard: recorded(dir, 'guard'), monitor: monitorIn(dir) }
      process.kill(all[who], 'SIGKILL')
      await until('the end of all', () => Object.values(all).every(hasEnded))
      const { status, annotations } = await state()
      assert.deepEqual([status, annotations['io.berth.reason']], ['stopped', 'policy'])
      assert.equal((await user.berth(['delete', id])).code, 0)
      assert.equal(existsSync(dir), false)
    })
})
