/** Attackers: programs of test/security/attacks, and host files that nothing may have touched in the end. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Bundle } from './bundle.ts'
import { root } from './host.ts'

/** Why attacks can't be compiled here, or false. */
export const noCompiler: string | false = spawnSync('cc', ['--version']).status === 0 ? false : 'needs cc'

const compiled = new Map<string, string>()
/** A program of test/security/attacks, compiled once for each test process; static, so that it runs in any root file system. */
export function attack(name: string): string {
  const known = compiled.get(name)
  if (known !== undefined) return known
  const dir = mkdtempSync(join(tmpdir(), 'berth-attack-'))
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
  const program = join(dir, name)
  execFileSync('cc', [
    '-Wall',
    '-Wextra',
    '-Werror',
    '-static',
    '-o',
    program,
    join(root, `test/security/attacks/${name}.c`),
  ])
  compiled.set(name, program)
  return program
}

/** Puts an attacker into a bundle's root file system, as /NAME. */
export const bring = (bundle: Bundle, name: string): void => cpSync(attack(name), join(bundle.dir, 'rootfs', name))

/** An attacker that runs beside the test until the end of its scope; it has said its first word by then. */
export class Attacker implements AsyncDisposable {
  readonly #child
  private constructor(name: string, args: readonly string[]) {
    this.#child = spawn(attack(name), args, { stdio: ['ignore', 'pipe', 'inherit'] })
  }
  static async start(name: string, ...args: readonly string[]): Promise<Attacker> {
    const attacker = new Attacker(name, args)
    await new Promise((resolve) => attacker.#child.stdout?.once('data', resolve))
    return attacker
  }
  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    // One that gave up by itself raced against nothing.
    if (!this.#child.kill('SIGKILL')) throw new Error('the attacker ended before the test did')
    await ended
  }
}

/** A directory on the host that containers have no business with. */
export class Canary implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-canary-'))
  readonly file = join(this.dir, 'file')
  readonly #before: string
  constructor() {
    mkdirSync(join(this.dir, 'sub'))
    writeFileSync(this.file, 'canary', { mode: 0o640 })
    writeFileSync(join(this.dir, 'null'), 'canary', { mode: 0o640 })
    this.#before = this.#look(this.dir)
  }
  #look(path: string): string {
    const { mode, uid, gid, rdev, nlink } = lstatSync(path)
    const inside = lstatSync(path).isDirectory()
      ? readdirSync(path)
          .sort()
          .map((name) => this.#look(join(path, name)))
          .join('\n')
      : createHash('sha256').update(readFileSync(path)).digest('hex')
    return `${path} ${mode.toString(8)} ${uid}:${gid} ${rdev} ${nlink}\n${inside}`
  }
  /** Throws where anything below has changed: names, contents, owners, modes. */
  check(): void {
    const now = this.#look(this.dir)
    if (now !== this.#before) throw new Error(`the host's files were touched:\n${this.#before}\nnow:\n${now}`)
  }
  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** Repeats `work` for this long; at least once. How often it did. */
export async function forMs(ms: number, work: (round: number) => Promise<void>): Promise<number> {
  const end = Date.now() + ms
  let round = 0
  do await work(round++)
  while (Date.now() < end)
  return round
}
