/**
 * HTTP rules of policies → the proxy of a container: programs that lead connections to it (src/bpf/redirect.ts), sockets on the container's
 * loopback, a process that accepts, the worker, and what the container's files have to say of it.
 */

import { posix } from 'node:path'
import { MAP, NO_PREALLOC } from '../bpf/maps.ts'
import { type Attachment, COUNTS } from '../bpf/network.ts'
import { ENDPOINT, NOTE, PROXY, REDIRECT_COUNTERS, REDIRECT_MAPS, redirectPrograms } from '../bpf/redirect.ts'
import { BerthError } from '../errors.ts'
import { parseSource } from '../policy/http.ts'
import { COUNTERS_FILE } from '../policy/http-counters.ts'
import { HTTPS, hasHttp, hostNames, httpPolicies, intercepts, portsOf, proxiedPorts } from '../policy/http-policy.ts'
import { type Addresses, withAddresses } from '../policy/network.ts'
import type { Confinement, Policy } from '../policy/types.ts'
import type { CredentialConfig, HttpConfig, HttpSection, NetworkSection } from '../policy/worker/http/config.ts'
import { extendFile } from './extend-file.ts'
import { helperRecord } from './helpers.ts'
import type { Namespaces } from './namespaces.ts'
import { OP_FLAGS, type Op, type Plan } from './ops.ts'
import type { Arch } from './process.ts'
import { startWorker } from './worker.ts'
import { DNS, workerRules } from './worker-rules.ts'

const POINTER = '/annotations'

/** Sockets between their connect and their first packet: hardly one a processor. */
const CONNECTING_MAX = 4096
/** Connections that have yet to be accepted. */
const NOTES_MAX = 16_384

/** Slots of maps, by their numbers in the programs. */
const MAPS = 410
const IP4 = 420
const IP6 = 421
/** The channel's ends: the worker's, and that of who accepts. */
const WORKER = 422
const ACCEPTOR = 423
/** By these who accepts and the container's guard see each other's end. */
const ACCEPTOR_GUARDED = 426
const GUARD = 427
const CERTIFICATE = 424
/** What the worker counts in. */
const COUNTED = 425
/** What else the worker gets. */
const FILES = 430

/** Counts what was refused before the proxy could see it. */
export const REDIRECTS = 'berth_redirects'

const O_RDONLY = 0
const O_RDWR_CREATE = 0o102
const O_RDWR_NEW = 0o302
const NOTHING = '/dev/null'
/** Where distributions keep the certificates that they trust; the last that is there counts. */
const ROOTS = ['/etc/ssl/cert.pem', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/certs/ca-certificates.crt'] as const

const map = (number: number, fields: Partial<Extract<Op, { op: 'bpf-map' }>> & { name: string }): Op => ({
  op: 'bpf-map',
  type: MAP.array,
  keySize: 4,
  valueSize: 8,
  room: 1,
  flags: 0,
  keys: new Uint8Array(0),
  values: new Uint8Array(0),
  slot: MAPS + number,
  pointer: POINTER,
  ...fields,
})

const maps: Plan = [
  map(REDIRECT_MAPS.proxy, { name: 'berth_proxy', valueSize: PROXY.size }),
  map(REDIRECT_MAPS.counts, { name: REDIRECTS, room: REDIRECT_COUNTERS.all }),
  map(REDIRECT_MAPS.cookies, {
    name: 'berth_going',
    type: MAP.lruHash,
    keySize: 8,
    valueSize: ENDPOINT.size,
    room: CONNECTING_MAX,
  }),
  map(REDIRECT_MAPS.connections, {
    name: 'berth_led',
    type: MAP.hash,
    keySize: ENDPOINT.size,
    valueSize: NOTE.size,
    room: NOTES_MAX,
    flags: NO_PREALLOC,
  }),
]

const attach = (path: string, { type, attach: where, program }: Attachment): Op => ({
  op: 'bpf-attach',
  path,
  name: 'berth_redirect',
  type,
  attach: where,
  program,
  maps: [MAPS, MAPS + COUNTS, MAPS + REDIRECT_MAPS.cookies, MAPS + REDIRECT_MAPS.connections],
  pointer: POINTER,
})

/** The last programs of the container's cgroup: all others are to see where a connection goes, not where it is led. */
export const planRedirect = ({ policies }: Confinement, path: string): Op[] => {
  const ports = proxiedPorts(policies)
  if (ports.length === 0) return []
  const datagrams = [...new Set([...ports, HTTPS])]
  return [...maps, ...redirectPrograms(ports, datagrams).map((program) => attach(path, program))]
}

export interface HttpInput {
  readonly confinement: Confinement | undefined
  readonly namespaces: Namespaces
  readonly stateDir: string
  /** What credentials from the environment are; undefined where nobody's environment is to be had. */
  readonly secrets: Readonly<Record<string, string>> | undefined
  readonly arch: Arch
}

export interface HttpPlan {
  /** Outside, before the container's process is made: the worker. */
  readonly before: readonly Op[]
  /** In it, once its file system is there. */
  readonly inside: readonly Op[]
  /** Outside, once it is parked: connections can come. */
  readonly after: readonly Op[]
  /** The slots that its guard sees the proxy's end by, then. */
  readonly guard: readonly number[]
}

const NONE: HttpPlan = { before: [], inside: [], after: [], guard: [] }

/** Descriptors of the worker, in the order in which they are opened. */
class Files {
  readonly ops: Op[] = []
  readonly slots: number[] = []

  /** Those of the paths that are there, the last of which counts. Returns the worker's number of it. */
  add(...paths: readonly string[]): number {
    const slot = FILES + this.slots.length
    const [first = NOTHING, ...others] = paths
    this.ops.push({ op: 'open', path: first, oflags: O_RDONLY, mode: 0, slot, pointer: POINTER })
    for (const path of others)
      this.ops.push({ op: 'open', path, oflags: O_RDONLY, mode: 0, slot, opFlags: OP_FLAGS.tolerate })
    return this.put(slot)
  }

  /** One that is open. */
  put(slot: number): number {
    this.slots.push(slot)
    return this.slots.length - 1
  }
}

const sectionsOf = (policies: readonly Policy[]): HttpSection[] =>
  httpPolicies(policies).map((policy) => {
    const { http, from = '', narrows } = policy
    const { allow, deny } = http
    const section = { from, ports: portsOf(policy, policies), ...(narrows ? { narrows } : {}) }
    return { ...section, ...(allow ? { allow } : {}), ...(deny ? { deny } : {}) }
  })

const networkOf = (policies: readonly Policy[], addresses: Addresses): NetworkSection[] =>
  policies.flatMap((policy) => {
    const { network, from = '' } = policy
    if (network === undefined) return []
    const allow = network.allow?.flatMap((rule) => withAddresses(rule, addresses))
    const requests = hasHttp(policy) && policy.http.allow ? portsOf(policy, policies) : undefined
    return [
      {
        from,
        ...(allow ? { allow } : {}),
        ...(network.deny ? { deny: network.deny } : {}),
        ...(requests ? { requests } : {}),
      },
    ]
  })

const credentialsOf = (policies: readonly Policy[], files: Files, secrets: HttpInput['secrets']): CredentialConfig[] =>
  httpPolicies(policies).flatMap((policy) =>
    (policy.http.credentials ?? []).map(({ request, attach: how, from, mode = 'replace' }) => {
      const source = parseSource(from)
      if (source.kind === 'env' && secrets === undefined)
        throw new BerthError(
          'unsupported',
          `policy: http.credentials: env:${source.name} is for the command line, where there is an environment of the caller's: use file:/PATH`,
        )
      const own = source.kind === 'file' ? { fd: files.add(source.path) } : { value: secrets?.[source.name] ?? '' }
      return { request, ports: portsOf(policy, policies), attach: how, mode, ...own }
    }),
  )

/** The names of the environment that credentials come from. */
export const environmentOf = (confinement: Confinement | undefined): readonly string[] =>
  httpPolicies(confinement?.policies).flatMap(({ http }) =>
    (http.credentials ?? []).flatMap(({ from }) => {
      const source = parseSource(from)
      return source.kind === 'env' ? [source.name] : []
    }),
  )

/** What the worker is told and given. */
const workerOf = ({ confinement, namespaces, stateDir, secrets }: HttpInput): { files: Files; config: HttpConfig } => {
  const { policies = [] } = confinement ?? {}
  const files = new Files()
  const given = policies.find(({ http }) => http?.ca)?.http?.ca
  const roots = policies.find(({ http }) => http?.roots)?.http?.roots
  files.ops.push(
    {
      op: 'open',
      path: posix.join(stateDir, COUNTERS_FILE),
      oflags: O_RDWR_CREATE,
      mode: 0o600,
      slot: COUNTED,
      pointer: POINTER,
    },
    {
      op: 'open',
      path: posix.join(stateDir, 'http.ca'),
      oflags: O_RDWR_NEW,
      mode: 0o600,
      slot: CERTIFICATE,
      pointer: POINTER,
    },
  )
  const config: HttpConfig = {
    policies: sectionsOf(policies),
    network: networkOf(policies, confinement?.addresses ?? {}),
    names: hostNames(policies),
    hostNetwork: !namespaces.has('network'),
    channel: files.put(WORKER),
    counters: files.put(COUNTED),
    publish: files.put(CERTIFICATE),
    resolvConf: files.add(NOTHING, '/etc/resolv.conf'),
    hosts: files.add(NOTHING, '/etc/hosts'),
    roots: roots === undefined ? files.add(NOTHING, ...ROOTS) : files.add(roots),
    intercept: !intercepts(policies) ? '' : given ? 'given' : 'made',
    ...(given ? { authority: { certificate: files.add(given.certificate), key: files.add(given.key) } } : {}),
    credentials: credentialsOf(policies, files, secrets),
  }
  return { files, config }
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const insideOf = (policies: readonly Policy[]): Op[] => {
  const hosts = Object.entries(hostNames(policies))
  const bundles = [...new Set(httpPolicies(policies).flatMap(({ http }) => http.trust ?? []))]
  const lines = hosts.map(([address, host]) => `${address} ${host}\n`).join('')
  return [
    ...(hosts.length === 0 ? [] : [extendFile('/etc/hosts', { head: text(lines), make: 1 })]),
    ...bundles.map((path) => extendFile(path, { tail: text('\n'), from: CERTIFICATE })),
  ]
}

export const planHttp = (input: HttpInput): HttpPlan => {
  const { confinement, namespaces } = input
  const { policies = [] } = confinement ?? {}
  if (httpPolicies(policies).length === 0) return NONE
  const inside = insideOf(policies)
  if (inside.length > 0 && !namespaces.has('mount'))
    throw new BerthError('invalid', "policy: http: hosts and trust need a mount namespace that is not the host's", {
      pointer: '/linux/namespaces',
    })
  const { files, config } = workerOf(input)
  return {
    before: [
      { op: 'socket-pair', one: WORKER, other: ACCEPTOR },
      ...files.ops,
      startWorker(input.stateDir, {
        entry: 'http-proxy.js',
        helper: 'http-worker',
        log: 'http.log',
        config,
        fds: files.slots,
        rules: workerRules(input.confinement?.landlock ?? 0, input.arch, [
          ...proxiedPorts(input.confinement?.policies ?? []),
          DNS,
        ]),
      }),
      // What is secret is not for the process that is made next.
      ...files.slots.filter((slot) => slot !== CERTIFICATE).map((slot): Op => ({ op: 'close', slot })),
    ],
    inside,
    after: [
      { op: 'http-listen', map: MAPS + REDIRECT_MAPS.proxy, ip4: IP4, ip6: IP6, pointer: POINTER },
      { op: 'socket-pair', one: ACCEPTOR_GUARDED, other: GUARD },
      {
        op: 'http-accept',
        ip4: IP4,
        ip6: IP6,
        connections: MAPS + REDIRECT_MAPS.connections,
        channel: ACCEPTOR,
        guard: ACCEPTOR_GUARDED,
        record: helperRecord(input.stateDir, 'http-accept'),
        pointer: POINTER,
      },
      ...[
        ...Object.values(REDIRECT_MAPS).map((number) => MAPS + number),
        IP4,
        IP6,
        ACCEPTOR,
        ACCEPTOR_GUARDED,
        CERTIFICATE,
      ].map((slot): Op => ({ op: 'close', slot })),
    ],
    guard: [GUARD],
  }
}
