/** What a container asks for may only narrow what the node's administrator allows (S22). */

import { BerthError } from '../errors.ts'
import { isWithinRule, parseHttpRule } from './http.ts'
import { proxiedPorts } from './http-policy.ts'
import { LIMITS } from './limits.ts'
import { isOfLink } from './near.ts'
import { isWithin, parseDestination, parseRange } from './network.ts'
import { parsePrefix } from './prefix.ts'
import { FILE_KINDS, type FileRules, hasFileLists, type Policy } from './types.ts'

const below = (path: string, directory: string): boolean =>
  path === directory || directory === '/' || path.startsWith(`${directory}/`)

/** What a ceiling lets be read, written, executed: both of the others let read too. */
const allowed = (files: FileRules, kind: (typeof FILE_KINDS)[number]): readonly string[] =>
  kind === 'read' ? [...(files.read ?? []), ...(files.write ?? []), ...(files.execute ?? [])] : (files[kind] ?? [])

/** What of the wish is beyond the ceiling, in words. */
function* widenings(ceiling: Policy, wish: Policy): Iterable<string> {
  if (hasFileLists(ceiling))
    for (const kind of FILE_KINDS)
      for (const path of wish.files?.[kind] ?? [])
        if (!allowed(ceiling.files ?? {}, kind).some((directory) => below(path, directory)))
          yield `files.${kind}: "${path}"`
  for (const kind of ['connect', 'bind'] as const)
    for (const port of wish.tcp?.[kind] ?? [])
      if (ceiling.tcp?.[kind]?.includes(port) === false) yield `tcp.${kind}: ${port}`
  const destinations = ceiling.network?.allow?.map(parseDestination)
  for (const text of wish.network?.allow ?? [])
    if (destinations && !isWithin(parseDestination(text), destinations)) yield `network.allow: "${text}"`
  const outers = ceiling.network?.allowBind?.map(parseRange)
  for (const text of wish.network?.allowBind ?? []) {
    const { first, last } = parseRange(text)
    if (outers && !outers.some((outer) => outer.first <= first && last <= outer.last))
      yield `network.allowBind: "${text}"`
  }
  for (const text of wish.http?.allow ?? []) {
    const rule = parseHttpRule(text)
    if (ceiling.http?.allow && !ceiling.http.allow.some((outer) => isWithinRule(rule, parseHttpRule(outer))))
      yield `http.allow: "${text}"`
  }
  for (const scope of ['abstractSockets', 'signals'] as const)
    if (ceiling.scopes?.[scope] === true && wish.scopes?.[scope] === false) yield `scopes.${scope}: false`
  for (const limit of LIMITS) {
    const [most, asked] = [ceiling.limits?.[limit], wish.limits?.[limit]]
    if (most !== undefined && asked !== undefined && asked > most) yield `limits.${limit}: ${asked}`
  }
}

const refusal = (widening: string, whose: string, pointer: string): BerthError =>
  new BerthError(
    'invalid',
    pointer === ''
      ? `${widening} is more than ${whose} allows: a policy that is given can only narrow it`
      : `annotations: ${widening} is more than ${whose} allows: an annotation can only narrow it`,
    pointer === '' ? {} : { pointer },
  )

/** Throws where the wish would widen the ceiling; `whose` is what that is called, `pointer` who asks ('': the caller, with a file). */
export const checkNarrower = (ceiling: Policy, wish: Policy, whose: string, pointer: string): void => {
  for (const widening of widenings(ceiling, wish)) throw refusal(widening, whose, pointer)
}

/** The address of the node's link that a rule names: no `*` stands for those. */
const nearOf = (text: string): string | undefined => {
  const { host } = parseHttpRule(text)
  const address = parsePrefix(host)
  return address !== undefined && isOfLink(address) ? host : undefined
}

/** Throws where the wish has requests leave the node to ports, or to addresses of its link, that none of its own policies lets them leave to. */
export const checkGranted = (ceilings: readonly Policy[], { http }: Policy, pointer: string): void => {
  if (http === undefined) return
  const ports = proxiedPorts(ceilings)
  for (const port of http.ports ?? [])
    if (!ports.includes(port)) throw refusal(`http.ports: ${port}`, 'the node', pointer)
  const named = new Set(ceilings.flatMap((ceiling) => ceiling.http?.allow?.map(nearOf) ?? []))
  for (const text of http.allow ?? [])
    if (!named.has(nearOf(text)) && nearOf(text) !== undefined)
      throw refusal(
        `http.allow: "${text}", an address of the node's link that no rule of its own names,`,
        'the node',
        pointer,
      )
}
