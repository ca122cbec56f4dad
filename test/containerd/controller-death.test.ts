/** Controllers that never come up, and requests that end each one that takes them (traps 4 and 5). */
import assert from 'node:assert/strict'
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { Code, RpcError } from '../../shim/ttrpc/status.ts'
import { notHere } from '../harness/bundle.ts'
import { nothingLeft, snapshot } from '../harness/host.ts'
import { Installation } from '../harness/install.ts'
import { closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { Daemon } from '../harness/shim.ts'

const v2 = containerd.task

/** Ends at the words of a request, as a defect would end it, and says in which kind of controller that was. */
const POISONED = `
const fs = require('node:fs')
const { Socket } = require('node:net')
const take = (bytes) => {
  if (!bytes.includes('lethal')) return
  console.error('poisoned', process.argv.includes('--listen-fd') ? 'shared' : 'own')
  process.exit(1)
}
const { emit } = Socket.prototype
Socket.prototype.emit = function (name, ...rest) {
  const done = emit.call(this, name, ...rest)
  if (name === 'data') take(rest[0])
  return done
}
const { readSync } = fs
fs.readSync = (fd, buffer) => {
  const length = readSync(fd, buffer)
  process.nextTick(() => take(buffer.subarray(0, length)))
  return length
}
require('./real.js')
`
/** In boot for ever. */
const HANGING = 'setInterval(() => {}, 1 << 30)'

describe('controllers that end', { skip: notHere }, () => {
  let before: Set<string>
  let installation: Installation
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  beforeEach(() => {
    before = snapshot()
    installation = new Installation()
    daemon = new Daemon(installation.shim)
    image = new Image()
    events = eventsSocket(daemon)
  })
  afterEach(async () => {
    closeClients()
    events.close()
    await installation[Symbol.asyncDispose]()
    daemon[Symbol.dispose]()
    image[Symbol.dispose]()
    await nothingLeft(before)
  })

  const named = (id: string) => v2.StateRequest.encode({ id }).finish()
  const state = async (task: Task) => v2.StateResponse.decode(await task.call('State', named(task.id))).status
  const started = async (id: string) => {
    const task = await Task.start(daemon, id, image.config(['/bin/sleep', '1000']))
    await task.create(image)
    await task.call('Start', named(id))
    // Its answer goes before what is committed of it, this one after that.
    await task.call('State', named(id))
    return task
  }
  const remove = async (task: Task) => {
    const { id } = task
    await task.call('Kill', v2.KillRequest.encode({ id, signal: 9 }).finish())
    await task.call('Wait', named(id))
    await task.call('Delete', named(id))
    await task.call('Shutdown', named(id))
    task.client.close()
    await daemon.delete(id)
  }
  /** Lines of the controllers' logs: each has the name of its kind of controller. */
  const poisoned = (kind: string) => {
    const logs = '/run/berth/.controller'
    const texts = readdirSync(logs)
      .filter((name) => name.endsWith('.log'))
      .map((name) => readFileSync(join(logs, name), 'utf8'))
    return texts
      .join('')
      .split('\n')
      .filter((line) => line === `poisoned ${kind}`).length
  }

  it('a request that ends each controller is served apart, then refused; other pods notice nothing, and its own connection stays', async () => {
    installation.replaceController(POISONED)
    const other = await started('bystander')
    const task = await Task.start(daemon, 'poisoned', image.config(['/bin/true']))
    const bundle = task.bundle
    const counts = { shared: poisoned('shared'), own: poisoned('own') }
    const request = v2.CreateRequest.encode({ id: 'poisoned', bundle, rootfs: [...image.rootfs], stdin: '/lethal' })
    let done = false
    const refusal = task
      .call('Create', request.finish())
      .then(
        () => assert.fail('it was created'),
        (error) => error,
      )
      .finally(() => {
        done = true
      })
    let calls = 0
    for (; !done; calls++) {
      const spec = {
        typeUrl: 'types.containerd.io/opencontainers/runtime-spec/1/Process',
        value: new TextEncoder().encode(JSON.stringify({ ...image.config(['/bin/true']).process })),
      }
      const execId = `exec${calls}`
      await other.call('Exec', v2.ExecRequest.encode({ id: other.id, execId, spec }).finish())
      await other.call('Start', v2.StartRequest.encode({ id: other.id, execId }).finish())
      const waited = await other.call('Wait', v2.WaitRequest.encode({ id: other.id, execId }).finish())
      assert.equal(v2.WaitResponse.decode(waited).exitStatus, 0)
      await other.call('Delete', v2.DeleteRequest.encode({ id: other.id, execId }).finish())
    }
    const error = await refusal
    assert.ok(error instanceof RpcError)
    // Code 12 to Create would say that this shim does not speak the API.
    assert.deepEqual(
      [error.code, error.message],
      [Code.unknown, 'berth: every controller ended while it served this request'],
    )
    assert.ok(calls > 0)
    // Some of the twenty had a connection that was made to a controller that was ending.
    const shared = poisoned('shared') - counts.shared
    assert.ok(shared > 0 && shared <= 20, `${shared}`)
    assert.equal(poisoned('own') - counts.own, 10)
    assert.equal(installation.controllers().length, 1)
    // The same connection serves on, and the same id can be created.
    assert.equal(await task.live(daemon, image), 0)
    await remove(other)
  })

  for (const { how, breakIt, mendIt, message, seconds } of [
    {
      how: 'exits',
      breakIt: () => installation.replaceNode('/bin/false'),
      mendIt: () => installation.restoreNode(),
      message: 'berth: no controller could be started: each ended before its first word',
      seconds: 6,
    },
    {
      how: 'hangs',
      breakIt: () => installation.replaceController(HANGING),
      mendIt: () => installation.restoreController(),
      message: 'berth: the controller does not answer',
      seconds: 10,
    },
  ])
    it(`Node that ${how} after a good start: what waits is refused, and served again once it is mended`, async () => {
      const task = await started('waiting')
      await installation.endControllers()
      breakIt()
      const began = performance.now()
      const error = await task.call('State', named('waiting')).catch((e) => e)
      assert.ok(error instanceof RpcError)
      assert.deepEqual([error.code, error.message], [Code.unknown, message])
      const took = (performance.now() - began) / 1000
      assert.ok(took > seconds - 0.5 && took < seconds + 30, `${took}`)
      await installation.endControllers()
      mendIt()
      assert.equal(await state(task), v2.Status.RUNNING)
      // What runs is removed without any.
      await installation.endControllers()
      breakIt()
      await daemon.stop('waiting')
      assert.equal(v2.DeleteResponse.decode(await daemon.delete('waiting')).exitStatus, 137)
      task.client.close()
    })

  it('start says in one line what is wrong with Node, and removal needs none', async () => {
    const refused = async (wanted: RegExp) => {
      daemon.bundle('none')
      const error = (await daemon.start('none').catch((e) => e)) as { stderr: Buffer; stdout: Buffer }
      assert.match(`${error.stderr}`, wanted)
      assert.equal(`${error.stderr}`.trim().split('\n').length, 1)
      assert.equal(`${error.stdout}`, '')
      await daemon.delete('none')
    }
    rmSync(installation.node)
    await refused(
      /^berth: start: install: .*\/node is missing or can't be used \(No such file or directory\): build or install berth again$/m,
    )
    installation.replaceNode('/bin/false')
    chmodSync(installation.node, 0o644)
    await refused(
      /^berth: start: install: .*\/node is missing or can't be used \(Permission denied\): build or install berth again$/m,
    )
    installation.restoreNode()
    writeFileSync(join(installation.dist, 'build-id'), 'another\n')
    await refused(
      /^berth: start: install: .*\/dist is of build "another", this program of "[0-9a-f]+": build or install berth again$/m,
    )
  })
})
