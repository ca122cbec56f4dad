/** A client of the container runtime interface, as kubelet is one: pods and containers of one containerd, under a runtime handler. */
import { randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { image } from './containerd.ts'
import { GrpcClient, type Message } from './grpc-client.ts'
import { until } from './host.ts'

export class Cri implements Disposable {
  readonly #client: GrpcClient

  constructor(socket: string) {
    this.#client = new GrpcClient(socket, ['cri.proto'])
  }

  call(name: string, request: Message): Promise<Message> {
    return this.#client.call('runtime.v1.RuntimeService', name, request)
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]()
  }
}

export type { Message }

/** A change of a message before it is sent. */
type Change = (config: Message) => void

export interface Executed {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export class Pod {
  readonly cri: Cri
  readonly id: string
  readonly handler: string
  readonly config: Message
  private constructor(cri: Cri, handler: string, config: Message, id: string) {
    this.cri = cri
    this.handler = handler
    this.config = config
    this.id = id
  }

  /** Runs a sandbox, with what kubelet says of a pod. `dir`: where its logs go. */
  static async run(cri: Cri, handler: string, dir: string, change: Change = () => {}): Promise<Pod> {
    const uid = randomUUID()
    const name = `pod-${uid.slice(0, 8)}`
    const logs = join(dir, `default_${name}_${uid}`)
    mkdirSync(logs, { recursive: true })
    const config: Message = {
      metadata: { name, uid, namespace: 'default', attempt: 0 },
      hostname: name,
      logDirectory: logs,
      labels: {
        'io.kubernetes.pod.name': name,
        'io.kubernetes.pod.namespace': 'default',
        'io.kubernetes.pod.uid': uid,
      },
      annotations: { 'kubernetes.io/config.seen': new Date().toISOString(), 'kubernetes.io/config.source': 'api' },
      linux: {
        cgroupParent: `/berth-kubepods/pod${uid}`,
        securityContext: { namespaceOptions: { pid: 'CONTAINER' }, seccomp: { profileType: 'RuntimeDefault' } },
      },
    }
    change(config)
    const { podSandboxId } = await cri.call('RunPodSandbox', { config, runtimeHandler: handler })
    return new Pod(cri, handler, config, podSandboxId)
  }

  async status(): Promise<Message> {
    const { status, info } = await this.cri.call('PodSandboxStatus', { podSandboxId: this.id, verbose: true })
    return { ...status, info: JSON.parse(info.info) }
  }

  /** Makes a container of a shell script, without starting it. */
  async create(script: string, change: Change = () => {}): Promise<Container> {
    const name = `c-${randomUUID().slice(0, 8)}`
    const config: Message = {
      metadata: { name, attempt: 0 },
      image: { image },
      command: ['/bin/sh', '-c', script],
      logPath: `${name}/0.log`,
      annotations: { 'io.kubernetes.container.restartCount': '0' },
      linux: {
        resources: { cpuShares: 102, oomScoreAdj: 1000 },
        securityContext: {
          namespaceOptions: this.config.linux.securityContext.namespaceOptions,
          seccomp: { profileType: 'RuntimeDefault' },
        },
      },
    }
    mkdirSync(join(this.config.logDirectory, name))
    change(config)
    const request = { podSandboxId: this.id, config, sandboxConfig: this.config }
    const { containerId } = await this.cri.call('CreateContainer', request)
    return new Container(this, containerId, join(this.config.logDirectory, config.logPath))
  }

  async start(script: string, change?: Change): Promise<Container> {
    const container = await this.create(script, change)
    await container.call('StartContainer')
    return container
  }

  async remove(): Promise<void> {
    await this.cri.call('StopPodSandbox', { podSandboxId: this.id })
    await this.cri.call('RemovePodSandbox', { podSandboxId: this.id })
  }
}

export class Container {
  readonly pod: Pod
  readonly id: string
  readonly #log: string
  constructor(pod: Pod, id: string, log: string) {
    this.pod = pod
    this.id = id
    this.#log = log
  }

  call(method: string, more: Message = {}): Promise<Message> {
    return this.pod.cri.call(method, { containerId: this.id, ...more })
  }

  async status(): Promise<Message> {
    const { status, info } = await this.call('ContainerStatus', { verbose: true })
    return { ...status, info: JSON.parse(info.info) }
  }

  /** Of init, on the host. */
  async pid(): Promise<number> {
    return (await this.status()).info.pid
  }

  /** The status once it has ended. */
  async ended(): Promise<Message> {
    let status: Message
    await until(`the end of ${this.id}`, async () => {
      status = await this.status()
      return status.state === 'CONTAINER_EXITED'
    })
    return status
  }

  async exec(script: string, timeout = 0): Promise<Executed> {
    const done = await this.call('ExecSync', { cmd: ['/bin/sh', '-c', script], timeout })
    return { code: done.exitCode, stdout: String(done.stdout), stderr: String(done.stderr) }
  }

  /** Lines of the log: TIME STREAM TAG TEXT. */
  log(): { readonly stream: string; readonly tag: string; readonly text: string; readonly time: number }[] {
    return readFileSync(this.#log, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const [, time = '', stream = '', tag = '', text = ''] = /^(\S+) (\S+) (\S+) (.*)$/s.exec(line) ?? []
        return { stream, tag, text, time: Date.parse(time) }
      })
  }

  async remove(): Promise<void> {
    await this.call('RemoveContainer')
  }
}

/** Takes away the cgroups above pods, which kubelet would have made. */
export function removePodGroups(): void {
  for (const hierarchy of readdirSync('/sys/fs/cgroup')) {
    const top = join('/sys/fs/cgroup', hierarchy, 'berth-kubepods')
    try {
      for (const entry of readdirSync(top, { withFileTypes: true }))
        if (entry.isDirectory()) rmdirSync(join(top, entry.name))
      rmdirSync(top)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ENOTDIR')
        throw error
    }
  }
}
