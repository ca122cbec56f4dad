/** Runs programs and gathers what they say. */
import { type SpawnOptions, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { binary } from './host.ts'

export interface Finished {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

export type RunOptions = SpawnOptions & {
  readonly input?: string
  /** Ends standard input once this holds of the output so far; else it ends right behind the input. */
  readonly endWhen?: (stdout: string) => boolean
}

/** Resolves once the program has ended and its output has reached EOF. */
export function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options })
    let stdout = ''
    let stderr = ''
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      stdout += text
      if (options.endWhen?.(stdout)) child.stdin?.end()
    })
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      stderr += text
    })
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
    child.stdin?.on('error', () => {})
    child.stdin?.write(options.input ?? '')
    if (options.endWhen === undefined) child.stdin?.end()
  })
}

/** The same with a terminal that stays open until the program's end. */
export const terminal = (words: readonly string[], options: RunOptions = {}): Promise<Finished> =>
  run('/usr/bin/script', ['-qec', words.map((word) => `'${word}'`).join(' '), '/dev/null'], {
    ...options,
    endWhen: () => false,
  })

/**
 * Runs berth with its output in files: a container that it leaves behind has the same descriptors, so that pipes would not
 * reach EOF before the container's end.
 */
export async function berth(
  args: readonly string[],
  options: RunOptions = {},
  program: string = binary,
): Promise<Finished> {
  const dir = mkdtempSync(join(tmpdir(), 'berth-output-'))
  const out = openSync(join(dir, 'out'), 'w')
  const err = openSync(join(dir, 'err'), 'w')
  try {
    const done = await run(program, args, { ...options, stdio: ['pipe', out, err] })
    return { ...done, stdout: readFileSync(join(dir, 'out'), 'utf8'), stderr: readFileSync(join(dir, 'err'), 'utf8') }
  } finally {
    closeSync(out)
    closeSync(err)
    rmSync(dir, { recursive: true })
  }
}
