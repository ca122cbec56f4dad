/** A containerd with CRI for the tests of a suite, and a pod of each runtime to look at side by side. */
import assert from 'node:assert/strict'
import { after, before } from 'node:test'
import { Containerd, runtime, type Version } from './containerd.ts'
import { Cri, type Message, Pod, removePodGroups } from './cri.ts'
import { monitorPids, nothingLeft, snapshot, until } from './host.ts'

export class CriHost {
  readonly #pods = new Set<Pod>()
  #containerd: Containerd | undefined
  #cri: Cri | undefined
  #pair: readonly [runc: Pod, berth: Pod] | undefined
  #pristine = new Set<string>()

  /** Starts it before the tests of the suite that is being described, and takes all away behind them. */
  constructor(version: Version, handlers: readonly string[] = [`berth=${runtime}`]) {
    before(async () => {
      this.#pristine = snapshot()
      this.#containerd = await Containerd.start(version, { handlers })
      this.#cri = new Cri(this.containerd.socket)
    })
    after(async () => {
      await Promise.all([...this.#pods].map((pod) => pod.remove()))
      this.#cri?.[Symbol.dispose]()
      await this.#containerd?.[Symbol.asyncDispose]()
      removePodGroups()
      await nothingLeft(this.#pristine)
    })
  }

  get containerd(): Containerd {
    if (this.#containerd === undefined) throw new Error('not started')
    return this.#containerd
  }

  get cri(): Cri {
    if (this.#cri === undefined) throw new Error('not started')
    return this.#cri
  }

  /** A pod that goes with the suite at the latest. */
  async pod(handler: string, change?: (config: Message) => void): Promise<Pod> {
    const pod = await Pod.run(this.cri, handler, this.containerd.dir, change)
    this.#pods.add(pod)
    return pod
  }

  async remove(pod: Pod): Promise<void> {
    await pod.remove()
    this.#pods.delete(pod)
  }

  async pair(): Promise<readonly [runc: Pod, berth: Pod]> {
    this.#pair ??= await this.#both()
    return this.#pair
  }

  #both(change?: (config: Message) => void): Promise<readonly [runc: Pod, berth: Pod]> {
    return Promise.all([this.pod('runc', change), this.pod('berth', change)])
  }

  /** What is observed of a pod, which has to be the same with both runtimes. `change`: of two that are made for this. */
  async same<T>(observe: (pod: Pod) => Promise<T>, change?: (config: Message) => void): Promise<T> {
    const pods = change === undefined ? await this.pair() : await this.#both(change)
    const [theirs, ours] = await Promise.all(pods.map(observe))
    if (change !== undefined) await Promise.all(pods.map((pod) => this.remove(pod)))
    assert.deepEqual(ours, theirs)
    return ours as T
  }

  /** Of containerd; `meanwhile`: what happens while there is none. */
  async restart(meanwhile?: () => Promise<void>): Promise<void> {
    await this.containerd.restart(meanwhile)
    const ready = () => this.cri.call('Status', {}).catch(() => undefined)
    await until('CRI', async () => (await ready()) !== undefined)
  }

  /** The shims that this containerd has started, or that of one pod. */
  monitors(pod?: Pod): number[] {
    return monitorPids(this.containerd.socket, pod?.id)
  }
}
