/** A real containerd with root, state and socket of its own in a temporary directory. */
import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { hasEnded, root, shimBinary, until } from './host.ts'
import { type Finished, type RunOptions, run } from './run.ts'

const matrix = join(root, 'test/containerd/matrix')
const exec = promisify(execFile)
export const runtime = 'io.containerd.berth.v2'
export const image = 'docker.io/library/bb:bb'

/** From 2.2 on, ctr warns of this host's cgroup v1 on each call. */
const quiet = { ...process.env, CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS: '1' }

/** Why tests with containerd can't run here, or false. */
export const noContainerd: string | false =
  process.getuid?.() !== 0
    ? 'needs root'
    : !existsSync(shimBinary)
      ? 'needs bin/containerd-shim-berth-v2: run make'
      : !existsSync('/usr/bin/apt-get')
        ? "needs Debian's containerd packages"
        : false

/** The versions of the matrix. */
export const versions = ['1.6', '1.7', '2.1', '2.3'] as const
export type Version = (typeof versions)[number]

/** Why tests with this version can't run here, or false. */
export function noVersion(version: Version): string | false {
  if (noContainerd || version !== '2.3') return noContainerd
  const cache = process.env.MATRIX_CACHE ?? '/var/tmp/berth-matrix'
  const built = existsSync(cache) && readdirSync(cache).some((name) => /^go-v2\.3\.\d+$/.test(name))
  if (built || process.env.PATH?.split(':').some((dir) => existsSync(join(dir, 'go')))) return false
  return 'containerd 2.3 is built from source: needs Go'
}

/** Why pods can't be tested here with this version, or false. */
export function noCri(version: Version): string | false {
  return noVersion(version) || (existsSync('/usr/lib/cni/bridge') ? false : 'needs containernetworking-plugins')
}

interface StartOptions {
  readonly handlers?: readonly string[]
  readonly more?: string
  readonly wrap?: string
  readonly log?: string
}

export class Containerd implements AsyncDisposable {
  readonly dir: string
  readonly #env: NodeJS.ProcessEnv
  private constructor(dir: string, env: NodeJS.ProcessEnv) {
    this.dir = dir
    this.#env = env
  }

  /**
   * The containerd of this version, started, with a busybox image. `handlers`: with CRI, and these runtime handlers beside runc's. `more`
   * (`KEY=value`) is in its environment. `wrap`: words of a program that executes it. `log`: the level of its
   * log.
   */
  static async start(version: Version, options: StartOptions = {}): Promise<Containerd> {
    const { handlers, more = '', wrap = '', log = 'info' } = options
    const dir = mkdtempSync(join(tmpdir(), `berth-containerd-${version}-`))
    chmodSync(dir, 0o711) // as /run/containerd: root of a user namespace has to get through
    const cri = handlers === undefined ? { NOCRI: '1' } : { EXTRA_RUNTIMES: handlers.join(' ') }
    const env = { ...process.env, SHIM_PATH: dirname(shimBinary), CTRD_ENV: more, CTRD_WRAP: wrap, LOG: log, ...cri }
    await exec(matrix, ['start', version, dir], { env, maxBuffer: 1 << 26 })
    return new Containerd(dir, env)
  }

  get socket(): string {
    return join(this.dir, 'c.sock')
  }

  ctr(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return run(join(this.dir, 'pkg/usr/bin/ctr'), ['-a', this.socket, ...args], { env: quiet, ...options })
  }

  /** The same as a line for a shell; arguments have to be quoted by the caller. */
  ctrCommand(args: readonly string[]): string {
    return [join(this.dir, 'pkg/usr/bin/ctr'), '-a', this.socket, ...args].join(' ')
  }

  get log(): string {
    return readFileSync(join(this.dir, 'log'), 'utf8')
  }

  /** Ends containerd, and nothing else; `restart` brings it back. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const pid = Number(readFileSync(join(this.dir, 'pid'), 'utf8'))
    process.kill(pid, signal)
    await until('containerd has ended', () => hasEnded(pid))
  }

  /** containerd only. `meanwhile`: what happens while there is none. */
  async restart(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    await exec(matrix, ['halt', this.dir])
    await meanwhile()
    await exec(matrix, ['restart', this.dir], { env: this.#env })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await exec(matrix, ['stop', this.dir])
    rmSync(this.dir, { recursive: true, force: true })
  }
}
