/** Checkpoint, and Create from one, over the real socket: states, events, and controllers that die over it. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before as beforeAll, beforeEach, describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { RpcError } from '../../shim/ttrpc/status.ts'
import { criu, noCriu, removeMountRoots } from '../harness/criu.ts'
import { controllerPids, nothingLeft, snapshot, until } from '../harness/host.ts'
import { closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { Daemon } from '../harness/shim.ts'

const v2 = containerd.task
const COUNTER = 'exec 3>>/data/counts; n=0; while :; do n=$((n+1)); echo $n >&3; usleep 20000; done'

describe('checkpoint calls', { skip: noCriu }, () => {
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  let before: Set<string>
  let data: string
  beforeAll(() => {
    image = new Image()
  })
  after(() => image?.[Symbol.dispose]())
  beforeEach(() => {
    before = snapshot()
    daemon = new Daemon()
    events = eventsSocket(daemon)
    data = mkdtempSync(join(tmpdir(), 'berth-counts-'))
  })
  afterEach(async () => {
    closeClients()
    events.close()
    daemon[Symbol.dispose]()
    rmSync(data, { recursive: true })
    await nothingLeft(before)
  })

  const options = {
    typeUrl: 'containerd.runc.v1.Options',
    value: containerd.options.RuncOptions.encode({ criuPath: criu ?? '' }).finish(),
  }
  const counts = (): number[] => {
    const file = join(data, 'counts')
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : []
  }
  const start = async (id: string, checkpoint = ''): Promise<Task> => {
    const config = image.config(['/bin/sh', '-c', COUNTER])
    // The image, as it is shared, is mounted read-only.
    config.mounts.push({ destination: '/tmp', type: 'tmpfs' }, { destination: '/root', type: 'tmpfs' })
    const mounts = [...config.mounts, { destination: '/root', type: 'bind', source: data, options: ['rbind'] }]
    const process = { ...config.process, args: ['/bin/sh', '-c', COUNTER.replaceAll('/data', '/root')] }
    const task = await Task.start(daemon, id, { ...config, mounts, process })
    const request = { id, bundle: task.bundle, rootfs: [...image.rootfs], options, checkpoint }
    const { pid } = v2.CreateResponse.decode(await task.call('Create', v2.CreateRequest.encode(request).finish()))
    assert.equal(pid === 0, checkpoint !== '')
    return task
  }
  const stateOf = async ({ id, call }: { id: string; call: Task['call'] }) =>
    v2.StateResponse.decode(await call('State', v2.StateRequest.encode({ id }).finish()))
  const state = (task: Task) => stateOf({ id: task.id, call: task.call.bind(task) })
  const named = ({ id }: Task) => v2.StartRequest.encode({ id }).finish()
  const checkpoint = (task: Task, path: string, exit: boolean) => {
    const value = containerd.options.CheckpointOptions.encode({ exit }).finish()
    const request = { id: task.id, path, options: { typeUrl: 'containerd.runc.v1.CheckpointOptions', value } }
    return task.call('Checkpoint', v2.CheckpointRequest.encode(request).finish())
  }
  const end = async (task: Task) => {
    await task.call('Delete', named(task))
    await task.call('Shutdown', named(task))
    task.client.close()
    await daemon.delete(task.id)
  }
  const refused = (message: RegExp) => (error: unknown) => {
    assert.ok(error instanceof RpcError)
    assert.match(error.message, message)
    return true
  }
  const killControllers = () => {
    for (const pid of controllerPids())
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // it has ended
      }
  }

  /** Each controller that serves the call is killed, as long as few enough are for the monitor to try on. */
  const underFire = async <R>(call: Promise<R>): Promise<R> => {
    let shots = 0
    const killer = setInterval(() => (shots++ < 10 ? killControllers() : clearInterval(killer)), 50)
    try {
      return await call
    } finally {
      clearInterval(killer)
    }
  }

  it('a task that ends with its checkpoint, and one that Start brings back', async () => {
    const path = join(daemon.dir, 'images')
    const old = await start('old')
    await assert.rejects(checkpoint(old, path, true), refused(/cannot checkpoint a task in created state/))
    await old.call('Start', named(old))
    await until('it counts', () => counts().length > 3)
    const wait = old.call('Wait', named(old))
    await checkpoint(old, path, true)
    assert.equal(v2.WaitResponse.decode(await wait).exitStatus, 137)
    await assert.rejects(checkpoint(old, path, true), refused(/cannot checkpoint a stopped container/))
    await end(old)

    const dumped = counts().length
    const task = await start('new', path)
    assert.deepEqual([(await state(task)).pid, (await state(task)).status], [0, v2.Status.CREATED])
    const kill = v2.KillRequest.encode({ id: 'new', signal: 9, all: true }).finish()
    await assert.rejects(task.call('Kill', kill), refused(/process not created: failed precondition/))
    const exec = { id: 'new', execId: 'e', spec: { typeUrl: '', value: Buffer.from('{}') } }
    await assert.rejects(task.call('Exec', v2.ExecRequest.encode(exec).finish()), refused(/cannot exec in a created/))
    const started = v2.StartResponse.decode(await task.call('Start', named(task)))
    assert.ok(started.pid > 0)
    assert.deepEqual([(await state(task)).pid, (await state(task)).status], [started.pid, v2.Status.RUNNING])
    await until('it counts on', () => counts().length > dumped + 3)
    assert.deepEqual(
      counts(),
      counts().map((_, index) => index + 1),
    )
    const ended = task.call('Wait', named(task))
    await task.call('Kill', kill)
    assert.equal(v2.WaitResponse.decode(await ended).exitStatus, 137)
    await end(task)
    assert.deepEqual(events.of('new'), ['/tasks/create', '/tasks/start', '/tasks/exit', '/tasks/delete'])
  })

  it('controllers that are killed during checkpoint and restore change nothing', async () => {
    const path = join(daemon.dir, 'images')
    const old = await start('old')
    await old.call('Start', named(old))
    await until('it counts', () => counts().length > 3)
    await underFire(checkpoint(old, path, true))
    await old.call('Wait', named(old))
    await end(old)
    const dumped = counts().length
    const task = await underFire(start('new', path))
    await underFire(task.call('Start', named(task)))
    await until('it counts on', () => counts().length > dumped + 3)
    assert.deepEqual(
      counts(),
      counts().map((_, index) => index + 1),
    )
    const ended = task.call('Wait', named(task))
    await task.call('Kill', v2.KillRequest.encode({ id: 'new', signal: 9 }).finish())
    await ended
    await end(task)
  })

  it('a shim that is killed during a restore leaves what the delete call takes away', async () => {
    const path = join(daemon.dir, 'images')
    const old = await start('old')
    await old.call('Start', named(old))
    await until('it counts', () => counts().length > 3)
    await checkpoint(old, path, true)
    await old.call('Wait', named(old))
    await end(old)
    const task = await start('new', path)
    const connected = v2.ConnectResponse.decode(await task.call('Connect', named(task)))
    const cgroup = '/sys/fs/cgroup/unified/berth-test-new/cgroup.procs'
    const lost = task.call('Start', named(task)).catch((error: unknown) => error)
    await until('CRIU is at work', () => existsSync(cgroup) && readFileSync(cgroup, 'utf8') !== '')
    process.kill(connected.shimPid, 'SIGKILL')
    assert.ok((await lost) instanceof Error)
    await daemon.delete('new')
    removeMountRoots()
  })
})
