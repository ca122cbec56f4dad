/** What the monitor hands to the worker that is the HTTP proxy of a container. Numbers of descriptors are the worker's. */

/** The HTTP rules of one policy, as written. */
export interface HttpSection {
  /** Where the policy comes from. */
  readonly from: string
  readonly allow?: readonly string[]
  readonly deny?: readonly string[]
  readonly ports: readonly number[]
  /** Others say where requests may go at all. */
  readonly narrows?: boolean
}

/** The network rules of one policy, which hold for the proxy's own connections too. */
export interface NetworkSection {
  readonly from: string
  readonly allow?: readonly string[]
  readonly deny?: readonly string[]
  /** Ports that `allow` is not for: what the policy's HTTP rules allow there is named by them. */
  readonly requests?: readonly number[]
}

export interface CredentialConfig {
  /** METHOD HOST[/PATH] */
  readonly request: string
  /** Those of its policy. */
  readonly ports: readonly number[]
  readonly attach: string
  readonly mode: 'replace' | 'add-only'
  /** A file that it is in, or itself. */
  readonly fd?: number
  readonly value?: string
}

export interface HttpConfig {
  readonly policies: readonly HttpSection[]
  readonly network: readonly NetworkSection[]
  /** Addresses that stand for a host, which the container has no other address of. */
  readonly names: Readonly<Record<string, string>>
  /** The container has the host's network: its loopback is where the proxy is, too. */
  readonly hostNetwork: boolean
  readonly credentials: readonly CredentialConfig[]
  /** TLS is looked into, with a certificate authority of the node's or one made now; '' where it is not. */
  readonly intercept: 'given' | 'made' | ''
  /** Certificate and key of the former. */
  readonly authority?: { readonly certificate: number; readonly key: number }
  /** Where the authority's certificate is written, before the container is made. */
  readonly publish?: number
  readonly resolvConf: number
  readonly hosts: number
  /** Certificates that servers are verified with. */
  readonly roots: number
  /** A u64 for each counter. */
  readonly counters: number
  /** Where accepted connections come from. */
  readonly channel: number
}

const DESCRIPTORS = new Set([
  'channel',
  'counters',
  'publish',
  'resolvConf',
  'hosts',
  'roots',
  'fd',
  'certificate',
  'key',
])

/** Descriptors are numbered from 0 as it is written; `first` is the worker's number of that. */
export const parseConfig = (text: string, first: number): HttpConfig =>
  JSON.parse(text, (name, value: unknown) =>
    typeof value === 'number' && DESCRIPTORS.has(name) ? value + first : value,
  ) as HttpConfig
