/** Sends a request on that is allowed, and its answer back. What frames a message is made anew, so that no server sees the client's. */

import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { pipeline } from 'node:stream'

/** Of one connection only (RFC 9110 7.6.1), and what Node writes itself. */
const HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])
/** What `Connection` names is of one connection too, but for what says where a message goes and ends. */
const KEPT = new Set(['host', 'content-length', 'authorization', 'cookie', 'content-type'])

/** End-to-end headers: names and values by turns. */
export const endToEnd = (rawHeaders: readonly string[]): string[] => {
  const named = new Set(HOP)
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.toLowerCase() === 'connection')
      for (const option of (rawHeaders[at + 1] ?? '').toLowerCase().split(',')) {
        const name = option.trim()
        if (!KEPT.has(name)) named.add(name)
      }
  const kept: string[] = []
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2)
    if (!named.has(name.toLowerCase())) kept.push(name, value)
  }
  return kept
}

export interface Upstream {
  readonly address: string
  readonly port: number
  /** The name that TLS asks for and verifies; undefined without TLS. */
  readonly serverName: string | undefined
  readonly method: string
  readonly path: string
  /** Without Host and Expect. */
  readonly headers: readonly string[]
  readonly authority: string
}

/** One of a status that is told to the client, and the reason that the log has. */
export type Failure = (status: 502, reason: string) => void

const IDLE_MS = 30_000
const CONNECT_MS = 30_000

export class Forwarder {
  readonly #http = new HttpAgent({ keepAlive: true, timeout: IDLE_MS, maxSockets: Number.POSITIVE_INFINITY })
  readonly #https: HttpsAgent

  constructor(roots: string) {
    this.#https = new HttpsAgent({ keepAlive: true, timeout: IDLE_MS, ca: roots, ALPNProtocols: ['http/1.1'] })
  }

  forward(upstream: Upstream, from: IncomingMessage, to: ServerResponse, failed: Failure): void {
    const hasBody = from.headers['content-length'] !== undefined || from.headers['transfer-encoding'] !== undefined
    const send = (again: boolean) => {
      const request = this.#request(upstream, from)
      const slow = setTimeout(() => request.destroy(new Error('no connection in time')), CONNECT_MS)
      request.on('socket', (socket) => {
        if (!socket.connecting) clearTimeout(slow)
        socket.once('connect', () => clearTimeout(slow))
      })
      request.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(slow)
        // The server had closed a connection that was kept for another request.
        if (again && request.reusedSocket && !hasBody && !to.headersSent && error.code === 'ECONNRESET') send(false)
        else if (to.headersSent) to.destroy()
        else failed(502, error.message)
      })
      request.on('response', (response) => answer(response, to))
      to.on('close', () => {
        if (!to.writableEnded) request.destroy()
      })
      if (hasBody) pipeline(from, request, () => {})
      else request.end()
    }
    send(true)
  }

  #request(
    { address, port, serverName, method, path, headers, authority }: Upstream,
    from: IncomingMessage,
  ): ClientRequest {
    const length = from.headers['content-length']
    const body =
      from.headers['transfer-encoding'] !== undefined
        ? ['Transfer-Encoding', 'chunked']
        : length !== undefined
          ? ['Content-Length', length]
          : []
    const rest = headers.filter((_, index) => {
      const name = headers[index & ~1]?.toLowerCase()
      return name !== 'content-length' && name !== 'host' && name !== 'expect'
    })
    const options = {
      host: address,
      port,
      method,
      path,
      headers: ['Host', authority, ...rest, ...body],
      setHost: false,
    }
    if (serverName === undefined) return httpRequest({ ...options, agent: this.#http })
    // An address is no name to ask for (RFC 6066 3), but is verified all the same.
    return httpsRequest({ ...options, agent: this.#https, servername: serverName })
  }

  close(): void {
    this.#http.destroy()
    this.#https.destroy()
  }
}

const answer = (response: IncomingMessage, to: ServerResponse): void => {
  const { statusCode = 502, statusMessage = '' } = response
  if (to.destroyed || to.headersSent) {
    response.destroy()
    return
  }
  try {
    to.writeHead(statusCode, statusMessage, endToEnd(response.rawHeaders))
  } catch {
    // A server's header that no client may be shown.
    response.destroy()
    to.destroy()
    return
  }
  pipeline(response, to, () => {})
}
