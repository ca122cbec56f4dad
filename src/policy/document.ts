/** Loads policies and the node's own file: what they do not know is an error, as a rule that is misspelt would protect nothing. */

import { BerthError } from '../errors.ts'
import { remembered } from '../remember.ts'
import { describe, type Finding, point, show } from '../spec/finding.ts'
import { type Json, parseJson } from '../spec/json.ts'
import { explain } from '../spec/schema-error.ts'
import { parseBytes } from './bytes.ts'
import { parseAttachment, parseHttpRule, parseSource } from './http.ts'
import { didYouMean } from './nearest.ts'
import { hostsOf, parseAddresses, parseDeniedRange, parseDestination, parseRange, RuleError } from './network.ts'
import { unknownSyscall } from './syscalls.ts'
import type { HttpRules, NetworkRules, NodeConfig, Policy, SyscallPolicy } from './types.ts'
import {
  NODE_PROPERTIES,
  POLICY_PROPERTIES,
  type ValidationError,
  validateNode,
  validatePolicy,
} from './validate.gen.js'

type Properties = Readonly<Record<string, readonly string[]>>

const NAMES_OF_ROOT = '/'

/** Throws BerthError `invalid` with the pointer of what is wrong. */
export const loadPolicy = (bytes: Uint8Array | string, file: string): Policy =>
  rememberedPolicy(keyOf(bytes), () =>
    settled(validated(bytes, file, validatePolicy, POLICY_PROPERTIES) as Policy, file, ''),
  )

/** The same for the node's file. */
export const loadNode = (bytes: Uint8Array | string, file: string): NodeConfig =>
  rememberedNode(keyOf(bytes), () => {
    const node = validated(bytes, file, validateNode, NODE_PROPERTIES) as NodeConfig
    return node.policy === undefined ? node : { ...node, policy: settled(node.policy, file, '/policy') }
  })

/** The file's name is in errors only, and those are not kept. */
const rememberedPolicy = remembered<Policy, [() => Policy]>(16, (_, load) => load())
const rememberedNode = remembered<NodeConfig, [() => NodeConfig]>(2, (_, load) => load())
const keyOf = (bytes: Uint8Array | string): string => {
  const text =
    typeof bytes === 'string' ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  return `${typeof bytes} ${text}`
}

const validated = (
  bytes: Uint8Array | string,
  file: string,
  validate: typeof validatePolicy,
  properties: Properties,
): unknown => {
  const document = parseJson(bytes, { file, refuseNul: true })
  const error = validate(document) ? undefined : validate.errors?.[0]
  if (error) throw invalid(file, finding(document, error, properties))
  return document
}

const finding = (document: Json, error: ValidationError, properties: Properties): Finding => {
  if (error.keyword !== 'additionalProperties') return explain(document, error)
  const name = String(error.params.additionalProperty)
  const candidates = properties[error.instancePath] ?? []
  return {
    pointer: error.instancePath,
    message: `unknown property ${JSON.stringify(name)}${didYouMean(name, candidates)}`,
  }
}

const invalid = (file: string, what: Finding): BerthError =>
  new BerthError('invalid', describe(file, what), { pointer: what.pointer })

/** What the schema can't say: sizes become bytes, paths lose what is redundant in them. */
const settled = (policy: Policy, file: string, at: string): Policy => {
  const { files, http, limits, network, syscalls } = policy
  if (syscalls) checkSyscalls(syscalls, file, point(at, 'syscalls'))
  if (network) checkNetwork(network, file, point(at, 'network'))
  if (http) checkHttp(http, file, point(at, 'http'))
  const sizes = (['memory', 'output'] as const).flatMap((name) => {
    const text = limits?.[name]
    if (text === undefined) return []
    const bytes = parseBytes(text)
    if (bytes !== undefined) return [[name, bytes] as const]
    throw invalid(file, {
      pointer: point(at, 'limits', name),
      message: `must be a number of bytes, by itself or with K, M, G or T (is ${show(text)})`,
    })
  })
  return {
    ...policy,
    ...(files
      ? { files: mapLists({ ...files }, (path, name, index) => normal(path, file, point(at, 'files', name, index))) }
      : {}),
    ...(limits ? { limits: { ...limits, ...Object.fromEntries(sizes) } } : {}),
  }
}

const checkSyscalls = ({ deny = [], rules = [] }: SyscallPolicy, file: string, at: string): void => {
  const check = (name: string, pointer: string) => {
    const why = unknownSyscall(name)
    if (why !== undefined) throw invalid(file, { pointer, message: `${show(name)}: ${why}` })
  }
  for (const [index, name] of deny.entries()) check(name, point(at, 'deny', index))
  for (const [index, { names, args }] of rules.entries()) {
    for (const [i, name] of names.entries()) {
      const pointer = point(at, 'rules', index, 'names', i)
      check(name, pointer)
      if (name.startsWith('@'))
        throw invalid(file, { pointer, message: `${show(name)}: a rule is for calls, not for groups` })
    }
    if (new Set(args.map((arg) => arg.index)).size < args.length)
      throw invalid(file, {
        pointer: point(at, 'rules', index, 'args'),
        message: 'has two conditions for one argument',
      })
  }
}

const PARSERS = {
  allow: parseDestination,
  deny: parseAddresses,
  allowBind: parseRange,
  denyBind: parseDeniedRange,
} as const satisfies Partial<Record<keyof NetworkRules, (text: string) => unknown>>

const parsed = (parse: (text: string) => unknown, text: string, file: string, pointer: string): void => {
  try {
    parse(text)
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    throw invalid(file, { pointer, message: `${show(text)}: ${error.message}` })
  }
}

const CREDENTIAL = { request: parseHttpRule, attach: parseAttachment, from: parseSource } as const

/** What one policy by itself has to be; what all of them come to is looked at in http-policy.ts. */
const checkHttp = (http: HttpRules, file: string, at: string): void => {
  for (const name of ['allow', 'deny'] as const)
    for (const [index, text] of http[name]?.entries() ?? []) parsed(parseHttpRule, text, file, point(at, name, index))
  for (const [index, credential] of http.credentials?.entries() ?? [])
    for (const name of ['request', 'attach', 'from'] as const)
      parsed(CREDENTIAL[name], credential[name], file, point(at, 'credentials', index, name))
  for (const [index, path] of http.trust?.entries() ?? []) normal(path, file, point(at, 'trust', index))
}

const checkNetwork = (network: NetworkRules, file: string, at: string): void => {
  for (const name of Object.keys(PARSERS) as (keyof typeof PARSERS)[])
    for (const [index, text] of network[name]?.entries() ?? [])
      parsed(PARSERS[name], text, file, point(at, name, index))
  for (const [allow, deny] of [
    ['allow', 'deny'],
    ['allowBind', 'denyBind'],
  ] as const)
    if (network[allow] && network[deny])
      throw invalid(file, { pointer: at, message: `"${allow}" and "${deny}" exclude each other` })
  const { hosts, refresh, allowBind = [] } = network
  if (allowBind.includes('*') && allowBind.some((text) => text !== '*'))
    throw invalid(file, {
      pointer: point(at, 'allowBind'),
      message: '* stands for all ports: nothing else can stand beside it',
    })
  if (refresh !== undefined && hostsOf(network).length === 0)
    throw invalid(file, { pointer: point(at, 'refresh'), message: 'no rule of "allow" names a host' })
  if (refresh !== undefined && hosts)
    throw invalid(file, { pointer: at, message: '"hosts" and "refresh" exclude each other: the file stays as it is' })
}

const mapLists = (
  lists: Readonly<Record<string, readonly string[]>>,
  map: (path: string, name: string, index: number) => string,
) =>
  Object.fromEntries(
    Object.entries(lists).map(([name, paths]) => [name, paths.map((path, index) => map(path, name, index))]),
  )

/** Without `//`, `.` and a slash at its end. A `..` may lead elsewhere than it reads, and a pattern would be taken as a name. */
export const normal = (path: string, file: string, pointer: string): string => {
  const refuse = (why: string) => invalid(file, { pointer, message: `${why} (is ${show(path)})` })
  if (!path.startsWith('/')) throw refuse('must be an absolute path')
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  if (names.includes('..')) throw refuse('must not contain ".."')
  if (names.some((name) => /[*?[]/.test(name))) throw refuse('must be a path: patterns are not known')
  return NAMES_OF_ROOT + names.join('/')
}
