/** The smallest policy that lets a run pass, from what was seen of it. */

import { posix } from 'node:path'
import type { Limits, NetworkRules, Policy } from '../policy/types.ts'
import { type Learned, type Lists, learnFiles, type Options, pruned } from './files.ts'
import type { Observation } from './observed.ts'

export interface Host {
  /** ABI of Landlock. */
  readonly landlock: number
  /** Network rules can be enforced. */
  readonly network: boolean
}

/** The most that the run had of each; undefined where that is not known. */
export interface Peaks {
  readonly memory: number | undefined
  readonly processes: number | undefined
}

export interface Run {
  readonly observations: readonly Observation[]
  readonly peaks: Peaks
  /** In words, for the policy's description. */
  readonly what: string
  /** Its pid namespace is its own, so that it has nobody else to send signals to. */
  readonly ownPids: boolean
}

const MIB = 1 << 20
const LEAST_MEMORY = 16 * MIB
const LEAST_PROCESSES = 4
/** ABIs of Landlock. */
const SINCE = { files: 1, tcp: 4, scopes: 6 } as const

const limitsOf = ({ memory, processes }: Peaks): Limits => ({
  ...(memory === undefined ? {} : { memory: Math.ceil(Math.max((memory * 5) / 4, LEAST_MEMORY) / MIB) * MIB }),
  ...(processes === undefined ? {} : { processes: Math.max(processes * 2, LEAST_PROCESSES) }),
})

/** Numbers within texts by their value. */
const byValue = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true })
const unique = (items: Iterable<string>): string[] => [...new Set(items)].sort(byValue)

/** Where the kernel takes free ports from (ip_local_port_range). */
const FIRST_FREE = 32_768

/**
 * A destination on this host at a port that the kernel chose for a socket of the run: it chooses another one the next time, so that the address
 * stands for all its ports.
 */
const lasting = (destination: string, free: ReadonlySet<string>): string => {
  const [, scheme = '', address, port] = /^(tcp|udp)(:\/\/(?:127\.[\d.]+|\[::1\])):(\d+)$/.exec(destination) ?? []
  return free.has(scheme) && Number(port) >= FIRST_FREE ? `${scheme}${address}` : destination
}

const networkOf = (observations: readonly Observation[]): Required<Pick<NetworkRules, 'allow' | 'allowBind'>> => ({
  allow: unique(
    observations.flatMap(({ seen, what }) => (seen === 'connect' ? [lasting(what, freePorts(observations))] : [])),
  ),
  // A datagram socket of any free port is a client's, which has that right already.
  allowBind: unique(
    observations.flatMap(({ seen, what }) => (seen === 'bind' && what !== 'udp://0' ? [posix.basename(what)] : [])),
  ),
})

/** The schemes of which the run has left a port to the kernel. */
const freePorts = (observations: readonly Observation[]): ReadonlySet<string> =>
  new Set(observations.flatMap(({ seen, what }) => (seen === 'bind' && what.endsWith('//0') ? [what.slice(0, 3)] : [])))

/** The ports alone, as Landlock knows them. */
const tcpOf = (observations: readonly Observation[]): NonNullable<Policy['tcp']> => {
  const ports = (kind: 'connect' | 'bind') =>
    unique(
      observations.flatMap(({ seen, what }) =>
        seen === kind && what.startsWith('tcp:') ? [/\d+$/.exec(what)?.[0] ?? ''] : [],
      ),
    ).map(Number)
  return { connect: ports('connect'), bind: ports('bind') }
}

const filesOf = ({ execute, read, write }: Lists): NonNullable<Policy['files']> => ({
  ...(execute.length > 0 ? { execute } : {}),
  ...(read.length > 0 ? { read } : {}),
  ...(write.length > 0 ? { write } : {}),
})

export const learnPolicy = (
  { observations, peaks, what, ownPids }: Run,
  { landlock, network }: Host,
  options: Options,
): { readonly policy: Policy } & Omit<Learned, 'lists'> => {
  const { lists, ...learned } = learnFiles(observations, options)
  const limits = limitsOf(peaks)
  const scopes = {
    ...(observations.some(({ seen }) => seen === 'abstract') ? {} : { abstractSockets: true }),
    ...(ownPids ? { signals: true } : {}),
  }
  return {
    policy: {
      description: `learned from: ${what}`,
      ...(landlock >= SINCE.files ? { files: filesOf(lists) } : {}),
      ...(network ? { network: networkOf(observations) } : landlock >= SINCE.tcp ? { tcp: tcpOf(observations) } : {}),
      ...(landlock >= SINCE.scopes && Object.keys(scopes).length > 0 ? { scopes } : {}),
      ...(Object.keys(limits).length > 0 ? { limits } : {}),
    },
    ...learned,
  }
}

const most = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.max(a, b)

/** What lets both runs pass. Of an earlier policy stays what learning does not know. */
export const mergePolicies = (earlier: Policy, learned: Policy): Policy => {
  const files = [earlier.files ?? {}, learned.files ?? {}]
  const list = (name: 'execute' | 'read' | 'write') => new Set(files.flatMap((rules) => rules[name] ?? []))
  const lists = pruned({ execute: list('execute'), read: list('read'), write: list('write') })
  const scopes = (['abstractSockets', 'signals'] as const).filter(
    (name) => earlier.scopes?.[name] === true && learned.scopes?.[name] === true,
  )
  const names = Object.keys({ ...earlier.limits, ...learned.limits }) as (keyof Limits)[]
  const limits = names.map((name) => [name, most(earlier.limits?.[name], learned.limits?.[name])])
  return {
    ...earlier,
    ...learned,
    ...(earlier.description === undefined ? {} : { description: earlier.description }),
    ...(earlier.files || learned.files ? { files: { ...earlier.files, ...filesOf(lists) } } : {}),
    ...(earlier.network || learned.network ? { network: mergeNetworks(earlier.network, learned.network) } : {}),
    ...(earlier.tcp || learned.tcp ? { tcp: mergePorts(earlier.tcp, learned.tcp) } : {}),
    ...(earlier.scopes || learned.scopes ? { scopes: Object.fromEntries(scopes.map((name) => [name, true])) } : {}),
    ...(limits.length > 0 ? { limits: Object.fromEntries(limits) } : {}),
  }
}

/** A list of what is denied was written by a person, and lets all else pass: it stays alone. */
const mergeNetworks = (earlier: NetworkRules = {}, learned: NetworkRules = {}): NetworkRules => ({
  ...earlier,
  ...(earlier.deny ? {} : { allow: unique([...(earlier.allow ?? []), ...(learned.allow ?? [])]) }),
  ...(earlier.denyBind ? {} : { allowBind: unique([...(earlier.allowBind ?? []), ...(learned.allowBind ?? [])]) }),
})

const mergePorts = (earlier: Policy['tcp'] = {}, learned: Policy['tcp'] = {}): NonNullable<Policy['tcp']> => {
  const both = (kind: 'connect' | 'bind') =>
    [...new Set([...(earlier[kind] ?? []), ...(learned[kind] ?? [])])].sort((a, b) => a - b)
  return { connect: both('connect'), bind: both('bind') }
}

/** The document, with sizes as a person writes them. */
export const policyText = ({ limits, ...policy }: Policy): string => {
  const memory = limits?.memory
  const written = memory !== undefined && memory % MIB === 0 ? { memory: `${memory / MIB}M` } : {}
  return `${JSON.stringify({ ...policy, ...(limits ? { limits: { ...limits, ...written } } : {}) }, null, 2)}\n`
}
