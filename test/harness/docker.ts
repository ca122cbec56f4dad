/** Debian's newest Docker engine with data, state and socket of its own in a temporary directory. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { binary, root, until } from './host.ts'
import { type Finished, type RunOptions, run } from './run.ts'

const packages = process.env.BERTH_DOCKER ?? '/var/tmp/berth-docker'
const matrix = join(root, 'test/containerd/matrix')

export class Docker implements AsyncDisposable {
  readonly dir: string
  readonly #daemon: ChildProcess

  private constructor(dir: string, daemon: ChildProcess) {
    this.dir = dir
    this.#daemon = daemon
  }

  /** Started, with `berth` as a runtime beside runc. Its containerd is the host's, its init podman's (Docker's own is no static program). */
  static async start(): Promise<Docker> {
    for (const name of ['docker.io', 'docker-cli'])
      execFileSync(matrix, ['newest', name, packages], { stdio: 'ignore' })
    const dir = mkdtempSync(join(tmpdir(), 'berth-docker-'))
    const log = openSync(join(dir, 'log'), 'w')
    const options = [
      ...['--data-root', join(dir, 'data'), '--exec-root', join(dir, 'exec'), '--pidfile', join(dir, 'pid')],
      ...['--host', `unix://${dir}/sock`, '--bridge=none', '--iptables=false', '--ip6tables=false'],
      ...[
        '--add-runtime',
        `berth=${binary}`,
        '--init-path',
        '/usr/libexec/podman/catatonit',
        '--cgroup-parent',
        `/berth-docker-${process.pid}`,
      ],
    ]
    const daemon = spawn(join(packages, 'pkg/usr/sbin/dockerd'), options, {
      stdio: ['ignore', log, log],
      env: { ...process.env, PATH: `${packages}/pkg/usr/bin:${packages}/pkg/usr/sbin:${process.env.PATH}` },
    })
    const docker = new Docker(dir, daemon)
    try {
      await until(
        'dockerd answers',
        async () => {
          if (daemon.exitCode !== null) throw new Error(`dockerd: ${docker.log().slice(-2000)}`)
          return (await docker.cli(['version'])).code === 0
        },
        60_000,
      )
    } catch (error) {
      await docker[Symbol.asyncDispose]()
      throw error
    }
    return docker
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
    if (this.#daemon.exitCode === null) {
      const ended = new Promise((done) => this.#daemon.once('exit', done))
      this.#daemon.kill('SIGTERM')
      await ended
    }
    // dockerd leaves the mount of its own data, and the parent of its containers' cgroups
    const cgroups = `find /sys/fs/cgroup -maxdepth 2 -depth -name berth-docker-${process.pid} -exec rmdir {} +`
    execFileSync('sh', [
      '-c',
      `grep -o ' ${this.dir}[^ ]*' /proc/self/mounts | sort -r | xargs -r umount -l; ${cgroups}`,
    ])
    rmSync(this.dir, { recursive: true, force: true })
  }
}
