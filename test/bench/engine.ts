/** Tasks through containerd's own services, by a client that stays connected, as Kubernetes and Docker are: runc's shim and berth's. */
import type { Config } from '../harness/bundle.ts'
import { Containerd, runtime, type Version } from '../harness/containerd.ts'
import { GrpcClient, type Message } from '../harness/grpc-client.ts'
import { Image } from '../harness/life.ts'
import { any, processOf, rootfsOf } from '../harness/sequences.ts'
import { Samples } from './samples.ts'
import { endControllers } from './shims.ts'

const RUNTIMES = { berth: runtime, runc: 'io.containerd.runc.v2' } as const
type Name = keyof typeof RUNTIMES
const NAMES = Object.keys(RUNTIMES) as Name[]

export const ENGINE = { life: 'life', first: 'first life', exec: 'exec of true' } as const

class Engine implements Disposable {
  readonly #client: GrpcClient
  readonly #image: Image
  /** Written once: it takes berth to do so, and that a controller. */
  readonly #config: Config
  #count = 0
  constructor(socket: string, image: Image) {
    this.#client = new GrpcClient(socket, ['containerd-containers.proto', 'containerd-tasks.proto'], {
      'containerd-namespace': 'bench',
    })
    this.#image = image
    // a version that older peers know, too
    this.#config = { ...image.config([]), ociVersion: '1.0.2', root: { path: 'rootfs' } }
  }

  containers(method: string, request: Message): Promise<Message> {
    return this.#client.call('containerd.services.containers.v1.Containers', method, request)
  }
  tasks(method: string, request: Message): Promise<Message> {
    return this.#client.call('containerd.services.tasks.v1.Tasks', method, request)
  }

  /** A container that was started, and how it ends. */
  async started(name: Name, args: readonly string[]) {
    const id = `bench-${process.pid}-${this.#count++}`
    const config: Config = { ...this.#config, process: { ...this.#config.process, args } }
    const container = { id, runtime: { name: RUNTIMES[name] }, spec: any('Spec', config) }
    const begin = performance.now()
    await this.containers('Create', { container })
    await this.tasks('Create', { containerId: id, rootfs: rootfsOf(this.#image) })
    const ended = this.tasks('Wait', { containerId: id })
    await this.tasks('Start', { containerId: id })
    const remove = async () => {
      await ended
      await this.tasks('Delete', { containerId: id })
      await this.containers('Delete', { id })
    }
    return { id, config, begin, remove }
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]()
  }
}

/** Milliseconds by runtime and ENGINE: `lives`, as many execs, and `first` lives of a host where nothing runs yet. */
export const measureEngine = async (
  version: Version,
  { lives, first }: { lives: number; first: number },
  tell: (text: string) => void,
): Promise<Samples> => {
  const times = new Samples()
  await using containerd = await Containerd.start(version)
  using image = new Image()
  using engine = new Engine(containerd.socket, image)
  const life = async (name: Name) => {
    const { begin, remove } = await engine.started(name, ['/bin/true'])
    await remove()
    return performance.now() - begin
  }
  for (let i = -2; i < lives; i++) {
    tell(`lives through containerd: ${i + 1} of ${lives}`)
    for (const name of NAMES) {
      const took = await life(name)
      if (i >= 0) times.add(name, ENGINE.life, took)
    }
  }
  for (let i = 0; i < first; i++) {
    tell(`first lives through containerd: ${i + 1} of ${first}`)
    for (const name of NAMES) {
      await endControllers()
      times.add(name, ENGINE.first, await life(name))
    }
  }
  const containers = await Promise.all(
    NAMES.map(async (name) => ({ name, ...(await engine.started(name, ['/bin/sleep', '1000'])) })),
  )
  for (let i = -2; i < lives; i++) {
    tell(`execs through containerd: ${i + 1} of ${lives}`)
    for (const { name, id, config } of containers) {
      const process = { containerId: id, execId: `e${i + 2}` }
      const begin = performance.now()
      await engine.tasks('Exec', { ...process, spec: processOf(config, { args: ['/bin/true'] }) })
      const ended = engine.tasks('Wait', process)
      await engine.tasks('Start', process)
      await ended
      await engine.tasks('DeleteProcess', process)
      if (i >= 0) times.add(name, ENGINE.exec, performance.now() - begin)
    }
  }
  for (const { id, remove } of containers) {
    await engine.tasks('Kill', { containerId: id, signal: 9 })
    await remove()
  }
  return times
}
