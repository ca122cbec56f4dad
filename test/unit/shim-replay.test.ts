import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { BUNDLE, Harness, PROCESS } from './shim-harness.ts'

const { task } = containerd
const C1 = { id: 'c1' }

/** A whole life, each request of which may be started by one controller and ended by another. */
const life = async (dieAfter: number) => {
  const h = new Harness()
  h.setConfig({ hooks: { poststart: [{ path: '/bin/true' }] }, linux: { namespaces: [{ type: 'mount' }] } })
  h.dieAfter = dieAfter
  await h.send('Create', task.CreateRequest, { ...C1, bundle: BUNDLE, stdin: '/in', stdout: '/out' })
  await h.send('Wait', task.WaitRequest, C1)
  await h.send('Start', task.StartRequest, C1)
  await h.send('Exec', task.ExecRequest, { ...C1, execId: 'e', spec: { typeUrl: 'p', value: PROCESS } })
  await h.send('Start', task.StartRequest, { ...C1, execId: 'e' })
  await h.send('Pause', task.PauseRequest, C1)
  await h.send('Resume', task.ResumeRequest, C1)
  await h.send('Pids', task.PidsRequest, C1)
  await h.send('Stats', task.StatsRequest, C1)
  await h.send('Kill', task.KillRequest, { ...C1, signal: 15 })
  await h.exit('c1', 100, 15)
  await h.exit('c1/e', 101, 9)
  await h.send('Delete', task.DeleteRequest, { ...C1, execId: 'e' })
  await h.send('Delete', task.DeleteRequest, C1)
  await h.send('Shutdown', task.ShutdownRequest, C1)
  return { commits: h.commits, log: h.world.log, left: h.left }
}

describe('a controller that dies', () => {
  for (const after of [0, 1, 2]) {
    test(`after step ${after} of each request changes nothing`, async () => {
      assert.deepEqual(await life(after), await life(Number.POSITIVE_INFINITY))
    })
  }

  test('in a failing create leaves the same answer, and undoes once', async () => {
    const failing = async (dieAfter: number) => {
      const h = new Harness()
      h.dieAfter = dieAfter
      h.world.fail.set('clone', { errno: 12, message: 'clone: out of memory' })
      await h.send('Create', task.CreateRequest, { ...C1, bundle: BUNDLE })
      return { commits: h.commits, undone: h.world.log.filter(({ op }) => op === 'stored').length }
    }
    const plain = await failing(Number.POSITIVE_INFINITY)
    assert.equal(plain.undone, 1)
    for (const after of [0, 1, 2]) assert.deepEqual(await failing(after), plain)
  })
})

describe('turns', () => {
  test('a slow Start holds up its own process only, and its exit waits for it', async () => {
    const h = new Harness()
    await h.send('Create', task.CreateRequest, { ...C1, bundle: BUNDLE })
    await h.send('Create', task.CreateRequest, { id: 'c2', bundle: BUNDLE })
    const { promise: slow, resolve: go } = Promise.withResolvers<void>()
    h.slow.set('start', slow)
    const starting = h.send('Start', task.StartRequest, C1)
    const exiting = h.exit('c1', 100, 0)
    const id = await h.send('Kill', task.KillRequest, { id: 'c2', signal: 9 })
    assert.ok(h.answers.has(id))
    assert.deepEqual(h.topics, ['/tasks/create', '/tasks/create'])
    go()
    await Promise.all([starting, exiting])
    assert.deepEqual(h.topics.slice(2), ['/tasks/start', '/tasks/exit'])
  })

  test('init’s exit waits for an exec that is being started', async () => {
    const h = new Harness()
    await h.send('Create', task.CreateRequest, { ...C1, bundle: BUNDLE })
    await h.send('Start', task.StartRequest, C1)
    await h.send('Exec', task.ExecRequest, { ...C1, execId: 'e', spec: { typeUrl: 'p', value: PROCESS } })
    const { promise: slow, resolve: go } = Promise.withResolvers<void>()
    h.slow.set('exec', slow)
    const starting = h.send('Start', task.StartRequest, { ...C1, execId: 'e' })
    const exits = [h.exit('c1/e', 101, 9), h.exit('c1', 100, 9)]
    go()
    await Promise.all([starting, ...exits])
    assert.deepEqual(h.topics.slice(3), ['/tasks/exec-started', '/tasks/exit', '/tasks/exit'])
    assert.equal(containerd.events.TaskExit.decode(h.events.at(-1)?.event ?? new Uint8Array()).id, 'c1')
  })
})
