/** 1,000 task lives, 10 at a time, while the controller is killed at random moments: nothing but time is lost. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { notHere } from '../harness/bundle.ts'
import { controllerPids, nothingLeft, snapshot } from '../harness/host.ts'
import { atATime, closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { Daemon } from '../harness/shim.ts'

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const LIVES = Number(process.env.LIVES ?? 1000)

describe('kills', { skip: notHere }, () => {
  it(`${LIVES} lives under SIGKILL of the controller`, async (t) => {
    const before = snapshot()
    const daemon = new Daemon()
    const image = new Image()
    const config = image.config([])
    const events = eventsSocket(daemon)
    let kills = 0
    let done = false
    const killer = (async () => {
      while (!done) {
        // At any moment, but not before something got done since the last: a busy host may need longer for a boot than any interval.
        const enough = events.topics.length + Math.ceil(Math.random() * 4)
        while (!done && events.topics.length < enough) await wait(5)
        await wait(Math.random() * 100)
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
    t.diagnostic(`${LIVES} lives, ${kills} kills, ${(LIVES / seconds).toFixed(1)} lives a second`)
    for (const topic of ['create', 'start', 'exit', 'delete'])
      assert.ok(events.topics.filter((x) => x === `/tasks/${topic}`).length >= LIVES, topic)
    await nothingLeft(before)
  })
})
