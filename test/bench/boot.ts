/** How long somebody waits for a controller that has to boot, beside what Node alone takes for nothing. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { binary, dist } from '../harness/host.ts'
import { shuffled } from './order.ts'
import { Samples } from './samples.ts'

export const BOOT = 'first answer'

const COMMANDS = {
  berth: [binary, '--no-controller', '--version'],
  node: [join(dist, 'node'), '-e', '0'],
} as const

/** Milliseconds of `berth` and `node`, by BOOT. */
export const measureBoot = (runs: number, tell: (text: string) => void): Samples => {
  const times = new Samples()
  for (let i = -2; i < runs; i++) {
    tell(`boots: ${i + 1} of ${runs}`)
    for (const [name, [file, ...args]] of shuffled(Object.entries(COMMANDS))) {
      const begin = performance.now()
      const { status } = spawnSync(file, args, { stdio: 'ignore' })
      if (status !== 0) throw new Error(`${name} ended with ${status}`)
      if (i >= 0) times.add(name, BOOT, performance.now() - begin)
    }
  }
  return times
}
