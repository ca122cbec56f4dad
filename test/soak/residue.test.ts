/** 500 lives leave monitors and controller with the memory and descriptors that they had after 50. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { notHere } from '../harness/bundle.ts'
import { controllerPids } from '../harness/host.ts'
import { atATime, closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { Daemon } from '../harness/shim.ts'
import { descriptors, privateKb } from '../harness/usage.ts'

const v2 = containerd.task

describe('residue', { skip: notHere }, () => {
  after(closeClients)

  it('500 lives', async (t) => {
    for (const pid of controllerPids()) process.kill(pid, 'SIGKILL') // those of other builds, too
    const daemon = new Daemon()
    const image = new Image()
    const events = eventsSocket(daemon)
    const config = image.config(['/bin/true'])
    // A pod whose shim stays for all of it, and in which other containers live and die.
    const pod = await Task.start(daemon, 'pod', {
      ...config,
      process: { ...config.process, args: ['/bin/sleep', '10000'] },
      annotations: { 'io.kubernetes.cri.sandbox-id': 'pod', 'io.kubernetes.cri.container-type': 'sandbox' },
    })
    await pod.create(image)
    await pod.call('Start', v2.StartRequest.encode({ id: 'pod' }).finish())
    const connected = await pod.call('Connect', v2.ConnectRequest.encode({ id: 'pod' }).finish())
    const { shimPid } = v2.ConnectResponse.decode(connected)
    const member = { ...config, annotations: { 'io.kubernetes.cri.sandbox-id': 'pod' } }
    const lives = (from: number, count: number) =>
      atATime(count, 10, async (i) => {
        const task = await Task.start(daemon, `r${from + i}`, i % 2 === 0 ? member : config)
        assert.equal(await task.live(daemon, image), 0)
      })
    const measure = () => {
      const [controller] = controllerPids()
      assert.ok(controller)
      return {
        controllerFds: descriptors(controller),
        controllerKb: privateKb(controller),
        monitorFds: descriptors(shimPid),
        monitorKb: privateKb(shimPid),
      }
    }
    // A quiet controller gives back what its last requests took.
    const settled = () => new Promise((resolve) => setTimeout(resolve, 2000))
    await lives(0, 50)
    await settled()
    const early = measure()
    await lives(50, 450)
    await settled()
    const late = measure()
    t.diagnostic(JSON.stringify({ early, late }))
    assert.ok(late.controllerFds <= early.controllerFds + 2)
    assert.ok(late.monitorFds <= early.monitorFds)
    assert.ok(late.monitorKb <= early.monitorKb + 64)
    // What V8 keeps of code that it has compiled better meanwhile: a leak of 4 kB a life would be twice this.
    assert.ok(late.controllerKb <= early.controllerKb + 4096)
    await pod.call('Kill', v2.KillRequest.encode({ id: 'pod', signal: 9, all: true }).finish())
    await pod.call('Wait', v2.WaitRequest.encode({ id: 'pod' }).finish())
    await pod.call('Delete', v2.DeleteRequest.encode({ id: 'pod' }).finish())
    await pod.call('Shutdown', v2.ShutdownRequest.encode({ id: 'pod' }).finish())
    pod.client.close()
    await daemon.delete('pod')
    events.close()
  })
})
