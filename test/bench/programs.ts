/** The programs that benchmarks run: their own, in C, and the peers'. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../harness/host.ts'

const build = join(root, 'build/bench')

/** Compiles test/bench/NAME.c; the path of the program. */
export const program = (name: string): string => {
  mkdirSync(build, { recursive: true })
  execFileSync('cc', ['-O2', '-static', '-o', join(build, name), join(root, `test/bench/${name}.c`)])
  return join(build, name)
}

/** One that Debian's package of that name has installed; a table without a peer would say nothing. */
export const installed = (name: string, path: string): string => {
  if (existsSync(path)) return path
  throw new Error(`${path} is not there: \`make bench\` as root installs it, as does scripts/packages ${name}`)
}

/** Debian's newest package of this name, unpacked: its program of the same name. Where that can't be had, or does not run here, nothing, and why is said. */
export const newest = (name: string): string | undefined => {
  try {
    const dirs = execFileSync(join(root, 'test/containerd/matrix'), ['newest', name, join(build, name)], {
      encoding: 'utf8',
    })
    const path = dirs
      .split('\n')
      .map((dir) => join(dir, name))
      .find((path) => existsSync(path))
    if (path === undefined) throw new Error('its package has no such program')
    execFileSync(path, ['--version'])
    return path
  } catch (error) {
    process.stderr.write(`bench: Debian's newest ${name} is left out: ${error}\n`)
    return undefined
  }
}
