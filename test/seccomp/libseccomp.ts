/** libseccomp as a second opinion: its program for a profile, by way of verdicts.c. */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EPERM } from '../../src/plan/seccomp/actions.ts'
import type { Seccomp, SeccompAction } from '../../src/spec/types.ts'

export interface Opinion {
  readonly program: Uint8Array
  /** Names that this version of libseccomp does not know. */
  readonly unknown: ReadonlySet<string>
}

export class Libseccomp {
  readonly #dir: string
  readonly #tool: string

  private constructor(dir: string) {
    this.#dir = dir
    this.#tool = join(dir, 'verdicts')
  }

  /** Builds the tool, or says in a line why it can't be had. */
  static build(): Libseccomp | string {
    const dir = mkdtempSync(join(tmpdir(), 'berth-seccomp-'))
    const source = new URL('verdicts.c', import.meta.url).pathname
    const built = new Libseccomp(dir)
    const { status, error, stderr } = spawnSync('cc', ['-std=gnu11', '-O1', source, '-lseccomp', '-o', built.#tool], {
      encoding: 'utf8',
    })
    if (status === 0) return built
    built.close()
    if (error) return `no C compiler: ${error.message}`
    return `the tool does not build (libseccomp-dev?): ${stderr.split('\n')[0]}`
  }

  /** Its program; undefined where it refuses the profile. */
  compile(profile: Seccomp): Opinion | undefined {
    const { status, stdout, stderr } = spawnSync(this.#tool, { input: lines(profile), maxBuffer: 1 << 20 })
    if (status === 3) return undefined
    if (status !== 0) throw new Error(`verdicts: ${stderr}`)
    return { program: stdout, unknown: new Set(stderr.toString().split('\n').filter(Boolean)) }
  }

  close(): void {
    rmSync(this.#dir, { recursive: true })
  }
}

function lines({ defaultAction, defaultErrnoRet, architectures = [], syscalls = [] }: Seccomp): string {
  const action = (name: SeccompAction, data = EPERM) => `${name} ${data}`
  return [
    `default ${action(defaultAction, defaultErrnoRet)}`,
    ...architectures.map((name) => `arch ${name.replace('SCMP_ARCH_', '').toLowerCase()}`),
    ...syscalls.flatMap((rule) =>
      rule.names.map((name) =>
        [
          `rule ${action(rule.action, rule.errnoRet)} ${name}`,
          ...(rule.args ?? []).map(({ index, op, value, valueTwo }) => `${index} ${op} ${value} ${valueTwo}`),
        ].join(' '),
      ),
    ),
    '',
  ].join('\n')
}
