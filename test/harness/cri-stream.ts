/** What the streaming server of CRI gives: exec, attach and port-forward over WebSockets, each message with its channel's number first. */
import type { Cri, Message } from './cri.ts'

const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const

export class Stream implements Disposable {
  readonly #socket: WebSocket
  readonly #channels: Buffer[] = []
  readonly #opened: Promise<void>
  readonly closed: Promise<void>
  #changed = () => {}

  private constructor(url: string) {
    this.#socket = new WebSocket(url.replace(/^http/, 'ws'), 'v4.channel.k8s.io')
    this.#socket.binaryType = 'arraybuffer'
    this.#opened = new Promise((resolve, reject) => {
      this.#socket.onopen = () => resolve()
      this.#socket.onerror = (event) => reject(new Error(`${url}: ${(event as { message?: string }).message}`))
    })
    this.closed = new Promise((resolve) => {
      this.#socket.onclose = () => {
        resolve()
        this.#changed()
      }
    })
    this.#socket.onmessage = ({ data }) => {
      const [channel = 0, ...bytes] = new Uint8Array(data as ArrayBuffer)
      this.#channels[channel] = Buffer.concat([this.bytes(channel), Buffer.from(bytes)])
      this.#changed()
    }
  }

  static async open(
    cri: Cri,
    method: 'Exec' | 'Attach' | 'PortForward',
    request: Message,
    query = '',
  ): Promise<Stream> {
    const { url } = await cri.call(method, request)
    const stream = new Stream(`${url}${query}`)
    await stream.#opened
    return stream
  }

  bytes(channel: number): Buffer {
    return this.#channels[channel] ?? Buffer.alloc(0)
  }

  get stdout(): string {
    return this.bytes(CHANNEL.stdout).toString()
  }

  get stderr(): string {
    return this.bytes(CHANNEL.stderr).toString()
  }

  /** How it ended, as kubectl is told. */
  get result(): Message {
    return JSON.parse(this.bytes(CHANNEL.error).toString())
  }

  send(channel: number, data: string | Buffer): void {
    this.#socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(data)]))
  }

  type(text: string): void {
    this.send(CHANNEL.stdin, text)
  }

  resize(width: number, height: number): void {
    this.send(CHANNEL.resize, JSON.stringify({ Width: width, Height: height }))
  }

  /** Waits until this holds of what has come. */
  async until(what: string, condition: () => boolean, ms = 10_000): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const fail = () => reject(new Error(`${what}: not within ${ms} ms; stdout: ${JSON.stringify(this.stdout)}`))
      timer = setTimeout(fail, ms)
    })
    const holds = new Promise<void>((resolve) => {
      this.#changed = () => condition() && resolve()
      this.#changed()
    })
    await Promise.race([holds, late]).finally(() => {
      clearTimeout(timer)
      this.#changed = () => {}
    })
  }

  [Symbol.dispose](): void {
    this.#socket.close()
  }
}
