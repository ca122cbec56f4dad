/** What people see who use containerd: `ctr run --rm`, with runc's shim and with berth's, one at a time and many at once. */
import { Containerd, image, runtime, type Version } from '../harness/containerd.ts'
import { Samples } from './samples.ts'

const RUNTIMES = { berth: runtime, runc: 'io.containerd.runc.v2' } as const

/** Milliseconds of `ctr run --rm`, by runtime and `1 at a time` or `N at once`, where it is those of all of them. */
export const measureClients = async (
  version: Version,
  { runs, width, rounds }: { runs: number; width: number; rounds: number },
  tell: (text: string) => void,
): Promise<Samples> => {
  const times = new Samples()
  await using containerd = await Containerd.start(version)
  let count = 0
  const run = async (name: keyof typeof RUNTIMES): Promise<void> => {
    const args = ['run', '--rm', '--runtime', RUNTIMES[name], image, `bench-${count++}`, '/bin/true']
    const { code, stderr } = await containerd.ctr(args)
    if (code !== 0) throw new Error(`ctr ${args.join(' ')}: ${stderr}`)
  }
  const names = Object.keys(RUNTIMES) as (keyof typeof RUNTIMES)[]
  const timed = async (name: keyof typeof RUNTIMES, at: number, what: string | undefined) => {
    const begin = performance.now()
    await Promise.all(Array.from({ length: at }, () => run(name)))
    if (what !== undefined) times.add(name, what, performance.now() - begin)
  }
  for (const name of names) await timed(name, 1, undefined) // warm
  for (let i = 0; i < runs; i++) {
    tell(`ctr run: ${i} of ${runs}`)
    for (const name of names) await timed(name, 1, '1 at a time')
  }
  for (let i = 0; i < rounds; i++) {
    tell(`ctr run, ${width} at once: ${i} of ${rounds}`)
    for (const name of names) await timed(name, width, `${width} at once`)
  }
  return times
}
