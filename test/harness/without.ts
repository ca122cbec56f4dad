/** Hosts that lack system calls: programs run behind a filter that answers for the missing ones (without.c). */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SYSCALLS } from '../../src/plan/seccomp/syscalls.ts'
import { binary } from './host.ts'
import { berth, type Finished, type RunOptions } from './run.ts'

export const EPERM = 1
export const EINVAL = 22
export const ENOSYS = 38
export const ENOTTY = 25

/** A call that is missing, or is with this argument (its position, and a value of its lower half under a mask). */
export interface Missing {
  readonly call: string
  readonly errno: number
  readonly argument?: readonly [position: number, mask: number, value: number]
}

const numbers = process.arch === 'arm64' ? SYSCALLS.aarch64() : SYSCALLS.x86_64()

const rule = ({ call, errno, argument }: Missing): string => {
  const number = numbers.get(call)
  if (number === undefined) throw new Error(`no system call ${call}`)
  return [number, errno, ...(argument ?? [])].join(':')
}

/** BERTH_WITHOUT: the program, already built (there is no compiler in a virtual machine). */
export function buildWithout(): string {
  const built = process.env.BERTH_WITHOUT
  if (built) return built
  const dir = mkdtempSync(join(tmpdir(), 'berth-without-'))
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
  const program = join(dir, 'without')
  const source = join(import.meta.dirname, 'without.c')
  const { status, stderr } = spawnSync('cc', ['-O1', '-Wall', '-Wextra', '-static', source, '-o', program], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`without.c does not build: ${stderr}`)
  return program
}

let program: string | undefined

/** The command line that runs a program on such a host. */
export const without = (missing: readonly Missing[], command: readonly string[]): [string, string[]] => {
  program ??= buildWithout()
  return [program, [...missing.map(rule), '--', ...command]]
}

/** As `berth` of run.ts, on such a host. */
export const berthWithout = (
  missing: readonly Missing[],
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> => {
  const [file, all] = without(missing, [binary, ...args])
  return berth(all, options, file)
}
