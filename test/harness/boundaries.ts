/** Runs a sequence once for each boundary between two messages, with the controller killed there: containerd has to see the same. */
import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { type Config, notHere } from './bundle.ts'
import { nothingLeft, snapshot, until } from './host.ts'
import { Interposer, type Verdict } from './interposer.ts'
import { closeClients, eventsSocket, Image } from './life.ts'
import { oneTask, pod, type Sequence, SHELL } from './sequences.ts'
import { Daemon } from './shim.ts'
import { Transcript } from './transcript.ts'

interface Boundary {
  /** The frame, counted from the sequence's first. */
  readonly at: number
  readonly verdict: Verdict
}

/**
 * Behind each frame, and, of what a controller says, within it. (What it is told is read whole or not at all, and not at all is the boundary
 * before.)
 */
const boundariesOf = (toController: readonly boolean[]): Boundary[] =>
  toController.flatMap((told, at): Boundary[] => [
    { at, verdict: 'kill' },
    ...(told ? [] : [{ at, verdict: 'tear' } as const]),
  ])

const spread = <T>(items: readonly T[], count: number): T[] =>
  Array.from({ length: Math.min(count, items.length) }, (_, i) =>
    items.slice(Math.floor(i * Math.max(1, items.length / count))),
  ).flatMap(([item]) => (item === undefined ? [] : [item]))

/** Lines of one that are not the other's at the same place. */
const differences = (seen: readonly string[], expected: readonly string[]): string[] =>
  Array.from({ length: Math.max(seen.length, expected.length) }, (_, i) => [seen[i] ?? '', expected[i] ?? '']).flatMap(
    ([now, then]) => (now === then ? [] : [`- ${then}`, `+ ${now}`]),
  )

/** `count`: how many boundaries of each sequence, spread evenly. */
export const boundaryTests = (count: number): void => {
  describe('boundaries', { skip: notHere }, () => {
    let image: Image
    let config: Config
    let interposer: Interposer
    let pristine: Set<string>
    before(() => {
      image = new Image()
      config = image.config(SHELL)
    })
    after(() => image[Symbol.dispose]())
    beforeEach(async () => {
      pristine = snapshot()
      interposer = await Interposer.start()
    })
    afterEach(async () => {
      closeClients()
      await interposer[Symbol.asyncDispose]()
      await nothingLeft(pristine)
    })

    const run = async (sequence: Sequence, id: string): Promise<string[]> => {
      using daemon = new Daemon()
      const events = eventsSocket(daemon)
      try {
        const script = new Transcript({ [daemon.dir]: 'DIR', [image.dir]: 'IMAGE', [id]: 'ID' })
        await sequence({ id, daemon, image, config, script })
        const deletes = script.lines.filter((line) => /^Delete \{("execId":"")?\} → \{/.test(line)).length
        await until(
          'the last event',
          () => events.topics.filter((topic) => topic === '/tasks/delete').length === deletes,
        )
        return [...script.lines, ...script.events(events.requests)]
      } finally {
        events.close()
      }
    }

    for (const [name, sequence] of Object.entries({ 'one task': oneTask, 'a pod': pod }))
      it(name, async (t) => {
        const frames: boolean[] = []
        interposer.judge = ({ toController }) => {
          frames.push(toController)
          return 'pass'
        }
        const expected = await run(sequence, 'undisturbed')
        const all = boundariesOf(frames)
        const chosen = spread(all, count)
        t.diagnostic(`${frames.length} messages, ${chosen.length} of ${all.length} boundaries`)
        const differ: string[] = []
        for (const { at, verdict } of chosen) {
          let passed = 0
          const kills = interposer.kills
          interposer.judge = () => (passed++ === at ? verdict : 'pass')
          const seen = await run(sequence, `boundary-${at}-${verdict}`).catch((error) => [String(error)])
          const different = differences(seen, expected)
          if (different.length > 0) differ.push(`${verdict} at message ${at}:`, ...different)
          assert.equal(interposer.kills, kills + 1)
        }
        assert.deepEqual(differ, [])
        assert.equal(interposer.crashes, 0)
      })
  })
}
