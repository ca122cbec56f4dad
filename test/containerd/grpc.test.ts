/** Trap 16: the task API over gRPC, for the one containerd that can speak it with a shim, and beside ttrpc on the same socket. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { credentials, Client as Grpc, type requestCallback, type ServiceError } from '@grpc/grpc-js'
import { containerd as proto } from '../../shim/proto/messages.gen.js'
import type { RpcError } from '../../shim/ttrpc/index.ts'
import { notHere } from '../harness/bundle.ts'
import { Containerd, image, noVersion, runtime } from '../harness/containerd.ts'
import { controllerPids, nothingLeft, snapshot, until } from '../harness/host.ts'
import { closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { Daemon } from '../harness/shim.ts'

const v2 = proto.task

describe('ctr with containerd 1.7 over gRPC', { skip: noVersion('1.7') }, () => {
  let containerd: Containerd
  let pristine: Set<string>
  const id = `grpc-${process.pid}`
  const ctr = (...args: string[]) => containerd.ctr(args)
  const isRunning = async () => new RegExp(`${id} +\\d+ +RUNNING`).test((await ctr('task', 'ls')).stdout)

  before(async () => {
    containerd = await Containerd.start('1.7', { more: 'BERTH_SHIM_PROTOCOL=grpc' })
  })
  after(async () => {
    await containerd?.[Symbol.asyncDispose]()
  })
  beforeEach(() => {
    pristine = snapshot()
  })
  afterEach(async () => {
    await ctr('task', 'rm', '-f', id)
    await ctr('container', 'rm', id)
    await nothingLeft(pristine)
  })

  it('runs, prints and exits', async () => {
    const script = 'echo out; echo err >&2; exit 3'
    const done = await ctr('run', '--rm', '--runtime', runtime, image, id, '/bin/sh', '-c', script)
    assert.deepEqual(done, { code: 3, signal: null, stdout: 'out\n', stderr: 'err\n' })
  })

  it('says what is wrong with a program, in the same words', async () => {
    const done = await ctr('run', '--rm', '--runtime', runtime, image, id, '/bin/nope')
    assert.notEqual(done.code, 0)
    assert.match(done.stderr, /exec: "\/bin\/nope": stat \/bin\/nope: no such file or directory/)
  })

  it('executes, survives a restart of containerd and the end of the controller, kills and removes', async () => {
    const started = await ctr('run', '-d', '--runtime', runtime, image, id, '/bin/sleep', '1000')
    assert.equal(started.code, 0, started.stderr)
    const bundle = join(containerd.dir, 'state/io.containerd.runtime.v2.task/default', id)
    const address = JSON.parse(readFileSync(join(bundle, 'address'), 'utf8'))
    assert.equal(address.protocol, 'grpc')
    const executed = await ctr('task', 'exec', '--exec-id', 'c', id, '/bin/sh', '-c', 'echo in; exit 4')
    assert.deepEqual([executed.stdout, executed.code], ['in\n', 4])
    await containerd.restart()
    assert.ok(await isRunning())
    // What serves the connection has no part in it.
    for (const pid of sharedControllers()) process.kill(pid, 'SIGKILL')
    assert.equal((await ctr('task', 'exec', '--exec-id', 'd', id, '/bin/true')).code, 0)
    assert.equal((await ctr('task', 'kill', '-s', 'KILL', id)).code, 0)
    await until('stopped', async () => /STOPPED/.test((await ctr('task', 'ls')).stdout))
    assert.equal((await ctr('task', 'rm', id)).code, 0)
    assert.doesNotMatch((await ctr('task', 'ls')).stdout, new RegExp(id))
  })
})

describe('one socket', { skip: notHere }, () => {
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  let pristine: Set<string>
  let grpc: Grpc
  beforeEach(() => {
    pristine = snapshot()
    daemon = new Daemon()
    image = new Image()
    events = eventsSocket(daemon)
  })
  afterEach(async () => {
    grpc.close()
    closeClients()
    events.close()
    daemon[Symbol.dispose]()
    image[Symbol.dispose]()
    await nothingLeft(pristine)
  })

  const asTheyAre = (bytes: Uint8Array) => Buffer.from(bytes)
  const call = (method: string, payload: Uint8Array, service = 'containerd.task.v3.Task') =>
    new Promise<Uint8Array>((resolve, reject) => {
      const answered: requestCallback<Buffer> = (error, value) =>
        error ? reject(error) : resolve(value ?? asTheyAre(new Uint8Array()))
      grpc.makeUnaryRequest(`/${service}/${method}`, asTheyAre, asTheyAre, payload, answered)
    })

  it('serves both protocols, for the same tasks, with the same errors', async () => {
    const mine = await Task.start(daemon, 'both', image.config(['/bin/sh', '-c', 'exit 5']))
    const socket = await daemon.start('both')
    grpc = new Grpc(`unix:${socket}`, credentials.createInsecure())
    const unknown = v2.StateRequest.encode({ id: 'nobody' }).finish()
    const [theirs, ours] = await Promise.all([
      call('State', unknown).catch((error: ServiceError) => [error.code, error.details]),
      mine.call('State', unknown).catch((error: RpcError) => [error.code, error.message]),
    ])
    assert.deepEqual(theirs, ours)
    assert.deepEqual(theirs, [5, 'container not created: not found'])
    await assert.rejects(call('Nonsense', unknown), { code: 12 })
    await assert.rejects(call('State', unknown, 'other'), { code: 12 })
    await assert.rejects(call('State', Uint8Array.of(10, 99)), { code: 13 })

    await mine.create(image)
    // Parked on a connection of gRPC while its controller and the shared one are killed: only the first costs it its answer.
    const wait = call('Wait', v2.WaitRequest.encode({ id: 'both' }).finish())
    const { pid } = v2.StateResponse.decode(await call('State', v2.StateRequest.encode({ id: 'both' }).finish()))
    assert.ok(pid > 1)
    for (const shared of sharedControllers()) process.kill(shared, 'SIGKILL')
    await call('Start', v2.StartRequest.encode({ id: 'both' }).finish())
    assert.equal(v2.WaitResponse.decode(await wait).exitStatus, 5)
    const ended = v2.DeleteResponse.decode(await call('Delete', v2.DeleteRequest.encode({ id: 'both' }).finish()))
    assert.deepEqual([ended.pid, ended.exitStatus], [pid, 5])
    // An answer goes before its event.
    await until('the last event', () => events.topics.length === 4)
    assert.deepEqual(events.topics, ['/tasks/create', '/tasks/start', '/tasks/exit', '/tasks/delete'])
    await mine.call('Shutdown', v2.ShutdownRequest.encode({ id: 'both' }).finish())
    grpc.close()
    mine.client.close()
    await daemon.delete('both')
  })

  it('a connection of gRPC ends with its controller, and nothing else does', async () => {
    const mine = await Task.start(daemon, 'front', image.config(['/bin/sleep', '1000']))
    grpc = new Grpc(`unix:${await daemon.start('front')}`, credentials.createInsecure())
    await mine.create(image)
    const wait = call('Wait', v2.WaitRequest.encode({ id: 'front' }).finish())
    await call('State', v2.StateRequest.encode({ id: 'front' }).finish())
    for (const own of ownControllers()) process.kill(own, 'SIGKILL')
    await assert.rejects(wait, { code: 14 })
    // Its client comes again by itself, to another.
    await until('another connection', () =>
      call('State', v2.StateRequest.encode({ id: 'front' }).finish()).then(
        () => true,
        () => false,
      ),
    )
    await call('Kill', v2.KillRequest.encode({ id: 'front', signal: 9 }).finish())
    await call('Wait', v2.WaitRequest.encode({ id: 'front' }).finish())
    await call('Delete', v2.DeleteRequest.encode({ id: 'front' }).finish())
    // The last answer comes before the shim goes.
    await call('Shutdown', v2.ShutdownRequest.encode({ id: 'front' }).finish())
    grpc.close()
    mine.client.close()
    await daemon.delete('front')
  })
})

const commandLine = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
const sharedControllers = () => controllerPids().filter((pid) => commandLine(pid).includes('--listen-fd'))
const ownControllers = () => controllerPids().filter((pid) => !commandLine(pid).includes('--listen-fd'))
