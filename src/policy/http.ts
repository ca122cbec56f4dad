/**
 * HTTP rules: `METHOD HOST[/PATH]`. A method, a host or `*` for any; a path that ends in `*` is a prefix, no path is every path. What is compared
 * has no percent-encoding, no `//`, no dot segments, no query and no slash at its end.
 */

import { canonicalHost } from './host.ts'
import { RuleError } from './network.ts'
import { addressFamily } from './prefix.ts'

export interface HttpRule {
  /** Upper case, or `*`. */
  readonly method: string
  /** Lower case, an address without brackets, or `*`. */
  readonly host: string
  readonly path: string
  /** `path` is how it begins. */
  readonly prefix: boolean
}

/** What a request asks for. */
export interface HttpTarget {
  readonly method: string
  readonly host: string
  /** Each reading of the path that a server might have (`readingsOf`). */
  readonly paths: readonly string[]
}

const METHOD = /^(?:\*|[A-Z][A-Z0-9!#$%&'*+.^_`|~-]*)$/
/** As `%41` is A; what is no encoding stays as it is, byte for byte. */
const decoded = (path: string): string =>
  path.includes('%')
    ? Buffer.from(
        path.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))),
        'latin1',
      ).toString('latin1')
    : path

/** Without empty and dot segments, and without a slash at its end. */
const collapsed = (path: string): string => {
  const names: string[] = []
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue
    if (name === '..') names.pop()
    else names.push(name)
  }
  return `/${names.join('/')}`
}

const MAX_ROUNDS = 8

/** How servers may read a path: as it stands, decoded, decoded again, with backslashes as slashes. The first is that of the rules. */
export const readingsOf = (raw: string): readonly string[] => {
  const [path = '/'] = Buffer.from(raw, 'utf8').toString('latin1').split(/[?#]/, 1)
  const readings = new Set([collapsed(decoded(path)), collapsed(path)])
  let more = path
  for (let round = 0; round < MAX_ROUNDS; round++) {
    readings.add(collapsed(more))
    readings.add(collapsed(more.replaceAll('\\', '/')))
    // `;` begins parameters of a segment for some servers.
    readings.add(collapsed(more.replaceAll('\\', '/').replaceAll(/;[^/]*/g, '')))
    const next = decoded(more)
    if (next === more) return [...readings]
    more = next
  }
  throw new RuleError('is encoded too many times')
}

const rulePath = (text: string): Pick<HttpRule, 'path' | 'prefix'> => {
  if (/[?#]/.test(text)) throw new RuleError(`"${text}" has a query, which is not looked at: leave it out`)
  const prefix = text.endsWith('*')
  const body = prefix ? text.slice(0, -1) : text
  if (body.includes('*')) throw new RuleError(`"${text}": a * stands at the end of a path only`)
  const bytes = decoded(Buffer.from(body, 'utf8').toString('latin1'))
  const path = collapsed(bytes)
  // What stands before the * decides: a slash there is kept.
  return { path: prefix && bytes.endsWith('/') && path !== '/' ? `${path}/` : path, prefix }
}

/** Throws RuleError. */
export const parseHttpRule = (text: string): HttpRule => {
  const words = text.trim().split(/\s+/)
  const [method = '', target = ''] = words
  if (words.length !== 2) throw new RuleError('is no METHOD HOST[/PATH]')
  if (!METHOD.test(method) || (method.includes('*') && method !== '*'))
    throw new RuleError(`"${method}" is no method: one in capitals, or *`)
  const slash = target.indexOf('/')
  const name = slash < 0 ? target : target.slice(0, slash)
  if (name === '') throw new RuleError('names no host: * stands for any')
  if (name !== '*' && name.includes('*'))
    throw new RuleError(`"${name}": * stands for any host, not for a part of a name`)
  const host = name === '*' ? name : canonicalHost(addressFamily(name) === 6 ? `[${name}]` : name)
  if (host === undefined)
    throw new RuleError(
      name.includes(':')
        ? `"${name}" is no host: ports are named in "ports"`
        : `"${name}" is no host: a name, an address or *`,
    )
  return { method, host, ...(slash < 0 ? { path: '/', prefix: true } : rulePath(target.slice(slash))) }
}

/** Whether the rule is about the host as a whole, so that nothing of a request has to be known. */
export const isWholeHost = ({ method, path, prefix }: HttpRule): boolean => method === '*' && path === '/' && prefix

const hasHost = ({ host }: HttpRule, wanted: string): boolean => host === '*' || host === wanted
const hasPath = ({ path, prefix }: HttpRule, wanted: string): boolean =>
  prefix ? wanted.startsWith(path) : wanted === path

const matches = (rule: HttpRule, { method, host }: HttpTarget, path: string): boolean =>
  (rule.method === '*' || rule.method === method) && hasHost(rule, host) && hasPath(rule, path)

/** Whether a rule of this kind is about the request: of an allow each reading of its path, of a deny any. */
export const allows = (rule: HttpRule, target: HttpTarget): boolean =>
  target.paths.every((path) => matches(rule, target, path))
export const denies = (rule: HttpRule, target: HttpTarget): boolean =>
  target.paths.some((path) => matches(rule, target, path))

/** The same where only the host is known, as behind TLS. */
export const allowsHost = (rule: HttpRule, host: string): boolean => isWholeHost(rule) && hasHost(rule, host)
export const touchesHost = (rule: HttpRule, host: string): boolean => hasHost(rule, host)

/** Whether all that the one is about the other is about too. */
export const isWithinRule = (inner: HttpRule, outer: HttpRule): boolean =>
  (outer.method === '*' || outer.method === inner.method) &&
  (outer.host === '*' || outer.host === inner.host) &&
  (outer.prefix ? inner.path.startsWith(outer.path) : !inner.prefix && inner.path === outer.path)

/** `bearer`, `basic:USER`, `header:NAME`, `apikey:NAME`, `query:PARAMETER`: how a credential is attached. */
export type Attachment =
  | { readonly kind: 'bearer' }
  | { readonly kind: 'basic'; readonly user: string }
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'query'; readonly name: string }

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/
/** Headers that say where a request goes, or where it ends: no credential's. */
const FRAMING = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'upgrade',
  'te',
  'trailer',
  'expect',
  'keep-alive',
])

/** Throws RuleError. */
export const parseAttachment = (text: string): Attachment => {
  const colon = text.indexOf(':')
  const [kind, rest] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
  if (kind === 'bearer' && colon < 0) return { kind }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it must not have
  if (kind === 'basic' && rest !== '' && !/[:\u0000-\u001f\u007f]/.test(rest)) return { kind, user: rest }
  if ((kind === 'header' || kind === 'apikey') && TOKEN.test(rest) && !FRAMING.has(rest.toLowerCase()))
    return { kind: 'header', name: rest }
  if (kind === 'query' && rest !== '' && !/[&=#\s]/.test(rest)) return { kind, name: rest }
  throw new RuleError(`"${text}" is none of bearer, basic:USER, header:NAME, apikey:NAME, query:PARAMETER`)
}

export type Source = { readonly kind: 'file'; readonly path: string } | { readonly kind: 'env'; readonly name: string }

/** Where a credential comes from, on the node. Throws RuleError. */
export const parseSource = (text: string): Source => {
  const [, kind, rest = ''] = /^(file|env):(.*)$/s.exec(text) ?? []
  if (kind === 'file' && rest.startsWith('/')) return { kind, path: rest }
  if (kind === 'env' && /^[A-Za-z_][A-Za-z0-9_]*$/.test(rest)) return { kind, name: rest }
  if (text.startsWith('literal:'))
    throw new RuleError('a credential does not stand in a policy: file:/PATH or env:NAME')
  throw new RuleError(`"${text}" is none of file:/PATH, env:NAME`)
}
