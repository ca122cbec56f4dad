/** Debian's newest Docker engine with data, state and socket of its own in a temporary directory. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { binary, root, until } from './host.ts'
import { type Finished, type RunOptions, run } from './run.ts'

const packages = process.env.BERTH_DOCKER ?? '/var/tmp/berth-docker'
const matrix = join(root, 'test/containerd/matrix')

/** Processes end with the daemon's own containerd, and outlive the daemon with one that is given: `--live-restore`. */
const options = (dir: string, containerd: string | undefined): string[] => [
  ...['--data-root', join(dir, 'data'), '--exec-root', join(dir, 'exec'), '--pidfile', join(dir, 'pid')],
  ...['--host', `unix://${dir}/sock`, '--bridge=none', '--iptables=false', '--ip6tables=false'],
  // Docker's own init is no static program: podman's
  ...['--add-runtime', `berth=${binary}`, '--init-path', '/usr/libexec/podman/catatonit'],
  ...['--cgroup-parent', `/berth-docker-${process.pid}`],
  ...(containerd === undefined ? [] : ['--containerd', containerd, '--live-restore']),
]

export class Docker implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-docker-'))
  readonly #options: readonly string[]
  #daemon: ChildProcess | undefined

  private constructor(containerd: string | undefined) {
    this.#options = options(this.dir, containerd)
  }

  /** Started, with `berth` as a runtime beside runc. Its containerd is the host's, unless the socket of another is given. */
  static async start(containerd?: string): Promise<Docker> {
    for (const name of ['docker.io', 'docker-cli'])
      execFileSync(matrix, ['newest', name, packages], { stdio: 'ignore' })
    const docker = new Docker(containerd)
    try {
      await docker.#launch()
    } catch (error) {
      await docker[Symbol.asyncDispose]()
      throw error
    }
    return docker
  }

  async #launch(): Promise<void> {
    const log = openSync(join(this.dir, 'log'), 'a')
    const daemon = spawn(join(packages, 'pkg/usr/sbin/dockerd'), this.#options, {
      stdio: ['ignore', log, log],
      env: { ...process.env, PATH: `${packages}/pkg/usr/bin:${packages}/pkg/usr/sbin:${process.env.PATH}` },
    })
    closeSync(log)
    this.#daemon = daemon
    const answers = async () => {
      if (daemon.exitCode !== null) throw new Error(`dockerd: ${this.log().slice(-2000)}`)
      return (await this.cli(['version'])).code === 0
    }
    await until('dockerd answers', answers, 60_000)
  }

  /** Ends the daemon; what it runs stays where its containerd does. */
  async #stop(): Promise<void> {
    const daemon = this.#daemon
    if (daemon === undefined || daemon.exitCode !== null) return
    const ended = new Promise((done) => daemon.once('exit', done))
    daemon.kill('SIGTERM')
    await ended
  }

  async restart(): Promise<void> {
    await this.#stop()
    await this.#launch()
  }

  log(): string {
    return readFileSync(join(this.dir, 'log'), 'utf8')
  }

  /** The words before the command's own, for a caller who needs a terminal around it. */
  get client(): readonly string[] {
    return [join(packages, 'pkg/usr/bin/docker'), '--host', `unix://${this.dir}/sock`]
  }

  cli(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const [program = '', ...first] = this.client
    return run(program, [...first, ...args], {
      ...options,
      env: { ...process.env, DOCKER_CONFIG: join(this.dir, 'config') },
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop()
    // dockerd leaves the mount of its own data, and the parent of its containers' cgroups
    const cgroups = `find /sys/fs/cgroup -maxdepth 2 -depth -name berth-docker-${process.pid} -exec rmdir {} +`
    execFileSync('sh', [
      '-c',
      `grep -o ' ${this.dir}[^ ]*' /proc/self/mounts | sort -r | xargs -r umount -l; ${cgroups}`,
    ])
    rmSync(this.dir, { recursive: true, force: true })
  }
}
