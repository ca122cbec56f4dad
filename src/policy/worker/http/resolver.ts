/** Names → addresses, as the node's own /etc/hosts and name servers have them. */

import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'

/** As long as an answer is believed. */
const CACHE_MS = 30_000
const CACHE_MAX = 4096
const TIMEOUT_MS = 5000
const TRIES = 2

export interface NameService {
  /** Every address of the name; none where it has none, or nobody could tell. */
  readonly addressesOf: (name: string) => Promise<readonly string[]>
}

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

const orNone = (error: unknown): string[] => {
  if (error instanceof Error && 'code' in error) return []
  throw error
}

export const nameService = (hosts: string, resolvConf: string): NameService => {
  const local = parseHosts(hosts)
  const { servers, search } = parseResolvConf(resolvConf)
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
  if (servers.length > 0) resolver.setServers(servers)
  const ask = async (name: string): Promise<string[]> => {
    const [ip4, ip6] = await Promise.all([resolver.resolve4(name).catch(orNone), resolver.resolve6(name).catch(orNone)])
    return [...ip4, ...ip6]
  }
  const look = async (name: string): Promise<readonly string[]> => {
    if (isIP(name) !== 0) return [name]
    const known = local.get(name)
    if (known) return known
    if (servers.length === 0) return []
    const candidates = name.includes('.') ? [name] : [...search.map((domain) => `${name}.${domain}`), name]
    for (const candidate of candidates) {
      const found = await ask(candidate)
      if (found.length > 0) return found
    }
    return []
  }
  const cache = new Map<string, { readonly until: number; readonly answer: Promise<readonly string[]> }>()
  return {
    addressesOf: (name) => {
      const now = Date.now()
      const cached = cache.get(name)
      if (cached && cached.until > now) return cached.answer
      const answer = look(name)
      cache.delete(name)
      if (cache.size >= CACHE_MAX) cache.delete(cache.keys().next().value ?? '')
      cache.set(name, { until: now + CACHE_MS, answer })
      // What nobody could tell is asked again.
      answer.then(
        (found) => found.length === 0 && cache.delete(name),
        () => cache.delete(name),
      )
      return answer
    },
  }
}
