/** Names of hosts, and addresses in their place. */

import { addressFamily } from './prefix.ts'

const LABEL = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?'
const NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`)
const MAX_NAME = 253

/** A host as it is compared; undefined for what is none. */
export const canonicalHost = (text: string): string | undefined => {
  const host = text.toLowerCase()
  const [, inside] = /^\[([^\]]*)\]$/.exec(host) ?? []
  if (inside !== undefined)
    return addressFamily(inside) === 6 && !inside.includes('%')
      ? new URL(`http://${host}/`).hostname.slice(1, -1)
      : undefined
  if (addressFamily(host) === 4) return host
  const name = host.endsWith('.') ? host.slice(0, -1) : host
  // All digits would be an address to some and a name to others.
  return name.length <= MAX_NAME && NAME.test(name) && !/^[0-9.]+$/.test(name) ? name : undefined
}
