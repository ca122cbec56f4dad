/** The shim process killed or ended: what runs on, what the delete call removes of it, and what it can still tell (trap 17). */
import assert from 'node:assert/strict'
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { type Config, notHere } from '../harness/bundle.ts'
import { hasEnded, monitorPids, ourProcesses, until } from '../harness/host.ts'
import { type Image, Task } from '../harness/life.ts'
import { SHELL } from '../harness/sequences.ts'
import type { Daemon } from '../harness/shim.ts'
import { hasDaemon } from '../harness/suite.ts'

const v2 = containerd.task
const TERM = 15
const freezer = '/sys/fs/cgroup/freezer'
/** Whether this kernel keeps the exit status of a process that was reaped with its pidfd (6.15). */
const [major = 0, minor = 0] = release().split('.').map(Number)
const kept = major > 6 || (major === 6 && minor >= 15)

describe('the shim process ends', { skip: notHere }, () => {
  let daemon: Daemon
  let image: Image
  hasDaemon((...made) => {
    ;[daemon, image] = made
  })

  /** The numbers of signals count from 1. */
  const catches = (pid: number, signal: number) => {
    const mask = /^SigCgt:\s*(\w+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0'
    return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n
  }

  const named = (id: string) => v2.StateRequest.encode({ id }).finish()
  const create = async (id: string, change: (config: Config) => void = () => {}) => {
    const config = image.config(SHELL) // ends with 5 at SIGTERM
    change(config)
    const task = await Task.start(daemon, id, config)
    return { task, pid: await task.create(image) }
  }
  const start = async (id: string, change?: (config: Config) => void) => {
    const one = await create(id, change)
    await one.task.call('Start', named(id))
    await until('the shell has set its trap', () => hasEnded(one.pid) || catches(one.pid, TERM))
    return one
  }
  const deleted = async (id: string, cwd?: string) => {
    const { pid, exitStatus, exitedAt } = v2.DeleteResponse.decode(await daemon.delete(id, cwd))
    assert.ok(Math.abs(Number(exitedAt?.seconds) - Date.now() / 1000) < 60)
    return { pid, exitStatus }
  }
  const ofSandbox = (config: Config) => {
    config.annotations = { 'io.kubernetes.cri.sandbox-id': 'pod', 'io.kubernetes.cri.container-type': 'sandbox' }
  }
  const member = (config: Config) => {
    config.annotations = { 'io.kubernetes.cri.sandbox-id': 'pod', 'io.kubernetes.cri.container-type': 'container' }
  }

  for (const signal of ['SIGKILL', 'SIGTERM'] as const)
    it(`by ${signal}: what runs or is paused lives on, what is parked leaves, and each delete call removes its own`, async () => {
      const pod = await start('pod', ofSandbox)
      const running = await start('running', member)
      const paused = await start('paused', member)
      const parked = await create('parked', member)
      await paused.task.call('Pause', named('paused'))
      await daemon.stop('pod', signal)
      await until('the parked one has left', () => hasEnded(parked.pid))
      assert.deepEqual(
        [pod, running, paused].map(({ pid }) => hasEnded(pid)),
        [false, false, false],
      )

      for (const { task, pid } of [paused, running]) assert.deepEqual(await deleted(task.id), { pid, exitStatus: 137 })
      assert.equal((await deleted('parked')).pid, parked.pid)
      assert.equal(hasEnded(pod.pid), false)
      assert.deepEqual(await deleted('pod'), { pid: pod.pid, exitStatus: 137 })
      // Again, with nothing there.
      assert.deepEqual(await deleted('pod'), { pid: 0, exitStatus: 137 })
    })

  it('what ends after it, and was reaped by whoever inherited it, has its own status', {
    skip: !kept && 'needs Linux 6.15',
  }, async () => {
    const { pid } = await start('later')
    await daemon.stop('later', 'SIGKILL')
    process.kill(pid, 'SIGTERM')
    await until('its end', () => hasEnded(pid))
    assert.deepEqual(await deleted('later'), { pid, exitStatus: 5 })
  })

  const limited = (config: Config) => {
    config.annotations = { 'io.berth.limits.maxDuration': '1000' }
  }
  const guards = () => ourProcesses().filter(({ name }) => name === 'berth-guard')

  it('a container whose policy needs it ends with it, and the delete call tells how', async () => {
    const { pid } = await start('guarded', limited)
    const { pid: other } = await start('unguarded')
    assert.equal(guards().length, 1)
    await daemon.stop('guarded', 'SIGKILL')
    await until('its end', () => hasEnded(pid) && guards().length === 0)
    assert.equal(hasEnded(other), false)
    assert.deepEqual(await deleted('guarded'), { pid, exitStatus: 137 })
    // The call may come before that end.
    const { pid: next } = await start('guarded', limited)
    await daemon.stop('guarded', 'SIGKILL')
    assert.deepEqual(await deleted('guarded'), { pid: next, exitStatus: 137 })
    assert.equal(guards().length, 0)
    await daemon.stop('unguarded', 'SIGKILL')
    await deleted('unguarded')
  })

  it('nor does one go on without its guard', async () => {
    const { task } = await start('alone', limited)
    for (const { pid } of guards()) process.kill(pid, 'SIGKILL')
    const { exitStatus } = v2.WaitResponse.decode(await task.call('Wait', named('alone')))
    assert.equal(exitStatus, 137)
    const [dir = ''] = globSync('/run/berth/.shim/*/*/alone')
    assert.match(readFileSync(join(dir, 'exit.json'), 'utf8'), /"reason":"policy"/)
    await task.call('Delete', named('alone'))
    await task.call('Shutdown', named('alone'))
    await until('the shim has left', () => monitorPids(daemon.address, 'alone').length === 0)
    await deleted('alone')
  })

  it('what ended before has the status and the time that were written down', async () => {
    const { task, pid } = await start('earlier')
    process.kill(pid, 'SIGTERM')
    const waited = v2.WaitResponse.decode(await task.call('Wait', named('earlier')))
    await daemon.stop('earlier', 'SIGKILL')
    const answer = v2.DeleteResponse.decode(await daemon.delete('earlier'))
    assert.deepEqual([answer.pid, answer.exitStatus, answer.exitedAt], [pid, 5, waited.exitedAt])
  })

  it('the delete call does without config.json, bundle and state, from anywhere', async () => {
    const { task, pid } = await start('torn')
    await daemon.stop('torn', 'SIGKILL')
    rmSync(join(task.bundle, 'config.json'))
    assert.deepEqual(await deleted('torn', '/'), { pid, exitStatus: 137 })
    rmSync(task.bundle, { recursive: true })
    assert.deepEqual(await deleted('torn', '/'), { pid: 0, exitStatus: 137 })
    assert.deepEqual(await deleted('never-was', '/proc'), { pid: 0, exitStatus: 137 })
  })

  it('the delete call answers in time where a process can not be killed yet, and ends it later', {
    skip: !existsSync(freezer) && 'needs the v1 freezer',
  }, async () => {
    const above = join(freezer, 'berth-test-above')
    mkdirSync(above)
    const { pid } = await start('stuck', (config) => {
      config.linux.cgroupsPath = '/berth-test-above/stuck'
    })
    await daemon.stop('stuck', 'SIGKILL')
    writeFileSync(join(above, 'freezer.state'), 'FROZEN')
    const began = performance.now()
    assert.deepEqual(await deleted('stuck'), { pid, exitStatus: 137 })
    assert.ok(performance.now() - began < 5000)
    assert.equal(hasEnded(pid), false)
    writeFileSync(join(above, 'freezer.state'), 'THAWED')
    await until('its end', () => hasEnded(pid))
    const roots = readdirSync('/sys/fs/cgroup').map((name) => join('/sys/fs/cgroup', name, 'berth-test-above'))
    await until('no cgroup', () => {
      for (const dir of roots.filter((path) => existsSync(path)))
        try {
          rmdirSync(dir)
        } catch {
          return false
        }
      return true
    })
    assert.equal(readFileSync('/proc/self/mountinfo', 'utf8').includes(daemon.dir), false)
  })
})
