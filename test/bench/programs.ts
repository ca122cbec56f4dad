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

/** Debian's newest package of this name, unpacked: its program of the same name, or '' where it can't be had, or wants a newer libc than ours. */
export const newest = (name: string): string => {
  try {
    const dirs = execFileSync(join(root, 'test/containerd/matrix'), ['newest', name, join(build, name)], {
      encoding: 'utf8',
    })
    const path = dirs
      .split('\n')
      .map((dir) => join(dir, name))
      .find((path) => existsSync(path))
    if (path === undefined) return ''
    execFileSync(path, ['--version'])
    return path
  } catch {
    return ''
  }
}
