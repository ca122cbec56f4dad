/** Containers that share a pid namespace, and one of them looks at the others. */
import assert from 'node:assert/strict'
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CAPABILITY_NAMES } from '../../src/spec/capabilities.ts'
import { bring } from './attack.ts'
import { Bundle, type Config } from './bundle.ts'
import { berth } from './run.ts'

export const stateOf = async (id: string) => JSON.parse((await berth(['state', id])).stdout)

/** Every capability, in every set. */
export const privileged = (config: Config): void => {
  const sets = ['bounding', 'effective', 'permitted', 'inheritable', 'ambient']
  config.process.capabilities = Object.fromEntries(sets.map((set) => [set, CAPABILITY_NAMES]))
  config.process.noNewPrivileges = false
}

/** A user namespace whose root is no user of the host's. */
export const ownUsers = (config: Config): void => {
  config.linux.namespaces.push({ type: 'user' })
  config.linux.uidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }]
  config.linux.gidMappings = [{ containerID: 0, hostID: 100_000, size: 65_536 }]
}

/** The pid of a process in the innermost of its pid namespaces. */
export const innerPid = (pid: number): string =>
  /^NSpid:.*\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? ''

export class Pod implements AsyncDisposable {
  readonly id: string
  readonly #bundle: Bundle
  #pid = 0
  private constructor(id: string, change: (config: Config) => void) {
    this.id = id
    this.#bundle = new Bundle(['/bin/sleep', '1000'], change)
    bring(this.#bundle, 'pry')
    // The root of a user namespace has to get there too.
    for (const path of [this.#bundle.dir, join(this.#bundle.dir, 'rootfs')]) chmodSync(path, 0o755)
  }

  /** Starts the container that will look at the others. */
  static async start(id: string, change: (config: Config) => void = () => {}): Promise<Pod> {
    const pod = new Pod(id, change)
    const done = await berth(['run', '--detach', '--bundle', pod.#bundle.dir, id])
    assert.equal(done.code, 0, done.stderr)
    pod.#pid = (await stateOf(id)).pid
    return pod
  }

  /** Makes a configuration one of this pod: in the same pid namespace, and the same user namespace where there is one. */
  readonly join = (config: Config): void => {
    const ours = this.#bundle.config.linux.namespaces.map(({ type }: { type: string }) => type)
    const others = config.linux.namespaces.filter(({ type }: { type: string }) => !['pid', 'user'].includes(type))
    const shared = ['pid', 'user'].filter((type) => ours.includes(type))
    config.linux.namespaces = [...others, ...shared.map((type) => ({ type, path: `/proc/${this.#pid}/ns/${type}` }))]
  }

  /** What the first container gets out of a process, by its pid on the host. `readable`: a file of that process's root. */
  async pry(pid: number, readable = ''): Promise<string[]> {
    const done = await berth(['exec', this.id, '/pry', innerPid(pid), readable])
    assert.equal(done.code, 0, done.stdout + done.stderr)
    return done.stdout.split('\n').filter(Boolean)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await berth(['delete', '--force', this.id])
    this.#bundle[Symbol.dispose]()
  }
}
