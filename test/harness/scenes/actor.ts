/** A task of a scene: its calls are noted as they end, and so are the calls of the shim's binary. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { containerd } from '../../../shim/proto/messages.gen.js'
import { RpcError } from '../../../shim/ttrpc/status.ts'
import type { Config } from '../bundle.ts'
import { Task } from '../life.ts'
import { processOf, rootfsOf, type Stage } from '../sequences.ts'
import type { Noted } from '../transcript.ts'

export const SLEEP = ['/bin/sleep', '1000']

/** How a call of the shim's binary failed, without what the reference logs beside it, with a newline or without. */
export const failure = (error: { readonly code?: unknown; readonly stderr?: unknown }): string =>
  `exit ${error.code}: ${String(error.stderr)
    .replaceAll(/time="[^\n]*\n?/g, '')
    .trim()}`

/** A Delete of a task that was done. */
const DELETED = /^Delete (?!\{"execId":"[^"]).* → \{/

type Request = Readonly<Record<string, unknown>>

export class Actor {
  readonly task: Task
  readonly #stage: Stage

  private constructor(stage: Stage, task: Task) {
    this.#stage = stage
    this.task = task
  }

  /** The start call. `suffix` makes the id of a further task of the scene. */
  static async start(stage: Stage, change: (config: Config) => void = () => {}, suffix = ''): Promise<Actor> {
    const { id, daemon, script } = stage
    const config = structuredClone(stage.config)
    config.process.args = SLEEP
    change(config)
    const group = config.annotations?.['io.containerd.runc.v2.group'] ?? `${id}${suffix}`
    const task = await Task.start(daemon, `${id}${suffix}`, config)
    const hash = createHash('sha256')
      .update(join(daemon.address, daemon.namespace, group))
      .digest('hex')
    const expected = `/run/containerd/s/${hash}`
    script.note({ line: `start${suffix} → ${task.path === expected ? "the group's address" : task.path}` })
    return new Actor(stage, task)
  }

  /** The same task over a connection of its own. */
  async again(): Promise<Actor> {
    return new Actor(this.#stage, await this.task.again())
  }

  get #script() {
    return this.#stage.script
  }
  call(method: string, request: Request = {}) {
    return this.#script.call(this.task, method, request)
  }
  /** Its result is noted when it is asked for. */
  begin(method: string, request: Request = {}) {
    return this.#script.begin(this.task, method, request)
  }
  note(line: string): void {
    this.#script.note({ line })
  }
  async noted(result: Promise<Noted>): Promise<void> {
    this.#script.note(await result)
  }
  /** A Wait of which it is noted, too, that it has no answer: nothing tells that none will come, so the time is one that suffices. */
  async waited(request: Request = {}, result: Promise<Noted> = this.begin('Wait', request)): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<Noted>()
    const timer = setTimeout(() => resolve({ line: `Wait ${this.#script.shown(request)} → no answer` }), 1000)
    this.#script.note(await Promise.race([result, promise]))
    clearTimeout(timer)
  }

  create(request: Request = {}) {
    return this.call('Create', { bundle: this.task.bundle, rootfs: rootfsOf(this.#stage.image), ...request })
  }
  async running(): Promise<this> {
    await this.create()
    await this.call('Start')
    return this
  }
  /** `how`: arguments, or what an OCI process has otherwise. */
  exec(execId: string, how: readonly string[] | Request = SLEEP, request: Request = {}) {
    const spec = processOf(this.#stage.config, 'length' in how ? { args: how } : { args: SLEEP, ...how })
    return this.call('Exec', { execId, spec, ...request })
  }
  /** Exec, Start, the end and Delete of one that ends by itself. */
  async ran(execId: string, how: readonly string[] | Request, request: Request = {}): Promise<void> {
    await this.exec(execId, how, request)
    await this.call('Start', { execId })
    await this.call('Wait', { execId })
    await this.call('Delete', { execId })
  }
  /** Any call of any service. */
  async raw(service: string, method: string, payload = new Uint8Array()): Promise<void> {
    const shown = `${service}/${method}`
    try {
      const answer = await this.task.client.call(service, method, payload)
      // not how long it is: the shim's pid is in it, and takes two bytes or three
      this.note(`${shown} → ${answer.length > 0 ? 'an answer' : 'nothing'}`)
    } catch (error) {
      if (!(error instanceof RpcError)) throw error
      this.note(`${shown} → ${error.code} ${error.message}`)
    }
  }

  /** SIGKILL to all, the end, Delete. */
  async kill(): Promise<void> {
    await this.call('Kill', { signal: 9, all: true })
    await this.call('Wait')
    await this.call('Delete')
  }
  /** Shutdown, the end of the connection, the delete call. */
  async leave(): Promise<void> {
    // The reference may leave before it has sent its last event.
    await this.#stage.events?.(this.#script.lines.filter((line) => DELETED.test(line)).length)
    await this.call('Shutdown')
    await this.delete()
  }
  async delete(): Promise<void> {
    this.task.client.close()
    const outcome = await this.#stage.daemon
      .delete(this.task.id)
      .then((answer) => this.#script.shown(containerd.task.DeleteResponse.decode(answer), 'delete call'), failure)
    this.note(`delete → ${this.#script.text(outcome)}`)
  }
  /** The end of most scenes. */
  async end(): Promise<void> {
    await this.kill()
    await this.leave()
  }
}
