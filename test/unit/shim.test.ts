import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { containerd as figures } from '../../shim/proto/metrics.gen.js'
import { decodeResponse, encodeRequest } from '../../shim/ttrpc/message.ts'
import { RpcError } from '../../shim/ttrpc/status.ts'
import { BUNDLE, Harness, PROCESS } from './shim-harness.ts'

const { task, events } = containerd
const C1 = { id: 'c1' }

const create = (h: Harness, more: containerd.task.CreateRequest.$Properties = {}) =>
  h.call('Create', task.CreateRequest, { ...C1, bundle: BUNDLE, ...more }, task.CreateResponse)
const start = (h: Harness, execId = '') => h.call('Start', task.StartRequest, { ...C1, execId }, task.StartResponse)
const state = (h: Harness, execId = '') => h.call('State', task.StateRequest, { ...C1, execId }, task.StateResponse)
const wait = (h: Harness, execId = '', connection = 1n) =>
  h.send('Wait', task.WaitRequest, { ...C1, execId }, connection)
const del = (h: Harness, execId = '') => h.call('Delete', task.DeleteRequest, { ...C1, execId }, task.DeleteResponse)
const exec = (h: Harness, execId: string, more: containerd.task.ExecRequest.$Properties = {}) =>
  h.call('Exec', task.ExecRequest, { ...C1, execId, spec: { typeUrl: 'process', value: PROCESS }, ...more })
const kill = (h: Harness, more: containerd.task.KillRequest.$Properties = {}) =>
  h.call('Kill', task.KillRequest, { ...C1, signal: 9, ...more })
const running = async (h: Harness, more = {}) => {
  await create(h, more)
  await start(h)
}
const status = (code: number, message: string) => (error: unknown) => {
  assert.ok(error instanceof RpcError, String(error))
  assert.deepEqual({ code: error.code, message: error.message }, { code, message })
  return true
}

describe('a life', () => {
  test('create, start, exit and delete: answers, events and state', async () => {
    const h = new Harness()
    assert.equal((await create(h)).pid, 100)
    assert.equal((await state(h)).status, task.Status.CREATED)
    assert.equal((await start(h)).pid, 100)
    assert.equal((await state(h)).status, task.Status.RUNNING)
    await h.exit('c1', 100, 3 << 8)
    const stopped = await state(h)
    assert.equal(stopped.status, task.Status.STOPPED)
    assert.equal(stopped.exitStatus, 3)
    const deleted = await del(h)
    assert.deepEqual([deleted.pid, deleted.exitStatus], [100, 3])
    assert.deepEqual(h.topics, ['/tasks/create', '/tasks/start', '/tasks/exit', '/tasks/delete'])
    assert.deepEqual(h.record.tasks, {})
    const exit = events.TaskExit.decode(h.events[2]?.event ?? new Uint8Array())
    assert.deepEqual([exit.containerId, exit.id, exit.pid, exit.exitStatus], ['c1', 'c1', 100, 3])
    assert.deepEqual(exit.exitedAt, deleted.exitedAt)
    assert.deepEqual(h.acknowledged, [1n])
  })

  test('the undo plan is written before the first mount', async () => {
    const h = new Harness()
    await create(h, { rootfs: [{ type: 'overlay', source: 'overlay', options: ['lowerdir=/a', 'ro'] }] })
    const names = h.world.log.map(({ op }) => op)
    assert.ok(names.indexOf('write') < names.indexOf('mount'))
    assert.ok(names.indexOf('mount') < names.indexOf('clone'))
    const mount = h.world.log.find((op) => op.op === 'mount')
    assert.ok(mount?.op === 'mount')
    assert.deepEqual([mount.target, mount.flags, mount.data], [`${BUNDLE}/rootfs`, 1n, 'lowerdir=/a'])
  })

  test('a failed create is undone and answered with runc’s words, never with code 12', async () => {
    const h = new Harness()
    const message = 'exec: "/nope": stat /nope: no such file or directory'
    h.world.fail.set('resume', { errno: 2, message })
    h.world.log.length = 0
    await assert.rejects(create(h), (error: RpcError) => {
      assert.equal(error.code, 2)
      assert.ok(error.message.startsWith('OCI runtime create failed: '))
      assert.ok(error.message.endsWith(message))
      return true
    })
    assert.deepEqual(
      h.world.log.slice(-2).map(({ op }) => op),
      ['drop', 'stored'],
    )
    await assert.rejects(create(h, { checkpoint: '/x' }), (error: RpcError) => error.code === 2)
    await h.exit('c1', 100, 9)
    assert.deepEqual(h.topics, [])
    assert.deepEqual(h.acknowledged, [1n])
    await assert.rejects(del(h), status(5, 'container not created: not found'))
  })

  test('what a dead shim left under the id is removed first', async () => {
    const h = new Harness()
    h.world.fail.set('write', { errno: 17, message: 'file exists', subject: '/state/c1/undo' })
    assert.equal((await create(h)).pid, 100)
    assert.ok(h.world.log.some(({ op }) => op === 'stored'))
  })

  test('a parked container can be deleted; its exit comes before its delete', async () => {
    const h = new Harness()
    await create(h)
    const waiting = await wait(h)
    assert.equal((await del(h)).exitStatus, 137)
    assert.equal(task.WaitResponse.decode(h.answer(waiting)).exitStatus, 137)
    await h.exit('c1', 100, 9)
    assert.deepEqual(h.topics, ['/tasks/create', '/tasks/exit', '/tasks/delete'])
  })

  test('a start that fails leaves a task whose process is killed', async () => {
    const h = new Harness()
    await create(h)
    h.world.fail.set('resume', { errno: 8, message: 'exec format error' })
    await assert.rejects(start(h), (error: RpcError) => error.code === 2)
    assert.equal(h.world.log.at(-1)?.op, 'kill')
    await h.exit('c1', 100, 255 << 8)
    assert.equal((await state(h)).status, task.Status.STOPPED)
    assert.equal((await del(h)).exitStatus, 255)
  })

  test('poststart hooks: the plan is compiled again', async () => {
    const h = new Harness()
    h.setConfig({ hooks: { poststart: [{ path: '/bin/true' }] } })
    await running(h)
    const hook = h.world.log.find((op) => op.op === 'hook')
    assert.ok(hook?.op === 'hook')
    assert.equal(JSON.parse(hook.input.join('')).pid, 100)
  })
})

describe('Wait', () => {
  test('is parked, and answered by the exit; afterwards at once', async () => {
    const h = new Harness()
    await running(h)
    const [first, second] = [await wait(h), await wait(h)]
    assert.equal(h.answers.has(first), false)
    await h.exit('c1', 100, 15)
    for (const id of [first, second, await wait(h)]) {
      const { exitStatus, exitedAt } = task.WaitResponse.decode(h.answer(id))
      assert.equal(exitStatus, 143)
      assert.deepEqual(exitedAt, (await state(h)).exitedAt)
    }
    assert.equal(h.record.tasks.c1?.waiters, undefined)
  })

  test('of a connection that is gone is forgotten', async () => {
    const h = new Harness()
    await running(h)
    const lost = await wait(h, '', 7n)
    const kept = await wait(h, '', 8n)
    await h.disconnect(7n)
    assert.deepEqual(h.record.tasks.c1?.waiters, [{ id: String(kept), connection: '8' }])
    await h.disconnect(9n)
    assert.equal(h.commits.at(-1)?.record, undefined)
    await h.exit('c1', 100, 0)
    assert.equal(h.answers.has(lost), false)
    assert.equal(h.answers.has(kept), true)
  })

  test('an exit is told once', async () => {
    const h = new Harness()
    await running(h)
    await h.exit('c1', 100, 0)
    await h.exit('c1', 100, 1 << 8)
    await h.exit('c1', 4711, 2 << 8)
    assert.equal((await state(h)).exitStatus, 0)
    assert.equal(h.topics.filter((topic) => topic === '/tasks/exit').length, 1)
    assert.deepEqual(h.acknowledged, [1n, 2n, 3n])
  })
})

describe('Exec', () => {
  test('a life within a life', async () => {
    const h = new Harness()
    await running(h)
    await exec(h, 'e')
    assert.equal((await state(h, 'e')).status, task.Status.CREATED)
    const waiting = await wait(h, 'e')
    assert.equal((await start(h, 'e')).pid, 101)
    assert.equal(h.record.tasks.c1?.execs.e?.spec, undefined)
    await assert.rejects(del(h, 'e'), status(2, 'cannot delete a running process'))
    await h.exit('c1/e', 101, 4 << 8)
    assert.equal(task.WaitResponse.decode(h.answer(waiting)).exitStatus, 4)
    assert.deepEqual([(await del(h, 'e')).pid, h.record.tasks.c1?.execs], [101, {}])
    const own = h.topics.slice(2)
    assert.deepEqual(own, ['/tasks/exec-added', '/tasks/exec-started', '/tasks/exit'])
  })

  test('init’s exit is told after the exits of execs', async () => {
    const h = new Harness()
    h.setConfig({ linux: { namespaces: [{ type: 'mount' }] } })
    await running(h)
    await exec(h, 'e')
    await start(h, 'e')
    const waiting = await wait(h)
    await h.exit('c1', 100, 0)
    assert.equal(h.world.log.at(-1)?.op, 'kill-cgroup')
    assert.equal(h.answers.has(waiting), false)
    await h.exit('c1/e', 101, 9)
    assert.equal(task.WaitResponse.decode(h.answer(waiting)).exitStatus, 0)
    const exits = h.events
      .filter(({ topic }) => topic === '/tasks/exit')
      .map(({ event }) => events.TaskExit.decode(event).id)
    assert.deepEqual(exits, ['e', 'c1'])
  })

  test('an exec that can’t be started: Wait ends, State stays, Delete works', async () => {
    const h = new Harness()
    await running(h)
    await exec(h, 'e')
    const waiting = await wait(h, 'e')
    h.world.fail.set('clone', { errno: 2, message: 'exec: "x": executable file not found in $PATH' })
    const text =
      'OCI runtime exec failed: exec failed: unable to start container process: exec: "x": executable file not found in $PATH'
    await assert.rejects(start(h, 'e'), status(2, text))
    assert.equal(Number(task.WaitResponse.decode(h.answer(waiting)).exitedAt?.seconds), -62_135_596_800)
    assert.equal((await state(h, 'e')).status, task.Status.CREATED)
    assert.equal((await del(h, 'e')).exitStatus, 0)
  })

  test('what comes before Start is remembered for it', async () => {
    const h = new Harness()
    await running(h)
    await exec(h, 'e', { terminal: true, stdin: '/in', stdout: '/out', stderr: '/not-there' })
    await h.call('ResizePty', task.ResizePtyRequest, { ...C1, execId: 'e', width: 80, height: 24 })
    await h.call('CloseIO', task.CloseIORequest, { ...C1, execId: 'e', stdin: true })
    h.world.log.length = 0
    await start(h, 'e')
    const size = h.world.log.find((op) => op.op === 'winsize')
    assert.ok(size?.op === 'winsize')
    assert.deepEqual([size.rows, size.cols], [24, 80])
    assert.ok(!h.world.log.some((op) => op.op === 'keep' && op.name === 'c1/e/.stdin'))
    assert.ok(!h.world.log.some((op) => 'path' in op && op.path === '/not-there'))
  })
})

describe('codes and texts', () => {
  const cases: [string, (h: Harness) => Promise<unknown>, number, string][] = [
    ['unknown container', (h) => h.call('Kill', task.KillRequest, { id: 'x' }), 5, 'container not created: not found'],
    ['unknown exec', (h) => state(h, 'E'), 5, 'process does not exist E: not found'],
    ['start twice', (h) => start(h), 2, 'cannot start a running process'],
    ['delete running', (h) => del(h), 2, 'cannot delete a running process'],
    ['resume running', (h) => h.call('Resume', task.ResumeRequest, C1), 2, 'cannot resume a running process'],
    ['create twice', (h) => create(h), 2, 'OCI runtime create failed: container with given ID already exists'],
    [
      'checkpoint',
      (h) => h.call('Checkpoint', task.CheckpointRequest, C1),
      3,
      'checkpoint c1: no directory for the images',
    ],
  ]
  for (const [name, act, code, message] of cases) {
    test(name, async () => {
      const h = new Harness()
      await running(h)
      await assert.rejects(act(h), status(code, message))
    })
  }

  test('of an exec', async () => {
    const h = new Harness()
    await running(h)
    await exec(h, 'E')
    await assert.rejects(exec(h, 'E'), status(6, 'id E: already exists'))
    await assert.rejects(kill(h, { execId: 'E' }), status(9, 'process not created: failed precondition'))
    await h.exit('c1', 100, 0)
    await assert.rejects(start(h, 'E'), status(9, 'container c1 init process is not running: failed precondition'))
    await assert.rejects(exec(h, 'F'), status(2, 'cannot exec in a stopped state'))
  })

  test('of a stopped task', async () => {
    const h = new Harness()
    await running(h)
    await h.exit('c1', 100, 0)
    await assert.rejects(kill(h), status(5, 'process already finished: not found'))
    await kill(h, { all: true })
    await assert.rejects(start(h), status(2, 'cannot start a stopped process'))
    await assert.rejects(h.call('Pause', task.PauseRequest, C1), status(2, 'cannot pause a stopped container'))
    await assert.rejects(h.call('Update', task.UpdateRequest, C1), status(2, 'cannot update a stopped container'))
    await h.call('CloseIO', task.CloseIORequest, { ...C1, stdin: true })
  })

  test('of a created task', async () => {
    const h = new Harness()
    await create(h)
    await assert.rejects(h.call('Pause', task.PauseRequest, C1), status(2, 'cannot pause task in created state'))
    await assert.rejects(h.call('Resume', task.ResumeRequest, C1), status(2, 'cannot resume task in created state'))
  })

  test('a signal to a process that has just gone', async () => {
    const h = new Harness()
    await running(h)
    h.world.fail.set('kill', { errno: 3, message: 'no such process' })
    await assert.rejects(kill(h), status(5, 'process already finished: not found'))
  })

  test('unknown service and method, and bytes that are no message', async () => {
    const h = new Harness()
    const raw = async (id: bigint, message: Uint8Array) => {
      await h.deliver({ kind: 'ttrpc', id, connection: 1n, time: 1n, message })
      return decodeResponse(h.answers.get(id) ?? new Uint8Array()).status
    }
    const payload = new Uint8Array()
    assert.deepEqual(await raw(1n, encodeRequest({ service: 'X', method: 'Y', payload })), {
      code: 12,
      message: 'service X',
    })
    const service = 'containerd.task.v3.Task'
    assert.deepEqual(await raw(2n, encodeRequest({ service, method: 'Y', payload })), { code: 12, message: 'method Y' })
    assert.deepEqual(await raw(3n, encodeRequest({ service, method: 'constructor', payload })), {
      code: 12,
      message: 'method constructor',
    })
    assert.equal((await raw(4n, Uint8Array.of(0xff, 0xff)))?.code, 3)
    const bad = encodeRequest({ service, method: 'State', payload: Uint8Array.of(0x0a, 0x7f) })
    assert.equal((await raw(5n, bad))?.code, 13)
  })
})

describe('Connect and Shutdown', () => {
  test('an unknown task is no error; the shim leaves with its last task', async () => {
    const h = new Harness()
    const connect = () => h.call('Connect', task.ConnectRequest, C1, task.ConnectResponse)
    assert.deepEqual([(await connect()).shimPid, (await connect()).taskPid], [42, 0])
    await create(h)
    assert.equal((await connect()).taskPid, 100)
    await h.call('Shutdown', task.ShutdownRequest, C1)
    assert.equal(h.left, false)
    await del(h)
    await h.call('Shutdown', task.ShutdownRequest, C1)
    assert.equal(h.left, true)
  })
})

describe('cgroups', () => {
  test('Pids: nested cgroups and execs', async () => {
    const h = new Harness()
    await running(h)
    await exec(h, 'e')
    await start(h, 'e')
    const files = h.world.files
    files.set('/cg/pids/c1/cgroup.procs', '100\n')
    files.set('/cg/pids/c1/', 'cgroup.procs\0notify_on_release\0pids.max\0sub\0tasks\0')
    files.set('/cg/pids/c1/sub/cgroup.procs', '102\n101\n')
    const { processes } = await h.call('Pids', task.PidsRequest, C1, task.PidsResponse)
    assert.deepEqual(
      processes.map(({ pid }) => pid),
      [100, 101, 102],
    )
    const info = processes[1]?.info
    assert.equal(info?.typeUrl, 'containerd.runc.v1.ProcessDetails')
    assert.equal(containerd.options.ProcessDetails.decode(info?.value ?? new Uint8Array()).execId, 'e')
  })

  test('Pids: of a task that has ended, init’s', async () => {
    const h = new Harness()
    await running(h)
    h.world.files.set('/cg/pids/c1/cgroup.procs', '')
    h.world.files.set('/cg/pids/c1/', 'cgroup.procs\0')
    const pids = async () => (await h.call('Pids', task.PidsRequest, C1, task.PidsResponse)).processes
    assert.deepEqual(await pids(), [])
    await h.exit('c1', 100, 0)
    assert.deepEqual(
      (await pids()).map(({ pid }) => pid),
      [100],
    )
  })

  test('SIGKILL thaws a frozen task once it is sent, as a v1 freezer holds that back too; other signals wait', async () => {
    const h = new Harness()
    await running(h)
    await h.call('Pause', task.PauseRequest, C1)
    await kill(h, { signal: 15 })
    assert.equal(h.world.log.at(-1)?.op, 'kill')
    for (const all of [false, true]) {
      const from = h.world.log.length
      await kill(h, { all })
      const sent = h.world.log.slice(from).map(({ op }) => op)
      assert.deepEqual([sent[0], ...new Set(sent.slice(1))], [all ? 'kill-cgroup' : 'kill', 'write'])
    }
  })

  test('Pause freezes; a frozen task is PAUSED and can’t be deleted', async () => {
    const h = new Harness()
    await running(h)
    await h.call('Pause', task.PauseRequest, C1)
    assert.deepEqual(
      h.world.log.filter(({ op }) => op === 'freeze').map((op) => 'path' in op && op.path),
      ['/cg/freezer/c1'],
    )
    assert.equal((await state(h)).status, task.Status.PAUSED)
    await assert.rejects(del(h), status(2, 'cannot delete a paused process'))
    await assert.rejects(start(h), status(2, 'cannot start a paused process'))
    await assert.rejects(exec(h, 'e'), status(2, 'cannot exec in a paused state'))
    await assert.rejects(h.call('Pause', task.PauseRequest, C1), status(2, 'cannot pause a paused container'))
    await h.call('Resume', task.ResumeRequest, C1)
    assert.equal((await state(h)).status, task.Status.RUNNING)
    assert.deepEqual(h.topics.slice(2), ['/tasks/paused', '/tasks/resumed'])
  })

  test('nothing waits for a frozen cgroup: an exec is not started in it, and SIGKILL opens it', async () => {
    const h = new Harness()
    await running(h)
    await exec(h, 'e')
    await h.call('Pause', task.PauseRequest, C1)
    const before = h.world.log.length
    const text = 'OCI runtime exec failed: exec failed: cannot exec in a paused container'
    await assert.rejects(start(h, 'e'), status(2, text))
    await kill(h, { signal: 15 })
    const ops = () => h.world.log.slice(before).map((op) => `${op.op} ${'path' in op ? op.path : ''}`)
    assert.deepEqual(ops(), ['kill '])
    await kill(h, { signal: 9 })
    assert.ok(ops().includes('write /cg/freezer/c1/freezer.state'), ops().join())
  })

  test('Update writes what it was given; memory and swap, which bound one another, twice', async () => {
    const h = new Harness()
    await running(h)
    h.world.log.length = 0
    const value = Buffer.from('{"memory":{"limit":1000000000000000001,"swap":1000000000000000002},"pids":{"limit":7}}')
    await h.call('Update', task.UpdateRequest, { ...C1, resources: { typeUrl: 'LinuxResources', value } })
    const writes = h.world.log.flatMap((op) => (op.op === 'write' ? [[op.path, op.data[0]]] : []))
    const limit = ['/cg/memory/c1/memory.limit_in_bytes', '1000000000000000001']
    const swap = ['/cg/memory/c1/memory.memsw.limit_in_bytes', '1000000000000000002']
    assert.deepEqual(writes, [limit, swap, limit, swap, ['/cg/pids/c1/pids.max', '7']])
  })

  test('Stats v1: every message is there, and 64 bits survive', async () => {
    const h = new Harness()
    await running(h)
    const files = h.world.files
    const any = async () => (await h.call('Stats', task.StatsRequest, C1, task.StatsResponse)).stats
    const metrics = async () => figures.metrics.v1.Metrics.decode((await any())?.value ?? new Uint8Array())
    const empty = await metrics()
    assert.ok(
      empty.pids && empty.cpu?.usage && empty.cpu.throttling && empty.memory?.usage && empty.memory.swap && empty.blkio,
    )
    files.set('/cg/memory/c1/memory.limit_in_bytes', '9223372036854771712\n')
    files.set('/cg/memory/c1/memory.stat', 'cache 5\ntotal_pgfault 18446744073709551615\n')
    files.set('/cg/cpu,cpuacct/c1/cpuacct.stat', 'user 3\nsystem 2\n')
    files.set('/cg/pids/c1/pids.current', '4\n')
    const { memory, cpu, pids } = await metrics()
    assert.equal((await any())?.typeUrl, 'io.containerd.cgroups.v1.Metrics')
    assert.equal(memory?.usage?.limit?.toString(), '9223372036854771712')
    assert.equal(memory?.totalPgFault?.toString(), '18446744073709551615')
    assert.equal(memory?.cache?.toString(), '5')
    assert.deepEqual([cpu?.usage?.user?.toString(), cpu?.usage?.kernel?.toString()], ['30000000', '20000000'])
    assert.equal(pids?.current?.toString(), '4')
  })

  test('an OOM kill is published before the exit, once', async () => {
    const h = new Harness()
    await running(h)
    await exec(h, 'e')
    await start(h, 'e')
    h.world.files.set('/cg/memory/c1/memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n')
    await h.exit('c1/e', 101, 9, true)
    await h.exit('c1', 100, 9, true)
    assert.deepEqual(h.topics.slice(-3), ['/tasks/oom', '/tasks/exit', '/tasks/exit'])
  })

  describe('a notification', () => {
    const counts = (kills: number, stuck = 0) => `oom_kill_disable ${stuck}\nunder_oom ${stuck}\noom_kill ${kills}\n`
    const memory = '/cg/memory/c1'
    const ooms = (h: Harness) => h.topics.filter((topic) => topic === '/tasks/oom').length
    const logged = (h: Harness) => h.world.log.flatMap((op) => (op.op === 'log' ? [op] : []))

    test('is an event where the counter has grown, with the level in the log', async () => {
      const h = new Harness()
      await running(h)
      assert.ok(h.world.log.some((op) => op.op === 'watch-oom' && op.name === 'c1' && op.path === memory))
      h.world.files.set(`${memory}/memory.oom_control`, counts(0))
      await h.oom('c1')
      assert.deepEqual([ooms(h), logged(h).length], [0, 0])
      h.world.files.set(`${memory}/memory.oom_control`, counts(2))
      h.world.files.set(`${memory}/memory.failcnt`, '3\n')
      h.world.files.set(`${memory}/memory.limit_in_bytes`, '4096\n')
      await h.oom('c1')
      await h.oom('c1')
      await h.exit('c1', 100, 9, true)
      assert.equal(ooms(h), 1)
      const message = 'berth: c1 lost 2 to the OOM killer: the limit of /cg/memory/c1 (4096 bytes) was reached'
      assert.deepEqual(logged(h), [{ op: 'log', path: '/bundle/c1/log', message }])
      assert.equal(h.acknowledged.length, 4)
    })

    test('names the level above whose limit it was, or the host', async () => {
      const h = new Harness()
      await running(h)
      h.world.files.set(`${memory}/memory.oom_control`, counts(1))
      await h.oom('c1')
      assert.match(logged(h)[0]?.message ?? '', /no limit above was reached: the host$/)
      h.world.files.set(`${memory}/memory.oom_control`, counts(2))
      h.world.files.set('/cg/memory/memory.failcnt', '1\n')
      h.world.files.set('/cg/memory/memory.limit_in_bytes', '8192\n')
      await h.oom('c1')
      assert.match(logged(h)[1]?.message ?? '', /the limit of \/cg\/memory \(8192 bytes\) was reached$/)
      assert.equal(ooms(h), 2)
    })

    test('counts what was killed in groups below, which v1 does not add up', async () => {
      const h = new Harness()
      await running(h)
      h.world.files.set(`${memory}/memory.oom_control`, counts(0))
      h.world.files.set(`${memory}/`, 'cgroup.procs\0inner\0memory.stat\0')
      h.world.files.set(`${memory}/inner/memory.oom_control`, counts(1))
      await h.oom('c1')
      assert.equal(ooms(h), 1)
    })

    test('is an event, too, where all wait because the killer is off; of a container that is gone it is none', async () => {
      const h = new Harness()
      await h.oom('c1')
      await running(h)
      h.world.files.set(`${memory}/memory.oom_control`, counts(0, 1))
      await h.oom('c1')
      assert.equal(ooms(h), 1)
      assert.match(logged(h)[0]?.message ?? '', /switched off/)
    })
  })
})

describe('stdio', () => {
  const paths = { stdin: '/in', stdout: '/out', stderr: '/err' }
  const opened = (h: Harness) => h.world.log.map(({ op }) => op)

  const inputOpens = (h: Harness) =>
    h.world.log.flatMap((op) => (op.op === 'open' && op.path === '/in' ? [op.oflags] : []))

  test('FIFOs of outputs go to an init with its own pid namespace, stdin flows from its start on, and other ends are kept', async () => {
    const h = new Harness()
    await create(h, paths)
    const names = h.world.log.flatMap((op) => (op.op === 'keep' ? [op.name] : []))
    assert.deepEqual(names, ['c1/.unread', 'c1/.reader/stdout', 'c1/.reader/stderr'])
    assert.ok(!opened(h).includes('pump'))
    assert.deepEqual(inputOpens(h), [])
    await h.call('Start', task.StartRequest, C1)
    assert.deepEqual(inputOpens(h), [0o4002, 0, 0o4001])
    assert.equal(opened(h).filter((op) => op === 'pump').length, 1)
    await h.call('CloseIO', task.CloseIORequest, { ...C1, stdin: true })
    assert.deepEqual(h.world.log.at(-1), { op: 'drop', name: 'c1/.stdin' })
    assert.deepEqual((({ stdin, stdout, stderr, terminal }) => ({ stdin, stdout, stderr, terminal }))(await state(h)), {
      ...paths,
      terminal: false,
    })
  })

  test('a stdin that is closed before the start has no writer that keeps it', async () => {
    const h = new Harness()
    await create(h, paths)
    await h.call('CloseIO', task.CloseIORequest, { ...C1, stdin: true })
    await h.call('Start', task.StartRequest, C1)
    assert.deepEqual(inputOpens(h), [0o4002, 0])
  })

  for (const [why, linux] of [
    ['a shared pid namespace', { namespaces: [{ type: 'mount' }] }],
    ['a pid namespace that is joined', { namespaces: [{ type: 'pid', path: '/proc/1/ns/pid' }, { type: 'mount' }] }],
  ] as const) {
    test(`${why}: pipes, and Delete waits for their end`, async () => {
      const h = new Harness()
      h.setConfig({ linux })
      await running(h, paths)
      assert.equal(opened(h).filter((op) => op === 'pump').length, 3)
      assert.deepEqual(
        h.world.log.flatMap((op) => (op.op === 'linger' ? [op.name] : [])),
        ['c1/.out'],
      )
      await h.exit('c1', 100, 0)
      await del(h)
      assert.deepEqual(opened(h).slice(-4), ['stored', 'drain', 'drop', 'clock'])
    })
  }

  test('a user namespace: pipes that its user owns', async () => {
    const h = new Harness()
    const map = [{ containerID: 0, hostID: 5000, size: 10 }]
    h.setConfig({
      linux: { namespaces: [{ type: 'pid' }, { type: 'user' }], uidMappings: map, gidMappings: map },
      process: { args: ['/x'], cwd: '/', user: { uid: 3, gid: 4 } },
    })
    await create(h, paths)
    const owners = h.world.log.flatMap((op) => (op.op === 'chown-slot' ? [[op.uid, op.gid]] : []))
    assert.deepEqual(owners, Array(3).fill([5003, 5004]))
  })

  test('a terminal has no stderr, its master is kept, and it can be resized', async () => {
    const h = new Harness()
    await create(h, { ...paths, terminal: true })
    assert.ok(!h.world.log.some((op) => 'path' in op && op.path === '/err'))
    assert.ok(h.world.log.some((op) => op.op === 'keep' && op.name === 'c1/.tty'))
    await h.call('ResizePty', task.ResizePtyRequest, { ...C1, width: 10, height: 20 })
    assert.deepEqual(opened(h).slice(-2), ['use', 'winsize'])
  })

  test('a file takes both outputs, and an unknown scheme is told in runc’s words', async () => {
    const h = new Harness()
    const words = 'failed to create init process I/O: unknown STDIO scheme x'
    await assert.rejects(create(h, { stdout: 'x://y' }), status(2, words))
    await create(h, { stdout: 'file:///log/out', stderr: '/err' })
    assert.ok(h.world.log.some((op) => op.op === 'mkdir' && op.path === '/log'))
    const files = h.world.log.flatMap((op) => (op.op === 'open' && op.mode === 0o644 ? [op.path] : []))
    assert.deepEqual(files, ['/log/out', '/log/out'])
  })

  test('a logging program starts before the container, and ends once its pipes were read and closed', async () => {
    const h = new Harness()
    await running(h, { stdout: 'binary-v2:///bin/log?a=1', stderr: '' })
    const spawned = h.world.log.find((op) => op.op === 'spawn')
    assert.deepEqual(spawned, {
      op: 'spawn',
      path: '/bin/log',
      args: ['/bin/log', 'a', '1'],
      env: ['CONTAINER_ID=c1', 'CONTAINER_NAMESPACE=ns'],
      fds: [13, 14],
      record: '/state/c1/loggers/init',
      byte: 1,
      timeoutMs: 10_000,
    })
    assert.ok(opened(h).indexOf('spawn') < opened(h).indexOf('clone'))
    await h.exit('c1', 100, 0)
    await del(h)
    assert.deepEqual(opened(h).slice(-6), ['wait-read', 'wait-read', 'drop', 'end-spawned', 'stored', 'clock'])
  })
})
