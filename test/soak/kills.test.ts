/** 1,000 task lives, 10 at a time, while the controller is killed at random moments: nothing but time is lost. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { notHere } from '../harness/bundle.ts'
import { controllerPids, nothingLeft, snapshot } from '../harness/host.ts'
import { atATime, closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { berth } from '../harness/run.ts'
import { Daemon } from '../harness/shim.ts'

const LIVES = Number(process.env.LIVES ?? 1000)

describe('kills', { skip: notHere }, () => {
  it(`${LIVES} lives under SIGKILL of the controller, half a boot to two boots after another`, async (t) => {
    const before = snapshot()
    const daemon = new Daemon()
    const image = new Image()
    const config = image.config([])
    const events = eventsSocket(daemon)
    let kills = 0
    let done = false
    // A host that takes longer for a boot than there is between two kills would get nothing done.
    const booted = performance.now()
    assert.equal((await berth(['list', '-q'])).code, 0)
    const boot = performance.now() - booted
    const killer = (async () => {
      while (!done) {
        await new Promise((resolve) => setTimeout(resolve, boot * (0.5 + 1.5 * Math.random())))
        for (const pid of controllerPids())
          try {
            process.kill(pid, 'SIGKILL')
            kills++
          } catch {
            // it left by itself
          }
      }
    })()
    const begin = performance.now()
    try {
      await atATime(LIVES, 10, async (i) => {
        const code = i % 100
        const task = await Task.start(daemon, `k${i}`, {
          ...config,
          process: { ...config.process, args: ['/bin/sh', '-c', `exit ${code}`] },
        })
        assert.equal(
          await task.live(daemon, image).catch((error) => {
            throw new Error(`${task.id}: ${task.last}: ${error.message}`)
          }),
          code,
        )
      })
    } finally {
      done = true
      await killer
      closeClients()
      events.close()
    }
    const seconds = (performance.now() - begin) / 1000
    t.diagnostic(
      `${LIVES} lives, ${kills} kills, a boot took ${boot.toFixed(0)} ms, ${(LIVES / seconds).toFixed(1)} lives a second`,
    )
    for (const topic of ['create', 'start', 'exit', 'delete'])
      assert.ok(events.topics.filter((x) => x === `/tasks/${topic}`).length >= LIVES, topic)
    await nothingLeft(before)
  })
})
