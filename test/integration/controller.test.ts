/** `berth controller`: a controller that is held, looked at and stopped. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { binary, controllerPids, hasEnded, nothingLeft, snapshot, until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

describe('the controller', { skip: notHere }, () => {
  let before: Set<string>
  beforeEach(async () => {
    await berth(['controller', 'stop'])
    await until('no controller', () => controllerPids().length === 0)
    before = snapshot()
  })
  afterEach(() => nothingLeft(before))

  it('is not started to be looked at, or to be stopped', async () => {
    const status = await berth(['controller', 'status'])
    assert.deepEqual([status.code, status.stdout], [3, 'no controller is running\n'])
    const stop = await berth(['--root', '/run/berth', 'controller', 'stop'])
    assert.deepEqual([stop.code, stop.stdout], [0, 'no controller is running\n'])
    assert.deepEqual(controllerPids(), [])
  })

  it('says how it is; once it is stopped, what runs is served by another', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    const id = `controller-${process.pid}`
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    const [pid] = controllerPids()
    const { stdout } = await berth(['controller', 'status', '--json'])
    const status = JSON.parse(stdout)
    assert.equal(status.pid, pid)
    assert.equal(status.build, readFileSync(new URL('../../build/build-id', import.meta.url), 'utf8').trim())
    assert.ok(status.requests >= 2 && status.sessions >= 1 && status.holds === 0)
    assert.ok(status.memory > 1 << 20 && status.memory < status.memoryBound)
    assert.match((await berth(['controller', 'status'])).stdout, new RegExp(`^pid: +${pid}$`, 'm'))

    assert.equal((await berth(['controller', 'stop'])).code, 0)
    await until('the controller has left', () => hasEnded(pid ?? 0))
    assert.equal((await berth(['exec', id, '/bin/true'])).code, 0)
    assert.notEqual(controllerPids()[0], pid)
    assert.equal((await berth(['delete', '--force', id])).code, 0)
  })

  it('stays while it is held, comes back when it is killed, and ends with `stop`', async () => {
    const env = { ...process.env, BERTH_CONTROLLER_IDLE: '1' }
    const service = spawn(binary, ['controller'], { stdio: 'ignore', env })
    const ended = new Promise((resolve) => service.on('exit', resolve))
    const held = async () => JSON.parse((await berth(['controller', 'status', '--json'])).stdout || '{}').holds === 1
    await until('it is held', () => controllerPids().length === 1)
    while (!(await held())) {}
    const [first = 0] = controllerPids()
    // Longer than an idle one stays.
    await new Promise((resolve) => setTimeout(resolve, 2500))
    assert.equal(hasEnded(first), false)

    process.kill(first, 'SIGKILL')
    await until('another', () => controllerPids().some((pid) => pid !== first))
    while (!(await held())) {}
    assert.equal((await berth(['controller', 'stop'])).code, 0)
    assert.equal(await ended, 0)
    await until('no controller', () => controllerPids().length === 0)
  })

  it('refuses other words', async () => {
    const { code, stderr } = await berth(['controller', 'dance'])
    assert.equal(code, 2)
    assert.equal(stderr, 'berth: controller: unknown word "dance": expected status or stop\n')
  })
})
