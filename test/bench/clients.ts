/** What people see who use `ctr`: `ctr run --rm`, with runc's shim and with berth's, one at a time and many at once. For information, as most of it is ctr's own. */
import { Containerd, image, type Version } from '../harness/containerd.ts'
import { NAMES, type Name, RUNTIMES } from './engine.ts'
import { shuffled } from './order.ts'
import { Samples } from './samples.ts'

/** How many at once, and how often. */
const WIDTHS = [
  { at: 1, rounds: 20 },
  { at: 10, rounds: 5 },
  { at: 50, rounds: 3 },
] as const
export const atOnce = (at: number): string => (at === 1 ? '1 at a time' : `${at} at once`)
export const CLIENTS = WIDTHS.map(({ at }) => atOnce(at))

/** Milliseconds of `ctr run --rm`, by runtime and CLIENTS; of many at once it is those of all of them. */
export const measureClients = async (version: Version, tell: (text: string) => void): Promise<Samples> => {
  const times = new Samples(NAMES)
  await using containerd = await Containerd.start(version)
  let count = 0
  const run = async (name: Name): Promise<void> => {
    const args = ['run', '--rm', '--runtime', RUNTIMES[name], image, `bench-${count++}`, '/bin/true']
    const { code, stderr } = await containerd.ctr(args)
    if (code !== 0) throw new Error(`ctr ${args.join(' ')}: ${stderr}`)
  }
  for (const name of NAMES) await run(name) // warm
  for (const { at, rounds } of WIDTHS)
    for (let i = 0; i < rounds; i++) {
      tell(`ctr run, ${atOnce(at)}: ${i + 1} of ${rounds}`)
      for (const name of shuffled(NAMES)) {
        const begin = performance.now()
        await Promise.all(Array.from({ length: at }, () => run(name)))
        times.add(name, atOnce(at), performance.now() - begin)
      }
    }
  return times
}
