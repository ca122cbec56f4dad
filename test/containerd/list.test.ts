/** What the command line sees of containers that containerd has, and what it says about them. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { containerd } from '../../shim/proto/messages.gen.js'
import { notHere } from '../harness/bundle.ts'
import { nothingLeft, snapshot, until } from '../harness/host.ts'
import { closeClients, Image, Task } from '../harness/life.ts'
import { berth } from '../harness/run.ts'
import { Daemon } from '../harness/shim.ts'

const v2 = containerd.task

describe('containers of containerd on the command line', { skip: notHere }, () => {
  let pristine: Set<string>
  let daemon: Daemon
  let image: Image
  const pids = new Map<string, number>()
  before(async () => {
    pristine = snapshot()
    daemon = new Daemon()
    image = new Image()
    for (const [id, type] of [
      ['list-pod', 'sandbox'],
      ['list-member', 'container'],
    ] as const) {
      const config = image.config(['/bin/sleep', '1000'])
      config.annotations = { 'io.kubernetes.cri.sandbox-id': 'list-pod', 'io.kubernetes.cri.container-type': type }
      const task = await Task.start(daemon, id, config)
      pids.set(id, await task.create(image))
      if (type === 'sandbox') await task.call('Start', v2.StartRequest.encode({ id }).finish())
    }
    // A shim writes down what it knows a little later than it answers.
    await until('the shim has written all down', async () =>
      isDeepStrictEqual(await shown(), [task('list-pod', 'running'), task('list-member', 'created')]),
    )
  })
  after(async () => {
    closeClients()
    for (const id of ['list-member', 'list-pod']) await daemon.delete(id)
    daemon[Symbol.dispose]()
    image[Symbol.dispose]()
    await nothingLeft(pristine)
  })

  const list = async (...flags: readonly string[]) => {
    const done = await berth(['list', ...flags])
    assert.equal(done.code, 0, done.stderr)
    return done.stdout
  }
  const shown = async () => JSON.parse(await list('--all', '--format', 'json'))
  const task = (id: string, status: string) => ({
    id,
    namespace: daemon.namespace,
    pid: status === 'stopped' ? 0 : pids.get(id),
    status,
    bundle: `${daemon.dir}/${id}`,
  })

  it('list shows them where it is asked for all', async () => {
    assert.equal(await list('-q'), '')
    assert.equal(await list('-q', '-a'), 'list-pod\nlist-member\n')
    const [head = '', ...lines] = (await list('--all')).trimEnd().split('\n')
    assert.match(head, /^ID +PID +STATUS +BUNDLE +CREATED +OWNER +CONTAINERD$/)
    assert.equal(lines.length, 2)
    assert.match(lines[0] ?? '', new RegExp(`^list-pod +${pids.get('list-pod')} +running +\\S+/list-pod +- +- +test$`))
    assert.deepEqual(await shown(), [task('list-pod', 'running'), task('list-member', 'created')])
  })

  it('verbs for one of them say whose it is', async () => {
    for (const verb of ['state', 'kill', 'ps', 'start', 'pause']) {
      const { code, stderr } = await berth([verb, 'list-pod'])
      const says = `berth: ${verb}: container "list-pod" does not exist: it is containerd's, use ctr --namespace test task (berth list --all, inspect and events show it)\n`
      assert.deepEqual([code, stderr], [1, says])
    }
    for (const verb of ['state', 'inspect', 'events'])
      assert.match((await berth([verb, 'list-none'])).stderr, /container "list-none" does not exist\n$/)
  })

  it('its figures and policies are told', async () => {
    const { code, stdout, stderr } = await berth(['events', '--stats', 'list-pod'])
    assert.equal(code, 0, stderr)
    const { type, id, data } = JSON.parse(stdout)
    assert.deepEqual([type, id, data.pids.current], ['stats', 'list-pod', 1])
    const { stdout: policies } = await berth(['inspect', '--namespace', daemon.namespace, 'list-pod'])
    assert.equal(policies, 'no policy beyond the configuration\n')
  })

  it('once their shim has died, list tells what the kernel knows of them', async () => {
    await daemon.stop('list-pod', 'SIGKILL')
    assert.deepEqual(await shown(), [task('list-pod', 'running'), task('list-member', 'stopped')])
  })
})
