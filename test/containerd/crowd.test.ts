/** Many at once, straight over the task API, with one controller for all: nobody is lost to a time-out, and nobody takes another pod's turns. */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { decodeResponse, FrameReader } from '../../shim/ttrpc/index.ts'
import { notHere } from '../harness/bundle.ts'
import { controllerPids, until } from '../harness/host.ts'
import { type eventsSocket, type Image, Task } from '../harness/life.ts'
import { requestFrame } from '../harness/raw.ts'
import type { Daemon } from '../harness/shim.ts'
import { hasDaemon } from '../harness/suite.ts'

const v2 = containerd.task
const LIVES = 100
/** Of a client that floods: its connections, and how many requests of each are not answered at any time. */
const [CONNECTIONS, OUTSTANDING] = [8, 250]

/** Asks one pod's shim without a pause, until it is ended: where an answer has come, the next request goes out. */
class Flood implements Disposable {
  answers = 0
  readonly failed = new Set<number>()
  readonly #sockets: readonly Socket[]
  constructor({ path, id }: Task) {
    this.#sockets = Array.from({ length: CONNECTIONS }, () => connect(path))
    const frames = [
      requestFrame(1, 'State', v2.StateRequest.encode({ id }).finish()),
      requestFrame(1, 'Pids', v2.PidsRequest.encode({ id }).finish()),
    ].map((bytes) => Buffer.from(bytes))
    for (const socket of this.#sockets) {
      let stream = 1
      const ask = (count: number) => {
        const asked = Array.from({ length: count }, () => {
          const frame = Buffer.from(frames[stream % 16 === 1 ? 1 : 0] ?? '')
          frame.writeUInt32BE(stream, 4)
          stream += 2
          return frame
        })
        socket.write(Buffer.concat(asked))
      }
      const answers = new FrameReader()
      socket.on('error', () => {}) // it is seen to by what is counted
      socket.on('data', (chunk: Uint8Array) => {
        let count = 0
        for (const frame of answers.push(chunk)) {
          count++
          const code = 'oversize' in frame ? -1 : (decodeResponse(frame.payload).status?.code ?? 0)
          if (code !== 0) this.failed.add(code)
        }
        this.answers += count
        ask(count)
      })
      ask(OUTSTANDING)
    }
  }
  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

describe('many at once', { skip: notHere }, () => {
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  hasDaemon((...made) => {
    ;[daemon, image, events] = made
  })

  it(`${LIVES} lives at once, of shims of their own: each has its exit code`, async () => {
    const config = image.config([])
    const codes = await Promise.all(
      Array.from({ length: LIVES }, async (_, i) => {
        const args = ['/bin/sh', '-c', `exit ${i}`]
        const task = await Task.start(daemon, `crowd${i}`, { ...config, process: { ...config.process, args } })
        return task.live(daemon, image)
      }),
    )
    assert.deepEqual(codes, [...Array(LIVES).keys()])
    await until('all events', () => events.topics.length === 4 * LIVES)
  })

  it('a pod whose client asks without end leaves another’s their turns', async () => {
    const noisy = await Task.start(daemon, 'noisy', image.config(['/bin/sleep', '1000']))
    await noisy.create(image)
    await noisy.call('Start', v2.StartRequest.encode({ id: 'noisy' }).finish())
    try {
      using flood = new Flood(noisy)
      const goesOn = async () => {
        const wanted = flood.answers + CONNECTIONS * OUTSTANDING
        await until('every request has been answered, and others are asked', () => flood.answers > wanted)
      }
      await goesOn()
      const serving = controllerPids()
      const config = image.config(['/bin/sh', '-c', 'exit 7'])
      for (let i = 0; i < 10; i++) {
        const quiet = await Task.start(daemon, `quiet${i}`, config)
        assert.equal(await quiet.live(daemon, image), 7)
      }
      await goesOn()
      assert.deepEqual(controllerPids(), serving)
      // The next one begins with all that is not answered.
      for (const pid of serving) process.kill(pid, 'SIGKILL')
      await goesOn()
      assert.deepEqual([...flood.failed], [])
    } finally {
      await noisy.call('Kill', v2.KillRequest.encode({ id: 'noisy', signal: 9 }).finish())
      await noisy.call('Wait', v2.WaitRequest.encode({ id: 'noisy' }).finish())
      await noisy.call('Delete', v2.DeleteRequest.encode({ id: 'noisy' }).finish())
      await noisy.call('Shutdown', v2.ShutdownRequest.encode({ id: 'noisy' }).finish())
      await daemon.delete('noisy')
    }
  })
})
