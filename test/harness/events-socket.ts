/** An events socket of a containerd that is restarted, is slow, refuses, or does not answer. */
import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { containerd } from '../../shim/proto/messages.gen.js'
import { encodeFrame, FRAME, FrameReader } from '../../shim/ttrpc/frame.ts'
import { decodeRequest, encodeResponse } from '../../shim/ttrpc/message.ts'
import { Code } from '../../shim/ttrpc/status.ts'
import type { Daemon } from './shim.ts'

/** What becomes of a request. `close`: the end of the connection instead of an answer. */
export type Reply = 'answer' | 'error' | 'silence' | 'close'

export interface Forwarded {
  readonly topic: string
  /** Of a task or an exec. */
  readonly id: string
  readonly payload: Buffer
  readonly time: number
}

const EMPTY = new Uint8Array()
const refusal = encodeResponse({ status: { code: Code.internal, message: 'refused' }, payload: EMPTY })

export class EventsSocket implements Disposable {
  /** All that came, in order, answered or not. */
  readonly seen: Forwarded[] = []
  /** Those that were answered. */
  readonly taken: Forwarded[] = []
  /** The most that waited for an answer at the same time. */
  most = 0
  connections = 0
  reply: (event: Forwarded) => Reply | Promise<Reply> = () => 'answer'
  readonly #path: string
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  constructor(daemon: Daemon) {
    this.#path = `${daemon.address}.ttrpc`
  }

  open(): void {
    this.#server = createServer((socket) => this.#serve(socket)).listen(this.#path)
  }

  /** As containerd's end: connections end, and nobody listens. */
  close(): void {
    this.#server?.close()
    for (const socket of this.#sockets) socket.destroy()
    rmSync(this.#path, { force: true })
  }

  #serve(socket: Socket): void {
    this.connections++
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {})
    const frames = new FrameReader()
    let waiting = 0
    socket.on('data', async (chunk) => {
      for (const frame of frames.push(chunk as Uint8Array)) {
        if (frame.type !== FRAME.request || 'oversize' in frame) continue
        this.most = Math.max(this.most, ++waiting)
        const event = read(decodeRequest(frame.payload).payload)
        this.seen.push(event)
        const reply = await this.reply(event)
        if (reply === 'close') socket.destroy()
        if (reply === 'close' || reply === 'silence') continue
        waiting--
        this.taken.push(event)
        const payload = reply === 'error' ? refusal : EMPTY
        socket.write(encodeFrame({ stream: frame.stream, type: FRAME.response, flags: 0, payload }))
      }
    })
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

const read = (payload: Uint8Array): Forwarded => {
  const { topic, event } = containerd.events.ForwardRequest.decode(payload).envelope ?? {}
  const value = event?.value ?? EMPTY
  const exec = topic?.startsWith('/tasks/exec')
  const { containerId, execId } = containerd.events.TaskExecAdded.decode(exec ? value : EMPTY)
  // Every event of a task begins with its id.
  const id = exec ? `${containerId}/${execId}` : containerd.events.TaskOOM.decode(value).containerId
  return { topic: (topic ?? '').replace('/tasks/', ''), id, payload: Buffer.from(payload), time: performance.now() }
}
