/** One task's life straight over the task API, as `ctr run --rm` goes through it. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { containerd } from '../../shim/proto/messages.gen.js'
import { Client } from '../../shim/ttrpc/client.ts'
import { encodeFrame, FRAME, FrameReader } from '../../shim/ttrpc/frame.ts'
import { decodeRequest } from '../../shim/ttrpc/message.ts'
import { Bundle, makeRootfs } from './bundle.ts'
import type { Daemon } from './shim.ts'

const v2 = containerd.task
export type Mount = containerd.task.Mount.$Properties

/** A root file system that many tasks share, and the config.json of a program in it. */
export class Image implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-image-'))
  constructor() {
    makeRootfs(this.dir)
  }
  /** As containerd sends a snapshot that is only read. */
  get rootfs(): readonly Mount[] {
    return [{ type: 'bind', source: this.dir, options: ['rbind', 'ro'] }]
  }
  config(args: readonly string[]): Bundle['config'] {
    using bundle = new Bundle(args)
    return bundle.config
  }
  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** Takes events as containerd does: answers each, remembers the topics in order, also those of a container, and the Forward requests. */
export function eventsSocket(daemon: Daemon): {
  topics: string[]
  of: (id: string) => string[]
  requests: Uint8Array[]
  close: () => void
} {
  const topics: string[] = []
  const ids: string[] = []
  const requests: Uint8Array[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    const frames = new FrameReader()
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      for (const frame of frames.push(chunk as Uint8Array)) {
        if (frame.type !== FRAME.request || 'oversize' in frame) continue
        const request = decodeRequest(frame.payload).payload
        const { envelope } = containerd.events.ForwardRequest.decode(request)
        requests.push(request)
        topics.push(envelope?.topic ?? '?')
        // Every event of a task begins with its id.
        ids.push(containerd.events.TaskOOM.decode(envelope?.event?.value ?? new Uint8Array()).containerId)
        socket.write(encodeFrame({ stream: frame.stream, type: FRAME.response, flags: 0, payload: new Uint8Array() }))
      }
    })
  })
  server.listen(`${daemon.address}.ttrpc`)
  const close = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  return { topics, of: (id) => topics.filter((_, index) => ids[index] === id), requests, close }
}

const clients = new Set<Client>()
/** Ends what a test that failed has left connected, which would keep its process from ending. */
export function closeClients(): void {
  for (const client of clients) client.close()
  clients.clear()
}

export class Task {
  readonly id: string
  readonly bundle: string
  /** The path of the shim's socket. */
  readonly path: string
  readonly client: Client
  readonly #version: number
  private constructor(id: string, bundle: string, path: string, version: number, client: Client) {
    this.id = id
    this.bundle = bundle
    this.path = path
    this.#version = version
    this.client = client
  }

  static async #connect(id: string, bundle: string, path: string, version: number): Promise<Task> {
    const client = await Client.connect(path)
    clients.add(client)
    return new Task(id, bundle, path, version, client)
  }

  /** The start call and the connection. */
  static async start(daemon: Daemon, id: string, config: Bundle['config'], input?: Uint8Array): Promise<Task> {
    const bundle = daemon.bundle(id)
    mkdirSync(bundle, { recursive: true })
    writeFileSync(
      join(bundle, 'config.json'),
      JSON.stringify({
        ...config,
        root: { path: 'rootfs' },
        linux: { cgroupsPath: `/berth-test-${id}`, ...config.linux },
      }),
    )
    const { path, version } = await daemon.answer(id, input)
    return Task.#connect(id, bundle, path, version)
  }

  /** The same task over a further connection. */
  again(): Promise<Task> {
    return Task.#connect(this.id, this.bundle, this.path, this.#version)
  }

  /** The last method that was called. */
  last = ''

  call(method: string, payload: Uint8Array): Promise<Uint8Array> {
    this.last = method
    return this.client.call(`containerd.task.v${this.#version}.Task`, method, payload)
  }

  async create({ rootfs }: { readonly rootfs: readonly Mount[] }): Promise<number> {
    const request = v2.CreateRequest.encode({ id: this.id, bundle: this.bundle, rootfs: [...rootfs] }).finish()
    return v2.CreateResponse.decode(await this.call('Create', request)).pid
  }

  async shimPid(): Promise<number> {
    return v2.ConnectResponse.decode(await this.call('Connect', v2.ConnectRequest.encode({ id: this.id }).finish()))
      .shimPid
  }

  /** Create, Wait and Start, the exit, Delete, Shutdown, the delete call. Returns the exit status. */
  async live(daemon: Daemon, image: { readonly rootfs: readonly Mount[] }): Promise<number> {
    await this.create(image)
    const wait = this.call('Wait', v2.WaitRequest.encode({ id: this.id }).finish())
    await this.call('Start', v2.StartRequest.encode({ id: this.id }).finish())
    const waited = v2.WaitResponse.decode(await wait)
    const deleted = v2.DeleteResponse.decode(
      await this.call('Delete', v2.DeleteRequest.encode({ id: this.id }).finish()),
    )
    assert.equal(deleted.exitStatus, waited.exitStatus)
    await this.call('Shutdown', v2.ShutdownRequest.encode({ id: this.id }).finish())
    this.client.close()
    await daemon.delete(this.id)
    rmSync(this.bundle, { recursive: true })
    return waited.exitStatus
  }
}

/** Runs `count` of `work`, `width` at a time. */
export async function atATime(count: number, width: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) await work(next++)
    }),
  )
}
