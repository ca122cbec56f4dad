/** The shim without containerd, over the real socket: traps 4, 5, 9 and 15, and the order of events. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import type { RpcError } from '../../shim/ttrpc/status.ts'
import { notHere } from '../harness/bundle.ts'
import { controllerPids, until } from '../harness/host.ts'
import { type eventsSocket, type Image, Task } from '../harness/life.ts'
import type { Daemon } from '../harness/shim.ts'
import { hasDaemon } from '../harness/suite.ts'

const v2 = containerd.task

describe('shim', { skip: notHere }, () => {
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  hasDaemon((...made) => {
    ;[daemon, image, events] = made
  })

  it('publishes the events of a life in order', async () => {
    const task = await Task.start(daemon, 'order', image.config(['/bin/sh', '-c', 'exit 9']))
    assert.equal(await task.live(daemon, image), 9)
    // An answer goes before its event.
    await until('the last event', () => events.topics.length === 4)
    assert.deepEqual(events.topics, ['/tasks/create', '/tasks/start', '/tasks/exit', '/tasks/delete'])
  })

  it('a controller that is killed during any call changes nothing', async () => {
    for (let delay = 0; delay < 30; delay += 3) {
      const id = `kill${delay}`
      const task = await Task.start(daemon, id, image.config(['/bin/sh', '-c', 'exit 3']))
      const killer = setInterval(() => {
        for (const pid of controllerPids())
          try {
            process.kill(pid, 'SIGKILL')
          } catch {
            // it has ended
          }
      }, 60 + delay)
      const stop = setTimeout(() => clearInterval(killer), 400)
      assert.equal(await task.live(daemon, image), 3)
      clearTimeout(stop)
      clearInterval(killer)
    }
  })

  it('trap 15: what is unanswered is bounded, and a short request still gets through', async () => {
    const task = await Task.start(daemon, 'flood', image.config(['/bin/sleep', '1000']))
    await task.create(image)
    for (const pid of controllerPids()) process.kill(pid, 'SIGSTOP')
    const big = new Uint8Array(3 << 20)
    const answers = Array.from({ length: 30 }, () => task.call('Nonsense', big).catch((e: RpcError) => e.code))
    const refused = await Promise.race(answers)
    assert.equal(refused, 8)
    for (const pid of controllerPids()) process.kill(pid, 'SIGCONT')
    const kill = task.call('Kill', v2.KillRequest.encode({ id: 'flood', signal: 9 }).finish())
    await kill
    const codes = await Promise.all(answers)
    assert.ok(codes.includes(12), 'those that were taken are answered by the controller')
    await task.call('Wait', v2.WaitRequest.encode({ id: 'flood' }).finish())
    await task.call('Delete', v2.DeleteRequest.encode({ id: 'flood' }).finish())
    await task.call('Shutdown', v2.ShutdownRequest.encode({ id: 'flood' }).finish())
    task.client.close()
    await daemon.delete('flood')
  })
})
