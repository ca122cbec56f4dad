/** The HTTP proxy of a container: each connection says where it was going, and each request on it is judged. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, isIP, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { canonicalHost } from '../../host.ts'
import { RuleError } from '../../network.ts'
import type { Authority } from './authority.ts'
import { isTls, MAX_HELLO, readHello } from './client-hello.ts'
import type { HttpConfig } from './config.ts'
import { type Credentials, Unrenderable } from './credentials.ts'
import { Decider, type Refusal } from './decide.ts'
import { Destinations, sameAddress } from './destinations.ts'
import { endToEnd, Forwarder } from './forward.ts'
import type { NameService } from './names.ts'
import { readRequest, Unclear } from './request.ts'

const HEADERS_MS = 30_000
const IDLE_MS = 120_000
const HELLO_MS = 10_000
const CONNECT_MS = 30_000
const MAX_HEADERS = 64 * 1024

/** Where a connection was going. */
export interface Destination {
  readonly address: string
  readonly port: number
}

interface Connection extends Destination {
  /** The name that TLS was asked for, where it is looked into. */
  readonly sni?: string
}

export interface ProxyParts {
  readonly config: Pick<HttpConfig, 'policies' | 'network' | 'names' | 'hostNetwork'>
  readonly names: NameService
  readonly roots: string
  readonly credentials: Credentials
  /** TLS is looked into. */
  readonly authority: Authority | undefined
  readonly refused: (counter: number) => void
}

/** An address to connect to, or why there is none. */
type Place = { readonly address: string } | { readonly refusal: Refusal } | { readonly failure: string }

export class HttpProxy {
  readonly #parts: ProxyParts
  readonly #decider: Decider
  readonly #destinations: Destinations
  readonly #forwarder: Forwarder
  readonly #connections = new WeakMap<Socket, Connection>()
  readonly #open = new Set<Socket>()
  readonly #server = createServer({
    insecureHTTPParser: false,
    requireHostHeader: true,
    maxHeaderSize: MAX_HEADERS,
    headersTimeout: HEADERS_MS,
    // A body takes as long as it takes.
    requestTimeout: 0,
    keepAliveTimeout: IDLE_MS,
  })

  constructor(parts: ProxyParts) {
    const { policies, network, hostNetwork } = parts.config
    this.#parts = parts
    this.#decider = new Decider(policies)
    this.#destinations = new Destinations(network, hostNetwork)
    this.#forwarder = new Forwarder(parts.roots)
    this.#server.on('request', (request, response) => void this.#serve(request, response))
    this.#server.on('connect', (request, socket: Socket) => {
      const { port = 0 } = this.#connections.get(request.socket) ?? {}
      this.#count(this.#decider.other('malformed', port, ''))
      socket.end(plain(403, 'CONNECT is for proxies that are asked for; this one is not'))
    })
    this.#server.on('clientError', (_error: Error, socket: Socket) => {
      const { port = 0 } = this.#connections.get(socket) ?? {}
      this.#count(this.#decider.other('malformed', port, ''))
      if (socket.writable) socket.end(plain(400, 'no request that could be judged'))
      else socket.destroy()
    })
  }

  /** Takes a connection over. */
  accept(socket: Socket, destination: Destination): void {
    this.#open.add(socket)
    socket.on('close', () => this.#open.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.setNoDelay(true)
    socket.setTimeout(HELLO_MS, () => socket.destroy())
    socket.once('data', (first: Buffer) => {
      socket.pause()
      socket.setTimeout(0)
      socket.removeAllListeners('timeout')
      if (isTls(first[0] ?? 0)) this.#greet(socket, destination, first)
      else this.#http(socket, destination, first)
    })
  }

  close(): void {
    for (const socket of this.#open) socket.destroy()
    this.#server.close()
    this.#forwarder.close()
  }

  #count({ counter }: Refusal): void {
    this.#parts.refused(counter)
  }

  #http(socket: Socket, connection: Connection, first?: Buffer): void {
    this.#connections.set(socket, connection)
    if (first) socket.unshift(first)
    this.#server.emit('connection', socket)
    socket.resume()
  }

  /** Reads a ClientHello to its end. */
  #greet(socket: Socket, destination: Destination, data: Buffer): void {
    const hello = readHello(data)
    if (hello.kind === 'more' && data.length < MAX_HELLO) {
      socket.setTimeout(HELLO_MS, () => socket.destroy())
      socket.once('data', (more: Buffer) => {
        socket.pause()
        socket.setTimeout(0)
        socket.removeAllListeners('timeout')
        this.#greet(socket, destination, Buffer.concat([data, more]))
      })
      socket.resume()
      return
    }
    const name = hello.kind === 'hello' && hello.name !== undefined ? canonicalHost(hello.name) : undefined
    if (name === undefined || isIP(name) !== 0) {
      this.#drop(socket, this.#decider.other('malformed', destination.port, 'no server is named'))
      return
    }
    socket.unshift(data)
    if (this.#parts.authority) void this.#intercept(socket, destination, name, this.#parts.authority)
    else void this.#tunnel(socket, destination, name)
  }

  #drop(socket: Socket, refusal: Refusal): void {
    this.#count(refusal)
    socket.destroy()
  }

  async #intercept(socket: Socket, destination: Destination, sni: string, authority: Authority): Promise<void> {
    const secureContext = await authority.contextFor(sni).catch(() => undefined)
    if (secureContext === undefined) {
      socket.destroy()
      return
    }
    const tls = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] })
    this.#open.add(tls)
    tls.on('close', () => this.#open.delete(tls))
    tls.on('error', () => tls.destroy())
    tls.setTimeout(HELLO_MS, () => tls.destroy())
    tls.once('secure', () => {
      tls.setTimeout(0)
      tls.removeAllListeners('timeout')
      this.#http(tls, { ...destination, sni })
    })
  }

  /** TLS that is not looked into: all or nothing of a host. */
  async #tunnel(socket: Socket, { address, port }: Destination, name: string): Promise<void> {
    const refusal = this.#decider.host(name, port)
    const place = refusal ? { refusal } : await this.#placeOf(name, address, port)
    if ('refusal' in place) {
      this.#drop(socket, place.refusal)
      return
    }
    if ('failure' in place || socket.destroyed) {
      socket.destroy()
      return
    }
    const upstream = connect({ host: place.address, port, allowHalfOpen: true, timeout: CONNECT_MS })
    this.#open.add(upstream)
    upstream.on('close', () => {
      this.#open.delete(upstream)
      socket.destroy()
    })
    upstream.on('timeout', () => upstream.destroy())
    upstream.on('error', () => socket.destroy())
    socket.on('close', () => upstream.destroy())
    upstream.once('connect', () => {
      upstream.setTimeout(0)
      upstream.setNoDelay(true)
      socket.pipe(upstream)
      upstream.pipe(socket)
    })
  }

  /** Where a host that the rules allow is: where the connection was going, if that is one of its addresses. */
  async #placeOf(host: string, address: string, port: number): Promise<Place> {
    const { names, config } = this.#parts
    const meant = config.names[address]
    const elsewhere = (reason: string): Place => ({ refusal: this.#decider.other('elsewhere', port, reason) })
    if (meant !== undefined && meant !== host) return elsewhere(`the connection is for ${meant}, its host is ${host}`)
    const found = await names.addressesOf(host)
    const right = meant === undefined ? found.filter((one) => sameAddress(one, address)) : found
    if (found.length === 0) return { failure: `${host} has no address` }
    if (right.length === 0) return elsewhere(`${host} is not at ${address}`)
    const refusals = right.map((one) => this.#destinations.refusal(one, port, this.#decider.names(one, port)))
    const open = right.find((_, index) => refusals[index] === undefined)
    return open === undefined ? elsewhere(refusals[0] ?? '') : { address: open }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const connection = this.#connections.get(request.socket)
    if (connection === undefined) {
      request.socket.destroy()
      return
    }
    const { address, port, sni } = connection
    const refuse = (status: 400 | 403, refusal: Refusal) => {
      this.#count(refusal)
      this.#tell(request, response, status, `refused by ${refusal.reason}`)
    }
    try {
      const asked = readRequest(request, port, sni)
      const target = { method: asked.method, host: asked.host, paths: asked.readings }
      const refusal = this.#decider.request(target, port)
      if (refusal) return refuse(403, refusal)
      const place = await this.#placeOf(asked.host, address, port)
      if ('refusal' in place) return refuse(403, place.refusal)
      if ('failure' in place) return this.#tell(request, response, 502, place.failure)
      const { headers, path } = this.#parts.credentials.attach(target, port, endToEnd(request.rawHeaders), asked.path)
      const upstream = {
        address: place.address,
        port,
        serverName: sni,
        method: asked.method,
        path,
        headers,
        authority: asked.authority,
      }
      this.#forwarder.forward(upstream, request, response, (status, reason) =>
        this.#tell(request, response, status, reason),
      )
    } catch (error) {
      if (error instanceof Unrenderable)
        this.#tell(request, response, 502, `the credential can't be sent as ${error.message}`)
      else if (error instanceof Unclear || error instanceof RuleError)
        refuse(400, this.#decider.other('malformed', port, `the proxy: ${error.message}`))
      else throw error
    }
  }

  #tell(request: IncomingMessage, response: ServerResponse, status: number, reason: string): void {
    if (response.headersSent || response.destroyed) return
    // A body that is still to come is read and dropped: a connection that is closed on it would be reset, and the answer lost.
    request.resume()
    const text = `berth: ${request.method} ${request.headers.host ?? ''}${request.url}: ${reason}\n`
    response.writeHead(status, {
      'Content-Type': 'text/plain; charset=utf-8',
      'Content-Length': Buffer.byteLength(text),
    })
    response.end(request.method === 'HEAD' ? undefined : text)
  }
}

const plain = (status: 400 | 403, reason: string): string => {
  const text = `berth: ${reason}\n`
  const phrase = status === 400 ? 'Bad Request' : 'Forbidden'
  return `HTTP/1.1 ${status} ${phrase}\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`
}
