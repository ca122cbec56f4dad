/**
 * Names → addresses, as the node's own /etc/hosts and name servers have them. Answers are c-ares's to judge, in this process (node:dns): their id,
 * their question, whether TCP has more. It does not look whose name is on a record: who could write it could have written the other.
 */

import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'

const TIMEOUT_MS = 5000
const TRIES = 2
/** What says that there is nothing; anything else, that nobody could tell. */
const NOTHING = ['ENODATA', 'ENOTFOUND']

export interface Found {
  readonly addresses: readonly string[]
  /** Why there are none, or not all. */
  readonly why?: string
  /** By whom it was said: hosts(5) is the node's own word. */
  readonly own: boolean
}

/** Looks a name up, in lower case. */
export type LookUp = (name: string) => Promise<Found>

/** hosts(5) */
export const parseHosts = (text: string): ReadonlyMap<string, readonly string[]> => {
  const found = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...names] = (line.split('#')[0] ?? '').trim().split(/\s+/)
    if (isIP(address) === 0) continue
    for (const name of names) {
      const known = found.get(name.toLowerCase())
      if (known) known.push(address)
      else found.set(name.toLowerCase(), [address])
    }
  }
  return found
}

/** resolv.conf(5) */
export const parseResolvConf = (
  text: string,
): { readonly servers: readonly string[]; readonly search: readonly string[] } => {
  const servers: string[] = []
  let search: readonly string[] = []
  for (const line of text.split('\n')) {
    const [key, ...values] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/)
    const [server = ''] = values
    if (key === 'nameserver' && isIP(server.split('%')[0] ?? '') !== 0) servers.push(server)
    if (key === 'search' || key === 'domain') search = values
  }
  return { servers, search }
}

const codeOf = (reason: unknown): string => {
  if (reason instanceof Error && 'code' in reason) return String(reason.code)
  throw reason
}

export const lookUpBy = (hosts: string, resolvConf: string): LookUp => {
  const local = parseHosts(hosts)
  const { servers, search } = parseResolvConf(resolvConf)
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
  if (servers.length > 0) resolver.setServers(servers)
  const ask = async (name: string): Promise<Found> => {
    const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
    const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    const codes = answers.flatMap((answer) => (answer.status === 'rejected' ? codeOf(answer.reason) : []))
    const unknown = codes.find((code) => !NOTHING.includes(code))
    return { addresses, own: false, ...(unknown === undefined ? {} : { why: `${servers.join(', ')}: ${unknown}` }) }
  }
  return async (name) => {
    if (isIP(name) !== 0) return { addresses: [name], own: true }
    const known = local.get(name)
    if (known) return { addresses: known, own: true }
    if (servers.length === 0) return { addresses: [], own: true, why: 'resolv.conf names no server' }
    const candidates = name.includes('.') ? [name] : [...search.map((domain) => `${name}.${domain}`), name]
    let nothing: Found = { addresses: [], own: false }
    for (const candidate of candidates) {
      const found = await ask(candidate)
      if (found.addresses.length > 0) return found
      nothing = found.why === undefined ? nothing : found
    }
    return nothing
  }
}
