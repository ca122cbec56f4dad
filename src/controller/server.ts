/** The sessions of one controller, from its first connection to its leave. */

import { createServer, type Server, Socket } from 'node:net'
import { Idle } from './idle.ts'
import { type Services, Session } from './session.ts'

export interface ServerOptions {
  readonly services: Services
  readonly idleMs: number
  /** Called once, after the last connection has closed. */
  readonly onLeft: () => void
}

/** How long agents have to take what was written to them before a leaving controller cuts them off. */
const FLUSH_MS = 1000

export class ControllerServer {
  readonly #options: ServerOptions
  readonly #sessions = new Map<Session, Socket>()
  readonly #idle: Idle
  #listener: Server | undefined
  #leaving = false

  constructor(options: ServerOptions) {
    this.#options = options
    this.#idle = new Idle({
      idleMs: options.idleMs,
      busy: () => this.#busy(),
      leave: (why) => this.leave(why),
    })
  }

  /** Accepts connections on an inherited listening socket. */
  listen(fd: number): void {
    this.#listener = createServer((socket) => this.#accept(socket))
    this.#listener.on('error', (error) => this.leave(`the listening socket failed: ${error.message}`))
    this.#listener.listen({ fd })
  }

  /** Serves one inherited connection, then leaves: a controller of one agent's own. */
  serve(fd: number): void {
    this.#accept(new Socket({ fd, readable: true, writable: true })).on('close', () => this.leave('its agent has gone'))
  }

  /** Stops listening, closes every connection (agents go elsewhere with what is unanswered) and ends. */
  leave(why: string): void {
    if (this.#leaving) return
    this.#leaving = true
    this.#options.services.log(`leaving: ${why}`)
    this.#idle.stop()
    this.#listener?.close()
    for (const session of this.#sessions.keys()) session.close()
    if (this.#sessions.size === 0) this.#options.onLeft()
    else setTimeout(() => this.#options.onLeft(), FLUSH_MS).unref()
  }

  #accept(socket: Socket): Socket {
    const session = new Session(socket, this.#options.services, () => this.#changed())
    this.#sessions.set(session, socket)
    socket.on('close', () => {
      this.#sessions.delete(session)
      if (this.#leaving && this.#sessions.size === 0) this.#options.onLeft()
    })
    if (this.#leaving) session.close()
    else this.#changed()
    return socket
  }

  #changed(): void {
    if (!this.#leaving) this.#idle.changed()
  }

  #busy(): number {
    let count = 0
    for (const session of this.#sessions.keys()) count += session.busy
    return count
  }
}
