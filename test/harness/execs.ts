/** Tasks that are created, exec'd into and deleted, and execs without end in one task: nothing is left, and nothing grows. */
import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { containerd } from '../../shim/proto/messages.gen.js'
import { type Config, notHere } from './bundle.ts'
import { controllerPids, nothingLeft, snapshot } from './host.ts'
import { atATime, closeClients, eventsSocket, Image, Task } from './life.ts'
import { processOf } from './sequences.ts'
import { Daemon } from './shim.ts'
import { descriptors, privateKb } from './usage.ts'

const v2 = containerd.task

const shimOf = async (task: Task): Promise<number> =>
  v2.ConnectResponse.decode(await task.call('Connect', v2.ConnectRequest.encode({ id: task.id }).finish())).shimPid

const begin = async (task: Task, image: Image): Promise<void> => {
  await task.create(image)
  await task.call('Start', v2.StartRequest.encode({ id: task.id }).finish())
}

/** Exec, Wait and Start, the exit, Delete. */
const exec = async (task: Task, config: Config, execId: string): Promise<void> => {
  const named = { id: task.id, execId }
  const spec = processOf(config, { args: ['/bin/sh', '-c', 'exit 7'] })
  await task.call('Exec', v2.ExecRequest.encode({ ...named, spec }).finish())
  const wait = task.call('Wait', v2.WaitRequest.encode(named).finish())
  await task.call('Start', v2.StartRequest.encode(named).finish())
  assert.equal(v2.WaitResponse.decode(await wait).exitStatus, 7)
  await task.call('Delete', v2.DeleteRequest.encode(named).finish())
}

const end = async (task: Task, daemon: Daemon): Promise<void> => {
  const id = { id: task.id }
  await task.call('Kill', v2.KillRequest.encode({ ...id, signal: 9, all: true }).finish())
  await task.call('Wait', v2.WaitRequest.encode(id).finish())
  await task.call('Delete', v2.DeleteRequest.encode(id).finish())
  await task.call('Shutdown', v2.ShutdownRequest.encode(id).finish())
  task.client.close()
  await daemon.delete(task.id)
}

/** Of a monitor and its controller, once the controller is quiet: it then gives back what its last requests took. */
const usage = async (monitor: number) => {
  await sleep(2000)
  const [controller = 0] = controllerPids()
  return {
    monitorFds: descriptors(monitor),
    monitorKb: privateKb(monitor),
    controllerFds: descriptors(controller),
    controllerKb: privateKb(controller),
  }
}
type Usage = Awaited<ReturnType<typeof usage>>

/** `kb`: what V8 keeps of code that it has compiled better meanwhile. */
const flat = (early: Usage, late: Usage, kb: number): void => {
  assert.ok(late.monitorFds <= early.monitorFds)
  assert.ok(late.monitorKb <= early.monitorKb + 64)
  assert.ok(late.controllerFds <= early.controllerFds + 2)
  assert.ok(late.controllerKb <= early.controllerKb + kb)
}

/** `tasks`: how many of them, after a fifth that warms up; `execs`: after a tenth. */
export const execTests = (tasks: number, execs: number): void => {
  describe('execs', { skip: notHere }, () => {
    let pristine: Set<string>
    let daemon: Daemon
    let image: Image
    let config: Config
    let events: ReturnType<typeof eventsSocket>
    before(() => {
      image = new Image()
      config = image.config(['/bin/sleep', '10000'])
    })
    after(() => image[Symbol.dispose]())
    beforeEach(() => {
      for (const pid of controllerPids()) process.kill(pid, 'SIGKILL')
      pristine = snapshot()
      daemon = new Daemon()
      events = eventsSocket(daemon)
    })
    afterEach(async () => {
      closeClients()
      events.close()
      daemon[Symbol.dispose]()
      await nothingLeft(pristine)
    })

    for (const [where, annotations] of [
      ['one shim', { 'io.containerd.runc.v2.group': 'group' }],
      ['shims of their own', {}],
    ] as const)
      it(`${tasks} tasks of ${where}, 10 at a time`, async (t) => {
        // It stays for all of it: of the group's shim, or of one that has nothing to do.
        const first = await Task.start(daemon, 'group', { ...config, annotations })
        await begin(first, image)
        const monitor = await shimOf(first)
        const lives = (from: number, count: number) =>
          atATime(count, 10, async (index) => {
            const task = await Task.start(daemon, `e${from + index}`, { ...config, annotations })
            await begin(task, image)
            await exec(task, config, 'one')
            await end(task, daemon)
          })
        await lives(0, tasks / 5)
        const early = await usage(monitor)
        const begun = performance.now()
        await lives(tasks / 5, tasks)
        const seconds = (performance.now() - begun) / 1000
        const late = await usage(monitor)
        t.diagnostic(JSON.stringify({ early, late, perSecond: Math.round(tasks / seconds) }))
        flat(early, late, 8192)
        await end(first, daemon)
        assert.equal(events.topics.filter((topic) => topic === '/tasks/delete').length, tasks + tasks / 5 + 1)
      })

    it(`${execs} execs in one task, 10 at a time`, async (t) => {
      const task = await Task.start(daemon, 'one', config)
      await begin(task, image)
      const monitor = await shimOf(task)
      await atATime(execs / 10, 10, (index) => exec(task, config, `warm${index}`))
      const early = await usage(monitor)
      const begun = performance.now()
      await atATime(execs, 10, (index) => exec(task, config, `e${index}`))
      const seconds = (performance.now() - begun) / 1000
      const late = await usage(monitor)
      t.diagnostic(JSON.stringify({ early, late, perSecond: Math.round(execs / seconds) }))
      flat(early, late, 8192)
      await end(task, daemon)
      assert.equal(events.topics.filter((topic) => topic === '/tasks/exec-started').length, execs + execs / 10)
    })
  })
}
