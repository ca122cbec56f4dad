/** The annotations of a container that narrow its policy. */

import { BerthError } from '../errors.ts'
import { point } from '../spec/finding.ts'
import type { Json } from '../spec/json.ts'
import { stringifyJson } from '../spec/json.ts'
import { loadPolicy } from './document.ts'
import { didYouMean } from './nearest.ts'
import { PREFIX } from './source.ts'
import type { Policy } from './types.ts'

const PROFILE = `${PREFIX}policy`
const INLINE = `${PREFIX}policy.inline`

type Parse = (text: string) => Json

/** Between, before and behind `;` there may be nothing: a list of nothing but that is empty. */
const list: Parse = (text) =>
  text
    .split(';')
    .map((item) => item.trim())
    .filter((item) => item !== '')
/** Anything that is no number is left for the schema to refuse, which says where. */
const number: Parse = (text) => (/^\d+(\.\d+)?$/.test(text) ? Number(text) : text)
const numbers: Parse = (text) => (list(text) as string[]).map(number)
const size: Parse = (text) => text
const flag: Parse = (text) => (text === 'true' ? true : text === 'false' ? false : text)

/** Annotations for single fields: where in a policy each belongs, and how its text is read. */
const FIELDS: Readonly<Record<string, readonly [section: string, field: string, parse: Parse]>> = {
  'files.read': ['files', 'read', list],
  'files.write': ['files', 'write', list],
  'files.execute': ['files', 'execute', list],
  'files.deny': ['files', 'deny', list],
  'tcp.connect': ['tcp', 'connect', numbers],
  'tcp.bind': ['tcp', 'bind', numbers],
  'network.allow': ['network', 'allow', list],
  'network.deny': ['network', 'deny', list],
  'network.allowBind': ['network', 'allowBind', list],
  'network.denyBind': ['network', 'denyBind', list],
  'network.hosts': ['network', 'hosts', flag],
  'http.allow': ['http', 'allow', list],
  'http.deny': ['http', 'deny', list],
  'http.ports': ['http', 'ports', numbers],
  'http.hosts': ['http', 'hosts', flag],
  'http.intercept': ['http', 'intercept', flag],
  'http.trust': ['http', 'trust', list],
  'scopes.abstractSockets': ['scopes', 'abstractSockets', flag],
  'scopes.signals': ['scopes', 'signals', flag],
  'syscalls.deny': ['syscalls', 'deny', list],
  'limits.memory': ['limits', 'memory', size],
  'limits.processes': ['limits', 'processes', number],
  'limits.openFiles': ['limits', 'openFiles', number],
  'limits.cpus': ['limits', 'cpus', number],
  'limits.maxDuration': ['limits', 'maxDuration', number],
  'limits.output': ['limits', 'output', size],
}

/** Files, secrets and processes of the node: no container's to name. */
const OF_THE_NODE = {
  http: ['ca', 'roots', 'credentials'],
  network: ['refresh'],
} as const

const ofTheNode = ({ http, network, module }: Policy): readonly string[] => [
  ...OF_THE_NODE.http.filter((name) => http?.[name] !== undefined).map((name) => `http.${name}`),
  ...OF_THE_NODE.network.filter((name) => network?.[name] !== undefined).map((name) => `network.${name}`),
  ...(module ? ['module'] : []),
]

/** Every annotation that is known, for `features` and for errors. */
export const ANNOTATIONS: readonly string[] = [PROFILE, INLINE, ...Object.keys(FIELDS).map((name) => PREFIX + name)]

export interface Wish {
  /** Name of a profile of the node's. */
  readonly profile: string | undefined
  readonly policies: readonly { readonly policy: Policy; readonly pointer: string }[]
}

type Annotations = Readonly<Record<string, string>>

/** A profile is a file's name without `.json`, never a path. */
const PROFILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/

/** What a container's annotations wish for. One that does not exist is an error: a misspelt one would protect nothing. */
export const readWish = (annotations: Annotations): Wish => {
  const own = Object.entries(annotations).filter(([key]) => key.startsWith(PREFIX))
  const fields: { [section: string]: { [field: string]: Json } } = {}
  const policies: Wish['policies'][number][] = []
  let profile: string | undefined
  for (const [key, text] of own) {
    const pointer = point('/annotations', key)
    if (key === PROFILE) {
      if (!PROFILE_NAME.test(text))
        throw new BerthError('invalid', `annotations: ${key}: ${JSON.stringify(text)} is no name of a policy`, {
          pointer,
        })
      profile = text
      continue
    }
    if (key === INLINE) {
      const policy = loadPolicy(text, `annotation ${key}`)
      for (const name of ofTheNode(policy))
        throw new BerthError(
          'invalid',
          `annotations: ${key}: ${name} is the node's to say: in its own file or a policy beside it`,
          { pointer },
        )
      policies.push({ policy, pointer })
      continue
    }
    const field = FIELDS[key.slice(PREFIX.length)]
    if (!field || !Object.hasOwn(FIELDS, key.slice(PREFIX.length)))
      throw new BerthError('invalid', `annotations: unknown annotation "${key}"${didYouMean(key, ANNOTATIONS)}`, {
        pointer,
      })
    const [section, name, parse] = field
    // by itself first, so that an error names the annotation
    const value = parse(text)
    loadPolicy(stringifyJson({ [section]: { [name]: value } }), `annotation ${key}`)
    fields[section] = { ...fields[section], [name]: value }
  }
  if (Object.keys(fields).length > 0)
    policies.push({ policy: loadPolicy(stringifyJson(fields), 'annotations'), pointer: '/annotations' })
  return { profile, policies }
}
