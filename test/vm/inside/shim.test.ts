/** The shim on cgroup v2: a task's life, its figures, and other limits, against the real files. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { containerd } from '../../../shim/proto/messages.gen.js'
import { containerd as figures } from '../../../shim/proto/metrics.gen.js'
import { hasEnded, until } from '../../harness/host.ts'
import { type eventsSocket, type Image, Task } from '../../harness/life.ts'
import type { Daemon } from '../../harness/shim.ts'
import { hasDaemon } from '../../harness/suite.ts'

const { v2: metrics } = figures.metrics
const v2 = containerd.task
const MiB = 1 << 20
const id = 'task'
const dir = `/sys/fs/cgroup/berth-test-${id}`
const file = (name: string) => readFileSync(`${dir}/${name}`, 'utf8').trim()

describe('the shim on cgroup v2', () => {
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  hasDaemon((...made) => {
    ;[daemon, image, events] = made
  })

  it('tells of a process that the OOM killer ends while the container lives, and of each one', async () => {
    const config = image.config(['/bin/sh', '-c', 'tail /dev/zero; tail /dev/zero; sleep 1000'])
    config.linux.resources = { ...config.linux.resources, memory: { limit: 16 * MiB, swap: 16 * MiB } }
    const task = await Task.start(daemon, id, config)
    await task.create(image)
    await task.call('Start', v2.StartRequest.encode({ id }).finish())
    const ooms = () => events.topics.filter((topic) => topic === '/tasks/oom').length
    await until('both', () => ooms() === 2, 30_000)
    assert.equal(events.topics.includes('/tasks/exit'), false)
    await task.call('Kill', v2.KillRequest.encode({ id, signal: 9 }).finish())
    await task.call('Wait', v2.WaitRequest.encode({ id }).finish())
    await task.call('Delete', v2.DeleteRequest.encode({ id }).finish())
    await task.call('Shutdown', v2.ShutdownRequest.encode({ id }).finish())
    task.client.close()
    await daemon.delete(id)
    assert.equal(ooms(), 2)
  })

  it('lives, counts, is limited anew, runs out of memory, and leaves nothing', async () => {
    const config = image.config(['/bin/sh', '-c', 'read x; head -c 64m /dev/zero | tail >/dev/null; exit 5'])
    config.linux.resources = {
      ...config.linux.resources,
      memory: { limit: 64 * MiB, swap: 64 * MiB },
      pids: { limit: 30 },
    }
    const task = await Task.start(daemon, id, config)
    await task.create(image)
    assert.deepEqual([file('memory.max'), file('memory.swap.max'), file('pids.max')], [`${64 * MiB}`, '0', '30'])
    const wait = task.call('Wait', v2.WaitRequest.encode({ id }).finish())

    const stats = await task.call('Stats', v2.StatsRequest.encode({ id }).finish())
    const { stats: any } = v2.StatsResponse.decode(stats)
    assert.equal(any?.typeUrl, 'io.containerd.cgroups.v2.Metrics')
    const figures = metrics.Metrics.decode(any?.value ?? new Uint8Array())
    assert.equal(Number(figures.memory?.usageLimit), 64 * MiB)
    assert.equal(Number(figures.pids?.limit), 30)
    assert.equal(Number(figures.pids?.current), 1)
    assert.ok(Number(figures.memory?.usage) > 0 && Number(figures.memory?.anon) > 0)
    assert.ok(Number(figures.cpu?.usageUsec) > 0)
    assert.equal(Number(figures.cpu?.usageUsec) >= Number(figures.cpu?.userUsec), true)

    const resources = { memory: { limit: 16 * MiB, swap: 16 * MiB }, pids: { limit: 20 }, devices: [{ allow: false }] }
    const value = new TextEncoder().encode(JSON.stringify(resources))
    await task.call('Update', v2.UpdateRequest.encode({ id, resources: { typeUrl: 'x', value } }).finish())
    assert.deepEqual([file('memory.max'), file('pids.max')], [`${16 * MiB}`, '20'])

    await task.call('Start', v2.StartRequest.encode({ id }).finish())
    await task.call('Pause', v2.PauseRequest.encode({ id }).finish())
    assert.match(file('cgroup.events'), /frozen 1/)
    await task.call('Resume', v2.ResumeRequest.encode({ id }).finish())
    assert.match(file('cgroup.events'), /frozen 0/)
    // standard input is /dev/null: it reads EOF, and goes on to take more than it may
    assert.equal(v2.WaitResponse.decode(await wait).exitStatus, 5)
    await until('the event', () => events.topics.includes('/tasks/exit'))
    assert.ok(events.topics.includes('/tasks/oom'), events.topics.join(' '))
    assert.ok(events.topics.indexOf('/tasks/oom') < events.topics.indexOf('/tasks/exit'))
    await task.call('Delete', v2.DeleteRequest.encode({ id }).finish())
    assert.ok(!existsSync(dir))
    await task.call('Shutdown', v2.ShutdownRequest.encode({ id }).finish())
    task.client.close()
    await daemon.delete(id)
  })

  it('is killed under running and paused containers, which live on until the delete call ends them', async () => {
    const pids: number[] = []
    for (const name of ['running', 'paused']) {
      const task = await Task.start(daemon, name, image.config(['/bin/sleep', '1000']))
      pids.push(await task.create(image))
      await task.call('Start', v2.StartRequest.encode({ id: name }).finish())
      if (name === 'paused') await task.call('Pause', v2.PauseRequest.encode({ id: name }).finish())
      await daemon.stop(name, 'SIGKILL')
    }
    assert.deepEqual(pids.map(hasEnded), [false, false])
    assert.match(readFileSync('/sys/fs/cgroup/berth-test-paused/cgroup.events', 'utf8'), /frozen 1/)
    for (const [index, name] of ['running', 'paused'].entries()) {
      const { pid, exitStatus } = v2.DeleteResponse.decode(await daemon.delete(name))
      assert.deepEqual([pid, exitStatus], [pids[index], 137])
    }
  })
})
