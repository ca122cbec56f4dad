/**
 * An ordinary user who exists for a test alone: a mount namespace has its own /etc/passwd, /etc/subuid and the like, and shows it the
 * programs wherever the checkout lies. The host's files stay as they are.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Config, makeRootfs, notHere } from './bundle.ts'
import { binary } from './host.ts'
import { type Finished, type RunOptions, run } from './run.ts'

export const UID = 12345
/** First of the 65536 subordinate ids. */
export const SUBID = 200000

export const noUsers: string | false =
  notHere ||
  (['/usr/bin/newuidmap', '/usr/bin/setpriv'].every((path) => existsSync(path)) ? false : 'needs uidmap, util-linux')

const FILES: Readonly<Record<string, string>> = {
  passwd: `root:x:0:0::/:/bin/sh\nberth-test:x:${UID}:${UID}::/:/bin/sh\n`,
  group: `root:x:0:\nberth-test:x:${UID}:\n`,
  subuid: `berth-test:${SUBID}:65536\n`,
  subgid: `berth-test:${SUBID}:65536\n`,
}

export class User implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-user-'))
  readonly runtimeDir = join(this.dir, 'run')
  readonly bundle = join(this.dir, 'bundle')
  readonly env: Readonly<Record<string, string>>
  readonly #keeper: ChildProcess
  config: Config

  private constructor(keeper: (dir: string) => ChildProcess) {
    chmodSync(this.dir, 0o755)
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(this.dir, name), text)
    mkdirSync(join(this.dir, 'berth'))
    for (const dir of [this.runtimeDir, this.bundle]) mkdirSync(dir, { mode: 0o700 })
    makeRootfs(join(this.bundle, 'rootfs'))
    // Whoever an id is mapped to has to find the way.
    chmodSync(this.bundle, 0o755)
    this.give(this.bundle)
    chownSync(this.runtimeDir, UID, UID)
    this.env = {
      PATH: '/usr/bin:/bin:/usr/sbin:/sbin',
      XDG_RUNTIME_DIR: this.runtimeDir,
      USER: 'berth-test',
      BERTH_CONTROLLER_IDLE: '2',
    }
    this.#keeper = keeper(this.dir)
  }

  static async make(): Promise<User> {
    let keeper: ChildProcess | undefined
    const user = new User((dir) => {
      const mounts = Object.keys(FILES).map((name) => {
        // A host without subordinate ids may lack the file; nothing could be mounted on it then.
        if (!existsSync(`/etc/${name}`)) closeSync(openSync(`/etc/${name}`, 'a', 0o644))
        return `mount --bind ${dir}/${name} /etc/${name}`
      })
      const script = [
        `mount --bind ${resolve(binary, '../..')} ${dir}/berth`,
        ...mounts,
        'echo ready',
        'exec sleep 1000000',
      ].join(' && ')
      keeper = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      return keeper
    })
    await new Promise<void>((done, fail) => {
      keeper?.stdout?.once('data', () => done())
      keeper?.once('exit', () => fail(new Error('no mount namespace for the user')))
    })
    const spec = await user.berth(['spec', '--rootless', '--bundle', user.bundle])
    if (spec.code !== 0) throw new Error(spec.stderr)
    user.config = JSON.parse(readFileSync(join(user.bundle, 'config.json'), 'utf8'))
    user.config.process.terminal = false
    return user
  }

  give(path: string): void {
    execFileSync('chown', ['-R', `${UID}:${UID}`, path])
  }

  /** Writes config.json: what `spec --rootless` gave, with this program and these changes. */
  configure(args: readonly string[], change?: (config: Config) => void): void {
    const config = structuredClone(this.config)
    config.process.args = [...args]
    change?.(config)
    writeFileSync(join(this.bundle, 'config.json'), JSON.stringify(config))
    chownSync(join(this.bundle, 'config.json'), UID, UID)
  }

  get program(): string {
    return join(this.dir, 'berth/bin/berth')
  }

  /** Runs a program in the user's mount namespace as root: `as` of the command line is what makes it the user. */
  enter(command: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const all = ['--mount', '--target', String(this.#keeper.pid), '--wd=/', '--', ...command]
    return run('nsenter', all, { env: { ...this.env }, ...options })
  }

  readonly as = [
    'setpriv',
    '--reuid',
    String(UID),
    '--regid',
    String(UID),
    '--clear-groups',
    '--inh-caps=-all',
    '--',
  ] as const

  /** Output in files: a container that stays behind has the same descriptors. */
  async berth(
    args: readonly string[],
    options: RunOptions & { readonly prefix?: readonly string[] } = {},
  ): Promise<Finished> {
    const dir = mkdtempSync(join(tmpdir(), 'berth-output-'))
    const [out, err] = [openSync(join(dir, 'out'), 'w'), openSync(join(dir, 'err'), 'w')]
    try {
      const { prefix = this.as, ...rest } = options
      const done = await this.enter([...prefix, this.program, ...args], { ...rest, stdio: ['pipe', out, err] })
      return { ...done, stdout: readFileSync(join(dir, 'out'), 'utf8'), stderr: readFileSync(join(dir, 'err'), 'utf8') }
    } finally {
      closeSync(out)
      closeSync(err)
      rmSync(dir, { recursive: true })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((done) => this.#keeper.once('exit', done))
    this.#keeper.kill('SIGKILL')
    await ended
    rmSync(this.dir, { recursive: true, force: true })
  }
}
