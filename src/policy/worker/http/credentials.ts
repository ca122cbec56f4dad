/** Credentials, which the container never sees: attached to requests that are allowed. */

import { readFileSync } from 'node:fs'
import { type Attachment, allows, type HttpRule, type HttpTarget, parseAttachment, parseHttpRule } from '../../http.ts'
import type { CredentialConfig } from './config.ts'

const MAX = 64 * 1024

interface Credential {
  readonly rule: HttpRule
  readonly ports: ReadonlySet<number>
  readonly attachment: Attachment
  readonly replace: boolean
  readonly secret: string
}

/** What a request is sent with. */
export interface Dressed {
  /** Name and value by turns. */
  readonly headers: string[]
  readonly path: string
}

/** A credential that no header can hold. */
export class Unrenderable extends Error {}

const read = ({ fd, value }: CredentialConfig): string => {
  const bytes = fd === undefined ? Buffer.from(value ?? '') : readFileSync(fd)
  if (bytes.length > MAX) throw new Error(`a credential has more than ${MAX} bytes`)
  const secret = bytes.toString('utf8').replace(/\r?\n$/, '')
  if (secret === '') throw new Error('a credential is empty')
  return secret
}

const parameter = (text: string): string => encodeURIComponent(text).replaceAll('%20', '+')

const without = (headers: readonly string[], name: string): string[] =>
  headers.filter((_, index) => headers[index & ~1]?.toLowerCase() !== name.toLowerCase())
const has = (headers: readonly string[], name: string): boolean =>
  headers.some((text, index) => index % 2 === 0 && text.toLowerCase() === name.toLowerCase())

/** A query's parameters, undecoded. */
const parametersOf = (path: string): readonly string[] => {
  const at = path.indexOf('?')
  return at < 0 ? [] : path.slice(at + 1).split('&')
}
const parameterName = (text: string): string => {
  const name = (text.split('=', 1)[0] ?? '').replaceAll('+', ' ')
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

export class Credentials {
  readonly #all: readonly Credential[]

  constructor(configs: readonly CredentialConfig[]) {
    this.#all = configs.map((config) => ({
      rule: parseHttpRule(config.request),
      ports: new Set(config.ports),
      attachment: parseAttachment(config.attach),
      replace: config.mode === 'replace',
      secret: read(config),
    }))
  }

  /** Throws Unrenderable. The first that is for the request counts. */
  attach(target: HttpTarget, port: number, headers: string[], path: string): Dressed {
    const credential = this.#all.find(({ rule, ports }) => ports.has(port) && allows(rule, target))
    if (credential === undefined) return { headers, path }
    const { attachment, replace, secret } = credential
    if (attachment.kind === 'query') {
      const given = parametersOf(path)
      const others = given.filter((text) => parameterName(text) !== attachment.name)
      if (!replace && others.length < given.length) return { headers, path }
      const query = [
        ...others.filter((text) => text !== ''),
        `${parameter(attachment.name)}=${parameter(secret)}`,
      ].join('&')
      return { headers, path: `${path.split('?', 1)[0]}?${query}` }
    }
    const name = attachment.kind === 'header' ? attachment.name : 'Authorization'
    if (!replace && has(headers, name)) return { headers, path }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a header can't have
    if (/[\u0000-\u0008\u000a-\u001f\u007f]|[^\u0000-\u00ff]/.test(secret) && attachment.kind !== 'basic')
      throw new Unrenderable(name)
    return { headers: [...without(headers, name), name, headerValue(attachment, secret)], path }
  }
}

const headerValue = (attachment: Exclude<Attachment, { kind: 'query' }>, secret: string): string => {
  if (attachment.kind === 'bearer') return `Bearer ${secret}`
  if (attachment.kind === 'basic') return `Basic ${Buffer.from(`${attachment.user}:${secret}`).toString('base64')}`
  return secret
}
