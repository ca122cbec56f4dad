/** A seccomp agent (test/seccomp/agent.py) and what it was told and asked. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { NATIVE } from '../../src/plan/seccomp/abis.ts'
import { SYSCALLS } from '../../src/plan/seccomp/syscalls.ts'
import { root, until } from './host.ts'

const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
/** Name of this machine's ABI in profiles. */
export const nativeArch = NATIVE[machine]
const table = SYSCALLS[machine]()
/** Of a system call of this machine. */
export const numberOf = (name: string): number => table.get(name) ?? assert.fail(name)

interface Line {
  readonly ready?: number
  readonly message?: string
  readonly fds?: number
  readonly call?: number
  readonly pid?: number
}

export class Agent implements AsyncDisposable {
  readonly lines: Line[] = []
  readonly path: string
  readonly #child: ChildProcess
  private constructor(path: string, child: ChildProcess) {
    this.path = path
    this.#child = child
  }
  static async start(path: string, ...answers: string[]): Promise<Agent> {
    const child = spawn('python3', [join(root, 'test/seccomp/agent.py'), path, ...answers], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const agent = new Agent(path, child)
    createInterface(child.stdout).on('line', (line) => agent.lines.push(JSON.parse(line)))
    await until('the agent listens', () => agent.lines.length > 0)
    return agent
  }
  /** Calls it was asked for, by name. */
  asked(name: string): number {
    return this.lines.filter(({ call }) => call === numberOf(name)).length
  }
  messages() {
    return this.lines.flatMap(({ message, fds }) =>
      message === undefined ? [] : [{ ...JSON.parse(message), count: fds }],
    )
  }
  async [Symbol.asyncDispose](): Promise<void> {
    const gone = new Promise((done) => this.#child.on('exit', done))
    this.#child.kill('SIGKILL')
    await gone
  }
}
