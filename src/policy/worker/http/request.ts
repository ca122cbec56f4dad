/** What a request says that it is for: one host, in whichever places it says so. */

import type { IncomingMessage } from 'node:http'
import { canonicalHost } from '../../host.ts'
import { readingsOf } from '../../http.ts'

export interface Asked {
  readonly method: string
  /** As it is compared. */
  readonly host: string
  /** The Host header's text, without what no server needs. */
  readonly authority: string
  /** What follows the authority, as the client wrote it. */
  readonly path: string
  readonly readings: readonly string[]
}

/** A request that can't be judged: nobody could say what a server would make of it. */
export class Unclear extends Error {}

const DEFAULT_PORT = { http: 80, https: 443 } as const

interface Authority {
  readonly host: string
  readonly port: number | undefined
}

const parseAuthority = (text: string): Authority => {
  if (text.includes('@')) throw new Unclear('its host has user information')
  const [, name = '', digits] = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d{1,5}))?$/.exec(text) ?? []
  const host = canonicalHost(name)
  if (host === undefined) throw new Unclear(`${JSON.stringify(text)} is no host`)
  return { host, port: digits === undefined ? undefined : Number(digits) }
}

const hostHeader = ({ rawHeaders }: IncomingMessage): Authority => {
  const values = rawHeaders.flatMap((name, index) =>
    index % 2 === 0 && name.toLowerCase() === 'host' ? [rawHeaders[index + 1] ?? ''] : [],
  )
  const [value] = values
  if (values.length !== 1 || value === undefined) throw new Unclear('it has no Host, or several')
  return parseAuthority(value)
}

const ABSOLUTE = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/is

/** Throws Unclear. `sni`: the name that TLS was asked for, where it was. */
export const readRequest = (request: IncomingMessage, port: number, sni: string | undefined): Asked => {
  const { method = '', url = '' } = request
  const secure = sni !== undefined
  const { host, port: named } = hostHeader(request)
  let path = url
  const [, scheme, authority = '', rest = ''] = ABSOLUTE.exec(url) ?? []
  if (scheme !== undefined) {
    if (scheme.toLowerCase() !== (secure ? 'https' : 'http')) throw new Unclear(`its URI has the scheme ${scheme}`)
    const uri = parseAuthority(authority)
    if (uri.host !== host || (uri.port ?? named) !== named) throw new Unclear('its URI and its Host differ')
    path = rest.startsWith('/') ? rest : `/${rest}`
  } else if (!url.startsWith('/') && !(url === '*' && method === 'OPTIONS')) throw new Unclear('it has no path')
  if (path.includes('#')) throw new Unclear('its URI has a fragment')
  if (named !== undefined && named !== port) throw new Unclear(`its Host has port ${named}, the connection has ${port}`)
  if (sni !== undefined && sni !== host) throw new Unclear(`its Host is ${host}, that of TLS was ${sni}`)
  const shown = host.includes(':') ? `[${host}]` : host
  return {
    method,
    host,
    authority: port === DEFAULT_PORT[secure ? 'https' : 'http'] ? shown : `${shown}:${port}`,
    path,
    readings: path === '*' ? ['/'] : readingsOf(path),
  }
}
