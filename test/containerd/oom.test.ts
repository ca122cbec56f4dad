/** Containers that run out of memory, over the real socket: the event, when it comes, and which level it was (trap 19). */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { type Config, notHere } from '../harness/bundle.ts'
import { until } from '../harness/host.ts'
import { type eventsSocket, type Image, Task } from '../harness/life.ts'
import type { Daemon } from '../harness/shim.ts'
import { hasDaemon } from '../harness/suite.ts'

const v2 = containerd.task
const MiB = 1 << 20
const HOG = 'tail /dev/zero'

/** containerd's end of a bundle's log. */
class Log implements Disposable {
  readonly #fd: number
  constructor(bundle: string) {
    execFileSync('mkfifo', [join(bundle, 'log')])
    this.#fd = openSync(join(bundle, 'log'), constants.O_RDWR | constants.O_NONBLOCK)
  }
  read(): string {
    const chunk = Buffer.alloc(1 << 16)
    try {
      return chunk.toString('utf8', 0, readSync(this.#fd, chunk))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return ''
      throw error
    }
  }
  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}

const memory = '/sys/fs/cgroup/memory'
/** test/vm/inside/shim.test.ts has cgroup v2. */
const skip = notHere || (existsSync(memory) ? false : 'needs the memory controller of cgroup v1')

describe('out of memory', { skip }, () => {
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  hasDaemon((...made) => {
    ;[daemon, image, events] = made
  })

  const script = (text: string, linux: object, limit = 16 * MiB): Config => {
    const config = image.config(['/bin/sh', '-c', text])
    config.linux = { ...config.linux, ...linux }
    config.linux.resources = { ...config.linux.resources, memory: { limit, ...config.linux.resources?.memory } }
    return config
  }
  const start = async (id: string, config: Config) => {
    const task = await Task.start(daemon, id, config)
    const log = new Log(task.bundle)
    await task.create(image)
    const wait = task.call('Wait', v2.WaitRequest.encode({ id }).finish()).then(v2.WaitResponse.decode)
    await task.call('Start', v2.StartRequest.encode({ id }).finish())
    return { task, log, wait }
  }
  const remove = async ({ task }: { task: Task }) => {
    const { id } = task
    await task.call('Kill', v2.KillRequest.encode({ id, signal: 9, all: true }).finish())
    await task.call('Wait', v2.WaitRequest.encode({ id }).finish())
    await task.call('Delete', v2.DeleteRequest.encode({ id }).finish())
    await task.call('Shutdown', v2.ShutdownRequest.encode({ id }).finish())
    task.client.close()
    await daemon.delete(id)
  }
  const count = (id: string, topic: string) => events.of(id).filter((one) => one === topic).length

  it('of a process other than init is told while the container lives, each time, with the level', async () => {
    const alive = await start('alive', script(`${HOG}; ${HOG}; sleep 1000`, {}))
    using log = alive.log
    await until('two events', () => count('alive', '/tasks/oom') === 2)
    const text = log.read()
    assert.match(text, /^time="[^"]+Z" level=warning msg="berth: alive lost 1 to the OOM killer: the limit of /)
    assert.match(text, /\/berth-test-alive \(16777216 bytes\) was reached"\n/)
    await remove(alive)
    await until('the end', () => count('alive', '/tasks/delete') === 1)
    assert.deepEqual(events.of('alive'), [
      ...['/tasks/create', '/tasks/start', '/tasks/oom', '/tasks/oom', '/tasks/exit', '/tasks/delete'],
    ])
  })

  it('comes before the exit, whether init was killed or ends well right after', async () => {
    for (const [id, text, status] of [
      ['killed', `exec ${HOG}`, 137],
      ['after', `${HOG}; exit 0`, 0],
    ] as const) {
      const one = await start(id, script(text, {}))
      using _log = one.log
      assert.equal((await one.wait).exitStatus, status)
      await until('the exit', () => count(id, '/tasks/exit') === 1)
      assert.deepEqual(events.of(id).slice(-2), ['/tasks/oom', '/tasks/exit'])
      await remove(one)
    }
  })

  it('of a level above is an event of who lost a process only, and named', async () => {
    const pod = join(memory, 'berth-test-pod')
    mkdirSync(pod)
    writeFileSync(join(pod, 'memory.limit_in_bytes'), String(24 * MiB))
    const config = (text: string, id: string) => script(text, { cgroupsPath: `/berth-test-pod/${id}` }, 1 << 30)
    const bystander = await start('bystander', config('sleep 1000', 'bystander'))
    const hog = await start('hog', config(`${HOG}; sleep 1000`, 'hog'))
    using log = hog.log
    using quiet = bystander.log
    await until('the event', () => count('hog', '/tasks/oom') === 1)
    assert.match(log.read(), /the limit of \S*\/berth-test-pod \(25165824 bytes\) was reached"\n$/)
    await remove(hog)
    // What v1 told the bystander's group of is settled by now: its own removal comes later.
    await remove(bystander)
    assert.equal(count('bystander', '/tasks/oom'), 0)
    assert.equal(quiet.read(), '')
    await until('no group', () => {
      try {
        rmdirSync(pod)
        return true
      } catch {
        return false
      }
    })
    for (const name of readdirSync('/sys/fs/cgroup'))
      try {
        rmdirSync(join('/sys/fs/cgroup', name, 'berth-test-pod'))
      } catch {
        // a hierarchy that it was not in
      }
  })

  it('with the killer switched off is told as well', async () => {
    const linux = { resources: { memory: { disableOOMKiller: true } } }
    // Only a fault in user space waits; a read into new memory would fail.
    const stuck = await start('stuck', script(`exec awk 'BEGIN { s = "x"; while (1) s = s s }'`, linux))
    using log = stuck.log
    // The kernel tells once more where memory that it could free let the process go on for a moment.
    await until('an event', () => count('stuck', '/tasks/oom') > 0)
    assert.match(log.read(), /stuck is out of memory, with the OOM killer switched off: the limit of /)
    await remove(stuck)
  })
})
