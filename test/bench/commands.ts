/** Every verb of the command line with runc, crun and berth, interleaved, and the kernel's own time for the same. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bundle } from '../harness/bundle.ts'
import { addFloor } from './floor.ts'
import { program } from './programs.ts'
import { Samples } from './samples.ts'

export type Runtimes = readonly (readonly [name: string, path: string])[]

/** berth with a controller for each command that needs one. */
export const ALONE = 'berth-alone'

export const VERBS = ['create', 'state', 'start', 'exec', 'kill', 'delete'] as const
/** Of one container, the three of them together. */
export const LIFE = 'create + start + delete'
const LIFE_VERBS = ['create', 'start', 'delete']

export interface CommandTimes {
  /** Milliseconds, by runtime and verb. */
  readonly times: Samples
  /** Milliseconds, by FLOORS, of `kernel`: a life each, in between the others'. */
  readonly floor: Samples
  /** The same in a loop of its own: the median of each batch. */
  readonly hot: Samples
}

const BATCH = 20

/** `lives` of each runtime. `tell`: what is going on. */
export const measureCommands = (runtimes: Runtimes, lives: number, tell: (text: string) => void): CommandTimes => {
  const [verbs, floorProgram] = [program('verbs'), program('floor')]
  const [times, floor, hot] = [new Samples(), new Samples(), new Samples()]
  // a version that older peers know, too
  using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
    config.ociVersion = '1.0.2'
  })
  const dir = mkdtempSync(join(tmpdir(), 'berth-bench-'))
  const own = runtimes.filter(([name]) => name === 'berth').map(([, path]) => `${ALONE}=${path},--no-controller`)
  try {
    for (let done = 0; done < lives; done += BATCH) {
      tell(`commands: ${done} of ${lives} lives`)
      const subjects = [...runtimes.map(([name, path]) => `${name}=${path}`), ...own]
      const lines = execFileSync(verbs, [bundle.dir, dir, String(BATCH), `floor=${floorProgram}`, ...subjects], {
        encoding: 'utf8',
      }).split('\n')
      times.addLines(lines.filter((line) => !line.startsWith('{')).join('\n'))
      for (const line of lines.filter((line) => line.startsWith('{'))) addFloor(floor, line)
      addFloor(hot, execFileSync(floorProgram, [join(bundle.dir, 'rootfs'), String(BATCH)], { encoding: 'utf8' }))
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
  return { times, floor, hot }
}
