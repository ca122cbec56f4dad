/** What a pod's shim process costs: alone, with fifty tasks, under requests, and after them. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { notHere } from '../harness/bundle.ts'
import { nothingLeft, snapshot } from '../harness/host.ts'
import { atATime, closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { Daemon } from '../harness/shim.ts'

const v2 = containerd.task
const TASKS = 50
const REQUESTS = 1000

const privateKb = (pid: number) =>
  Number(/Private_Dirty: +(\d+)/.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1])

describe('memory of a shim process', { skip: notHere }, () => {
  const before = snapshot()
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  beforeEach(() => {
    daemon = new Daemon()
    image = new Image()
    events = eventsSocket(daemon)
  })
  afterEach(async () => {
    closeClients()
    events.close()
    // What a failure has left: the monitor goes by a signal, the containers by the delete call.
    await daemon.stop('pod')
    for (const id of ['pod', ...Array.from({ length: TASKS - 1 }, (_, i) => `m${i}`)])
      if (existsSync(join(daemon.dir, id))) await daemon.delete(id)
    daemon[Symbol.dispose]()
    image[Symbol.dispose]()
    await nothingLeft(before)
  })

  it(`${TASKS} tasks, ${REQUESTS} requests`, async (t) => {
    const named = (id: string) => v2.StateRequest.encode({ id }).finish()
    const config = image.config(['/bin/sleep', '10000'])
    const start = async (id: string, type: string) => {
      const annotations = { 'io.kubernetes.cri.sandbox-id': 'pod', 'io.kubernetes.cri.container-type': type }
      const task = await Task.start(daemon, id, { ...config, annotations })
      await task.create(image)
      await task.call('Start', named(id))
      return task
    }
    const end = async (task: Task) => {
      const { id } = task
      await task.call('Kill', v2.KillRequest.encode({ id, signal: 9, all: true }).finish())
      await task.call('Wait', named(id))
      await task.call('Delete', named(id))
      await task.call('Shutdown', named(id))
      task.client.close()
      await daemon.delete(id)
    }

    const sandbox = await start('pod', 'sandbox')
    const { shimPid } = v2.ConnectResponse.decode(await sandbox.call('Connect', named('pod')))
    const one = privateKb(shimPid)
    const members: Task[] = []
    await atATime(TASKS - 1, 5, async (i) => {
      members.push(await start(`m${i}`, 'container'))
    })
    const record = readFileSync(`${recordDir(shimPid)}/pod/record`).length
    const many = privateKb(shimPid)
    let most = 0
    const methods = ['State', 'Pids', 'Stats', 'Connect']
    await atATime(REQUESTS, 20, async (i) => {
      const task = members[i % members.length] ?? sandbox
      await task.call(methods[i % methods.length] ?? 'State', named(task.id))
      if (i % 50 === 0) most = Math.max(most, privateKb(shimPid))
    })
    const quiet = privateKb(shimPid)
    await atATime(members.length, 5, async (i) => end(members[i] ?? sandbox))
    const last = privateKb(shimPid)
    t.diagnostic(JSON.stringify({ record, privateKb: { one, many, most, quiet, last } }))
    assert.ok(one <= 200)
    assert.ok(many <= 400 && quiet <= 400)
    assert.ok(most <= 1024)
    assert.ok(last <= one + 100)
    await end(sandbox)
  })
})

/** Where a shim has its containers' directories, by its arguments. */
const recordDir = (pid: number): string =>
  /\0stateDir=([^\0]+)/.exec(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))?.[1] ?? ''
