/** The shim without containerd, over the real socket: traps 4, 5, 9 and 15, and the order of events. */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { RpcError } from '../../shim/ttrpc/status.ts'
import { notHere } from '../harness/bundle.ts'
import { controllerPids, nothingLeft, root, snapshot, until } from '../harness/host.ts'
import { closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { Daemon } from '../harness/shim.ts'

const v2 = containerd.task

/** A copy of the installation whose controller is the given program. */
function installWith(controller: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'berth-install-'))
  mkdirSync(join(dir, 'bin'))
  mkdirSync(join(dir, 'dist'))
  cpSync(join(root, 'bin/berth'), join(dir, 'bin/berth'))
  symlinkSync('berth', join(dir, 'bin/containerd-shim-berth-v2'))
  cpSync(realpathSync(join(root, 'dist/node')), join(dir, 'dist/node'))
  writeFileSync(join(dir, 'dist/controller.js'), controller)
  return dir
}

describe('shim', { skip: notHere }, () => {
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  let before: Set<string>
  beforeEach(() => {
    before = snapshot()
    daemon = new Daemon()
    image = new Image()
    events = eventsSocket(daemon)
  })
  afterEach(async () => {
    closeClients()
    events.close()
    daemon[Symbol.dispose]()
    image[Symbol.dispose]()
    await nothingLeft(before)
  })

  it('publishes the events of a life in order', async () => {
    const task = await Task.start(daemon, 'order', image.config(['/bin/sh', '-c', 'exit 9']))
    assert.equal(await task.live(daemon, image), 9)
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

  it('trap 4: a controller that dies over every request is answered for, on a connection that stays', async () => {
    const dir = installWith(`require('net').createServer(() => process.exit(1)).listen({ fd: 3 })`)
    try {
      const broken = new Daemon(join(dir, 'bin/containerd-shim-berth-v2'))
      const task = await Task.start(broken, 'broken', image.config(['/bin/true']))
      const error = await task.create(image).catch((e) => e)
      assert.ok(error instanceof RpcError)
      assert.equal(error.code, 2)
      assert.match(error.message, /controller/)
      // the same connection serves on
      await assert.rejects(task.call('State', v2.StateRequest.encode({ id: 'broken' }).finish()), RpcError)
      task.client.close()
      await broken.stop('broken')
      await broken.delete('broken')
      broken[Symbol.dispose]()
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  })

  it('trap 5: start says what is missing, and delete needs no Node', async () => {
    const dir = installWith('')
    rmSync(join(dir, 'dist/node'))
    const broken = new Daemon(join(dir, 'bin/containerd-shim-berth-v2'))
    broken.bundle('none')
    await assert.rejects(broken.start('none'), /node.*missing|missing.*node/)
    await broken.delete('none')
    broken[Symbol.dispose]()
    rmSync(dir, { recursive: true, force: true })
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

  it('delete cleans up after a shim that was killed', async () => {
    const task = await Task.start(daemon, 'gone', image.config(['/bin/sleep', '1000']))
    await task.create(image)
    await task.call('Start', v2.StartRequest.encode({ id: 'gone' }).finish())
    const { shimPid } = v2.ConnectResponse.decode(
      await task.call('Connect', v2.ConnectRequest.encode({ id: 'gone' }).finish()),
    )
    process.kill(shimPid, 'SIGKILL')
    await until('disconnected', () =>
      task.call('State', v2.StateRequest.encode({ id: 'gone' }).finish()).then(
        () => false,
        () => true,
      ),
    )
    await daemon.delete('gone')
    await daemon.delete('gone')
  })
})
