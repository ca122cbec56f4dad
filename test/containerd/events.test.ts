/** Events on their way to containerd: in order, one at a time, none lost, and none twice but where nobody can know whether it was taken. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { containerd } from '../../shim/proto/messages.gen.js'
import { type Config, notHere } from '../harness/bundle.ts'
import { EventsSocket, type Forwarded } from '../harness/events-socket.ts'
import { hasEnded, nothingLeft, snapshot, until } from '../harness/host.ts'
import { closeClients, Image, Task } from '../harness/life.ts'
import { processOf } from '../harness/sequences.ts'
import { Daemon } from '../harness/shim.ts'
import { privateKb } from '../harness/usage.ts'

const v2 = containerd.task
const LIFE = ['create', 'start', 'exit', 'delete']
/** Of a task with one exec that is killed. */
const EXEC = ['create', 'start', 'exec-added', 'exec-started', 'exit', 'exit', 'delete']

const topics = (events: readonly Forwarded[]) => events.map(({ topic }) => topic)
const once = (events: readonly Forwarded[]) =>
  assert.equal(new Set(events.map(({ payload }) => payload.toString('hex'))).size, events.length)

/** A task of which each step can be waited for. */
class Subject {
  readonly task: Task
  readonly #image: Image
  readonly #config: Config
  private constructor(task: Task, image: Image, config: Config) {
    this.task = task
    this.#image = image
    this.#config = config
  }
  static async start(daemon: Daemon, id: string, image: Image, config: Config): Promise<Subject> {
    return new Subject(await Task.start(daemon, id, config), image, config)
  }
  get #id() {
    return { id: this.task.id }
  }
  async pid(): Promise<number> {
    return v2.ConnectResponse.decode(await this.task.call('Connect', v2.ConnectRequest.encode(this.#id).finish()))
      .shimPid
  }
  async begin(): Promise<void> {
    await this.task.create(this.#image)
    await this.task.call('Start', v2.StartRequest.encode(this.#id).finish())
  }
  async exec(): Promise<void> {
    const named = { ...this.#id, execId: 'e' }
    const spec = processOf(this.#config, {})
    await this.task.call('Exec', v2.ExecRequest.encode({ ...named, spec }).finish())
    await this.task.call('Start', v2.StartRequest.encode(named).finish())
    await this.task.call('Kill', v2.KillRequest.encode({ ...named, signal: 9 }).finish())
    await this.task.call('Wait', v2.WaitRequest.encode(named).finish())
  }
  async end(): Promise<void> {
    await this.task.call('Kill', v2.KillRequest.encode({ ...this.#id, signal: 9 }).finish())
    await this.task.call('Wait', v2.WaitRequest.encode(this.#id).finish())
    await this.task.call('Delete', v2.DeleteRequest.encode(this.#id).finish())
  }
  async leave(): Promise<void> {
    await this.task.call('Shutdown', v2.ShutdownRequest.encode(this.#id).finish())
  }
}

describe('events', { skip: notHere, concurrency: 4 }, () => {
  let image: Image
  let config: Config
  let pristine: Set<string>
  before(() => {
    pristine = snapshot()
    image = new Image()
    config = image.config(['/bin/sleep', '1000'])
  })
  after(async () => {
    closeClients()
    image[Symbol.dispose]()
    await nothingLeft(pristine)
  })

  /** A task of a containerd with this events socket; at the end all of it has to be gone. */
  const withTask = async (
    id: string,
    work: (subject: Subject, events: EventsSocket) => Promise<void>,
  ): Promise<void> => {
    using daemon = new Daemon()
    using events = new EventsSocket(daemon)
    const subject = await Subject.start(daemon, id, image, config)
    await work(subject, events)
    subject.task.client.close()
    await daemon.delete(id)
    assert.ok(await daemon.deserted(), 'the shim leaves')
  }

  it('one at a time, in order, whatever the answers take', () =>
    withTask('paced', async (subject, events) => {
      events.open()
      events.reply = async ({ topic }) => sleep(topic === 'create' ? 300 : 20, 'answer' as const)
      await subject.begin()
      await subject.exec()
      await subject.end()
      await subject.leave()
      await until('all', () => events.taken.length === EXEC.length)
      assert.deepEqual(topics(events.seen), EXEC)
      assert.equal(events.most, 1)
      assert.equal(events.connections, 1)
    }))

  it('wait while nobody listens, and come once and in order when somebody does', () =>
    withTask('absent', async (subject, events) => {
      await subject.begin()
      await subject.exec()
      await subject.end()
      events.open()
      await until('all', () => events.taken.length === EXEC.length)
      assert.deepEqual(topics(events.seen), EXEC)
      await subject.leave()
    }))

  it('outlast a restart between any two of them', () =>
    withTask('restarted', async (subject, events) => {
      events.open()
      await subject.begin()
      await until('two', () => events.taken.length === 2)
      events.close()
      await subject.exec()
      events.open()
      await until('the exec’s', () => events.taken.length === 5)
      events.close()
      await subject.end()
      events.open()
      await until('all', () => events.taken.length === EXEC.length)
      assert.deepEqual(topics(events.seen), EXEC)
      assert.equal(events.connections, 3)
      await subject.leave()
    }))

  it('come again where the connection ended before the answer, and only then', () =>
    withTask('closed', async (subject, events) => {
      events.open()
      let closed = 0
      events.reply = ({ topic }) => (topic === 'start' && closed++ < 3 ? 'close' : 'answer')
      await subject.begin()
      await subject.end()
      await until('all', () => events.taken.length === LIFE.length)
      assert.deepEqual(topics(events.seen), ['create', 'start', 'start', 'start', 'start', 'exit', 'delete'])
      once(events.taken)
      await subject.leave()
    }))

  it('that are refused do not come again', () =>
    withTask('refused', async (subject, events) => {
      events.open()
      events.reply = () => 'error'
      await subject.begin()
      await subject.end()
      await until('all', () => events.taken.length === LIFE.length)
      assert.deepEqual(topics(events.seen), LIFE)
      assert.equal(events.connections, 1)
      await subject.leave()
    }))

  it('that are not answered come again after 5 seconds, over another connection, before any other', () =>
    withTask('silent', async (subject, events) => {
      events.open()
      events.reply = () => (events.seen.length === 1 ? 'silence' : 'answer')
      await subject.begin()
      await subject.end()
      await until('all', () => events.taken.length === LIFE.length, 15_000)
      assert.deepEqual(topics(events.seen), ['create', ...LIFE])
      const [first, second] = events.seen
      const between = (second?.time ?? 0) - (first?.time ?? 0)
      assert.ok(between >= 5000, `${between} ms`)
      assert.equal(events.connections, 2)
      await subject.leave()
    }))

  it('are told before the shim leaves', () =>
    withTask('flushed', async (subject, events) => {
      await subject.begin()
      await subject.end()
      const pid = await subject.pid()
      await subject.leave()
      assert.ok(!hasEnded(pid), 'it stays for its events')
      events.open()
      await until('it leaves', () => hasEnded(pid), 4000)
      assert.deepEqual(topics(events.taken), LIFE)
    }))

  it('keep the shim for 5 seconds at most', () =>
    withTask('patient', async (subject, events) => {
      events.open()
      events.reply = () => 'silence'
      await subject.begin()
      await subject.end()
      const pid = await subject.pid()
      const begun = performance.now()
      await subject.leave()
      await until('it leaves', () => hasEnded(pid))
      assert.ok(performance.now() - begun >= 4900)
      assert.deepEqual(new Set(topics(events.seen)), new Set(['create']))
    }))

  it('take as much memory as they are long', () =>
    withTask('many', async (subject, events) => {
      await subject.begin()
      const pid = await subject.pid()
      const early = privateKb(pid)
      for (let i = 0; i < 150; i++)
        for (const method of ['Pause', 'Resume'] as const)
          await subject.task.call(method, v2.PauseRequest.encode({ id: subject.task.id }).finish())
      // A page each would be 1,200 kB.
      assert.ok(privateKb(pid) - early < 400, `${early} kB, ${privateKb(pid)} kB`)
      await subject.end()
      events.open()
      await until('all', () => events.taken.length === LIFE.length + 300)
      const middle = Array.from({ length: 300 }, (_, i) => (i % 2 === 0 ? 'paused' : 'resumed'))
      assert.deepEqual(topics(events.seen), ['create', 'start', ...middle, 'exit', 'delete'])
      once(events.seen)
      await subject.leave()
    }))

  it('that nobody takes are bounded: what came first stays, in order', () =>
    withTask('bounded', async (subject, events) => {
      // An event of 200 kB: it has the mounts of the root file system.
      const long = [{ ...image.rootfs[0], options: ['rbind', 'ro', ...Array.from({ length: 50_000 }, () => 'ro')] }]
      const pid = await subject.pid()
      const early = privateKb(pid)
      const id = { id: subject.task.id }
      for (let i = 0; i < 30; i++) {
        await subject.task.create({ rootfs: long })
        await subject.task.call('Delete', v2.DeleteRequest.encode(id).finish())
      }
      // Beside 4 MiB of them there is what the last request took.
      assert.ok(privateKb(pid) - early < 10 << 10, `${early} kB, ${privateKb(pid)} kB`)
      events.open()
      const quiet = async () => {
        const before = events.taken.length
        await sleep(2000)
        return before === events.taken.length && before > 0
      }
      await until('quiet', quiet, 20_000)
      const expected = ['create', 'exit', 'delete']
      const whole = topics(events.seen).slice(0, 57)
      assert.deepEqual(
        whole,
        Array.from({ length: 57 }, (_, i) => expected[i % 3]),
      )
      assert.ok(events.seen.length < 90)
      once(events.taken)
      await subject.leave()
    }))
})
