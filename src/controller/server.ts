/** The sessions of one controller, from its first connection to its leave. */

import type { Server } from 'node:net'
import type { Memory } from './idle.ts'
import { Idle, MEMORY_BOUND } from './idle.ts'
import { FirstLink, type Link } from './link.ts'
import { type Host, type Services, Session } from './session.ts'
import type { ControllerStatus } from './types.ts'

/** Inherited ones. */
interface Descriptors {
  readonly serveFd: number | undefined
  readonly listenFd: number | undefined
}

export interface ServerOptions {
  readonly services: Services
  readonly idleMs: number
  /** As the host sees it. */
  readonly pid: number
  /** Called once, after the last connection has closed. */
  readonly onLeft: () => void
}

/** How long agents have to take what was written to them before a leaving controller cuts them off. */
const FLUSH_MS = 1000

export class ControllerServer {
  readonly #options: ServerOptions
  readonly #sessions = new Set<Session>()
  readonly #idle: Idle
  readonly #host: Host
  /** Of sessions that have ended. */
  #requests = 0
  #memory: Memory | undefined
  #listener: Server | undefined
  #leaving = false

  constructor(options: ServerOptions) {
    this.#options = options
    this.#idle = new Idle({
      idleMs: options.idleMs,
      busy: () => this.#sum('busy'),
      held: () => this.#sum('held'),
      leave: (why) => this.leave(why),
    })
    const stopped = Promise.withResolvers<void>()
    this.#host = {
      status: () => this.#status(),
      stop: () => {
        stopped.resolve()
        // After the answers.
        setImmediate(() => this.leave('asked to'))
      },
      stopped: stopped.promise,
      changed: () => this.#changed(),
    }
  }

  /** Serves an inherited connection, and accepts others on an inherited listening socket, or leaves with the one. */
  async begin({ serveFd, listenFd }: Descriptors): Promise<void> {
    const first = serveFd === undefined ? undefined : new FirstLink(serveFd)
    if (first !== undefined) {
      this.#accept(first)
      if (listenFd === undefined) first.on('close', () => this.leave('its agent has gone'))
      first.readEarly()
      // The first step, which looks at the host, is sent meanwhile; then what is made of its outcome.
      await immediately()
      first.readEarly()
      await immediately()
    }
    const { createServer, Socket } = await import('node:net')
    if (serveFd !== undefined) first?.become(new Socket({ fd: serveFd, readable: true, writable: true }))
    // Its outcome is looked for meanwhile; to listen, Node loads all that its clusters need.
    await immediately()
    if (listenFd !== undefined && !this.#leaving) {
      this.#listener = createServer((socket) => this.#accept(socket))
      this.#listener.on('error', (error) => this.leave(`the listening socket failed: ${error.message}`))
      this.#listener.listen({ fd: listenFd })
    }
    this.#memory = await import('./memory.ts')
    this.#idle.watch(this.#memory)
  }

  /** Stops listening, closes every connection (agents go elsewhere with what is unanswered) and ends. */
  leave(why: string): void {
    if (this.#leaving) return
    this.#leaving = true
    this.#options.services.log(`leaving: ${why}`)
    this.#idle.stop()
    this.#listener?.close()
    for (const session of this.#sessions) session.close()
    if (this.#sessions.size === 0) this.#options.onLeft()
    else setTimeout(() => this.#options.onLeft(), FLUSH_MS).unref()
  }

  #accept(link: Link): void {
    const session = new Session(link, this.#options.services, this.#host)
    this.#sessions.add(session)
    link.on('close', () => {
      this.#sessions.delete(session)
      this.#requests += session.requests
      if (this.#leaving && this.#sessions.size === 0) this.#options.onLeft()
    })
    if (this.#leaving) session.close()
    else this.#changed()
  }

  #changed(): void {
    if (!this.#leaving) this.#idle.changed()
  }

  #sum(what: 'busy' | 'held' | 'requests'): number {
    let count = 0
    for (const session of this.#sessions) count += session[what]
    return count
  }

  #status(): ControllerStatus {
    const { services, idleMs, pid } = this.#options
    return {
      pid,
      build: services.build,
      uptimeMs: Math.round(process.uptime() * 1000),
      sessions: this.#sessions.size,
      holds: this.#sum('held'),
      requests: this.#requests + this.#sum('requests'),
      memory: this.#memory?.memoryInUse() ?? 0,
      memoryBound: MEMORY_BOUND,
      idleMs,
    }
  }
}

/** Once what is there to be done is done. */
const immediately = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
