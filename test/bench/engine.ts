/** Tasks through containerd's own services, by a client that stays connected, as Kubernetes and Docker are: runc's shim and berth's. */
import type { Config } from '../harness/bundle.ts'
import { Containerd, runtime, type Version } from '../harness/containerd.ts'
import { GrpcClient, type Message } from '../harness/grpc-client.ts'
import { atATime, Image } from '../harness/life.ts'
import { any, processOf, rootfsOf } from '../harness/sequences.ts'
import { shuffled } from './order.ts'
import { Samples } from './samples.ts'
import { endControllers } from './shims.ts'

export const RUNTIMES = { berth: runtime, runc: 'io.containerd.runc.v2' } as const
export type Name = keyof typeof RUNTIMES
export const NAMES = Object.keys(RUNTIMES) as Name[]

export const ENGINE = { life: 'life', first: 'first life', exec: 'exec of true' } as const
/** How many at a time, where it is more than one. */
export const WIDTHS = [10, 50] as const
/** So many that are created and started at the same moment. */
export const TOGETHER = 50
export const rateOf = (what: 'lives' | 'execs', width: number): string => `${what}, ${width} at a time`

export interface EngineTimes {
  /** Milliseconds by runtime and ENGINE. */
  readonly times: Samples
  /** A second, by runtime and `rateOf`. */
  readonly rates: Samples
  /** Milliseconds until TOGETHER are started, by runtime and STARTED. */
  readonly together: Samples
}
export const STARTED = `${TOGETHER} at once, all started`

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

  #containers(method: string, request: Message): Promise<Message> {
    return this.#client.call('containerd.services.containers.v1.Containers', method, request)
  }
  tasks(method: string, request: Message): Promise<Message> {
    return this.#client.call('containerd.services.tasks.v1.Tasks', method, request)
  }

  /** A container of containerd's, which is an entry in its database. */
  async container(name: Name, args: readonly string[]): Promise<Container> {
    const id = `bench-${process.pid}-${this.#count++}`
    const config: Config = { ...this.#config, process: { ...this.#config.process, args } }
    await this.#containers('Create', {
      container: { id, runtime: { name: RUNTIMES[name] }, spec: any('Spec', config) },
    })
    return { id, config }
  }

  /** Its task; `ended` once that has. */
  async started({ id }: Container): Promise<{ readonly ended: Promise<unknown> }> {
    await this.tasks('Create', { containerId: id, rootfs: rootfsOf(this.#image) })
    const ended = this.tasks('Wait', { containerId: id })
    await this.tasks('Start', { containerId: id })
    return { ended }
  }

  async remove({ id }: Container): Promise<void> {
    await this.tasks('Delete', { containerId: id })
    await this.#containers('Delete', { id })
  }

  /** All of it, of a container that ends at once. */
  async life(name: Name): Promise<void> {
    const container = await this.container(name, ['/bin/true'])
    const { ended } = await this.started(container)
    await ended
    await this.remove(container)
  }

  /** All of one in a container that runs. */
  async exec({ id, config }: Container): Promise<void> {
    const process = { containerId: id, execId: `e${this.#count++}` }
    await this.tasks('Exec', { ...process, spec: processOf(config, { args: ['/bin/true'] }) })
    const ended = this.tasks('Wait', process)
    await this.tasks('Start', process)
    await ended
    await this.tasks('DeleteProcess', process)
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]()
  }
}

interface Container {
  readonly id: string
  readonly config: Config
}

const took = async (work: () => Promise<unknown>): Promise<number> => {
  const begin = performance.now()
  await work()
  return performance.now() - begin
}

const SLEEP = ['/bin/sleep', '1000']
/** A row of lives, or of execs, for each that goes on at a time. */
const EACH = 4

/** `lives` one at a time, as many execs, and `first` lives of a host where nothing runs yet; `rounds` of those that go on at the same time. */
export const measureEngine = async (
  version: Version,
  { lives, first, rounds }: { lives: number; first: number; rounds: number },
  tell: (text: string) => void,
): Promise<EngineTimes> => {
  const [times, rates, together] = [new Samples(NAMES), new Samples(NAMES), new Samples(NAMES)]
  await using containerd = await Containerd.start(version)
  using image = new Image()
  using engine = new Engine(containerd.socket, image)
  for (let i = -2; i < lives; i++) {
    tell(`lives through containerd: ${i + 1} of ${lives}`)
    for (const name of shuffled(NAMES)) {
      const ms = await took(() => engine.life(name))
      if (i >= 0) times.add(name, ENGINE.life, ms)
    }
  }
  for (let i = 0; i < first; i++) {
    tell(`first lives through containerd: ${i + 1} of ${first}`)
    for (const name of shuffled(NAMES)) {
      await endControllers()
      times.add(name, ENGINE.first, await took(() => engine.life(name)))
    }
  }
  for (const width of WIDTHS)
    for (let i = 0; i < rounds; i++) {
      tell(`lives through containerd, ${width} at a time: ${i + 1} of ${rounds}`)
      for (const name of shuffled(NAMES)) {
        const ms = await took(() => atATime(width * EACH, width, () => engine.life(name)))
        rates.add(name, rateOf('lives', width), (1000 * width * EACH) / ms)
      }
    }
  for (let i = 0; i < rounds; i++) {
    tell(`${STARTED}: ${i + 1} of ${rounds}`)
    for (const name of shuffled(NAMES)) {
      const all = await Promise.all(Array.from({ length: TOGETHER }, () => engine.container(name, SLEEP)))
      const waits: Promise<unknown>[] = []
      const start = async (container: Container) => waits.push((await engine.started(container)).ended)
      together.add(name, STARTED, await took(() => Promise.all(all.map(start))))
      await Promise.all(all.map(({ id }) => engine.tasks('Kill', { containerId: id, signal: 9 })))
      await Promise.all(waits)
      await Promise.all(all.map((container) => engine.remove(container)))
    }
  }
  const running = await Promise.all(
    NAMES.map(async (name) => {
      const container = await engine.container(name, SLEEP)
      return { name, container, ...(await engine.started(container)) }
    }),
  )
  for (let i = -2; i < lives; i++) {
    tell(`execs through containerd: ${i + 1} of ${lives}`)
    for (const { name, container } of shuffled(running)) {
      const ms = await took(() => engine.exec(container))
      if (i >= 0) times.add(name, ENGINE.exec, ms)
    }
  }
  for (const width of WIDTHS)
    for (let i = 0; i < rounds; i++) {
      tell(`execs through containerd, ${width} at a time: ${i + 1} of ${rounds}`)
      for (const { name, container } of shuffled(running)) {
        const ms = await took(() => atATime(width * EACH, width, () => engine.exec(container)))
        rates.add(name, rateOf('execs', width), (1000 * width * EACH) / ms)
      }
    }
  for (const { container, ended } of running) {
    await engine.tasks('Kill', { containerId: container.id, signal: 9 })
    await ended
    await engine.remove(container)
  }
  return { times, rates, together }
}
