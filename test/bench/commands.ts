/** Every verb of the command line with runc, crun and berth, interleaved, and the kernel's own time for the same. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bundle } from '../harness/bundle.ts'
import { addFloor } from './floor.ts'
import { shuffled } from './order.ts'
import { program } from './programs.ts'
import { Samples } from './samples.ts'

export type Runtimes = readonly (readonly [name: string, path: string])[]

/** berth with a controller for each command that needs one. */
export const ALONE = 'berth-alone'

export const VERBS = ['create', 'state', 'start', 'exec', 'kill', 'delete'] as const
/** Of one container, the three of them together. */
export const LIFE = 'create + start + delete'
/** All of a container whose process ends at once. */
export const RUN = 'run'
const LIFE_VERBS = ['create', 'start', 'delete']

export interface CommandTimes {
  /** Milliseconds, by runtime and verb. */
  readonly times: Samples
  /** Milliseconds, by FLOORS, of `kernel`: a life each, in between the others'. */
  readonly floor: Samples
  /** The same in a loop of its own: the median of each batch. */
  readonly hot: Samples
  /** Seconds for so many runs of `true`, one after the other, with nobody in between. */
  readonly row: Samples
}
export const ROW = '100 × /bin/true'

const BATCH = 20
const ROW_LENGTH = 100
/** For so many lives one row of each. */
const LIVES_A_ROW = 40

/** `lives` of each runtime. `tell`: what is going on. */
export const measureCommands = (runtimes: Runtimes, lives: number, tell: (text: string) => void): CommandTimes => {
  const [verbs, floorProgram] = [program('verbs'), program('floor')]
  const names = [...runtimes.map(([name]) => name), ALONE]
  const [times, floor, hot, row] = [new Samples(names), new Samples(), new Samples(), new Samples(names)]
  // a version that older peers know, too
  const bundleOf = (args: readonly string[]) =>
    new Bundle(args, (config) => {
      config.ociVersion = '1.0.2'
    })
  using bundle = bundleOf(['/bin/sleep', '1000'])
  using ending = bundleOf(['/bin/true'])
  const dir = mkdtempSync(join(tmpdir(), 'berth-bench-'))
  const own = runtimes.filter(([name]) => name === 'berth').map(([, path]) => `${ALONE}=${path},--no-controller`)
  const subjects = [...runtimes.map(([name, path]) => `${name}=${path}`), ...own]
  const run = (mode: string, { dir: of }: Bundle, count: number, ...those: readonly string[]): string[] =>
    execFileSync(verbs, [mode, of, dir, String(count), ...those], { encoding: 'utf8' })
      .trim()
      .split('\n')
  try {
    for (let done = 0; done < lives; done += BATCH) {
      tell(`commands: ${done} of ${lives} lives`)
      const lines = run('life', bundle, BATCH, `floor=${floorProgram}`, ...subjects)
      times.addLines(lines.filter((line) => !line.startsWith('{')).join('\n'))
      for (const line of lines.filter((line) => line.startsWith('{'))) addFloor(floor, line)
      addFloor(hot, execFileSync(floorProgram, [join(bundle.dir, 'rootfs'), String(BATCH)], { encoding: 'utf8' }))
      times.addLines(run('run', ending, BATCH, ...subjects).join('\n'))
    }
    const rows = Math.ceil(lives / LIVES_A_ROW)
    for (let i = 0; i < rows; i++)
      for (const subject of shuffled(subjects)) {
        tell(`${ROW}: ${i + 1} of ${rows}`)
        const one = new Samples()
        one.addLines(run('run', ending, ROW_LENGTH, subject).join('\n'))
        for (const name of one.names) row.add(name, ROW, one.of(name, RUN).reduce((sum, ms) => sum + ms, 0) / 1000)
      }
  } finally {
    rmSync(dir, { recursive: true })
  }
  for (const name of times.names)
    for (const index of times.of(name, 'create').keys())
      times.add(
        name,
        LIFE,
        LIFE_VERBS.reduce((sum, verb) => sum + (times.of(name, verb)[index] ?? Number.NaN), 0),
      )
  return { times, floor, hot, row }
}
