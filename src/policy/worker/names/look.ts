/** Looks all names up at once, and judges what name servers say. */

import { isOfLink, isOwn } from '../../near.ts'
import { parsePrefix } from '../../prefix.ts'
import type { Found, LookUp } from '../resolver.ts'

/** Of one name. */
const MAX_ADDRESSES = 256

/**
 * What a name server must not put in reach by a name: the node or the container itself, and what only neighbours have. A rule can name such an
 * address, and so can the node's /etc/hosts.
 */
const isNear = (address: string): boolean => {
  const found = parsePrefix(address)
  return found === undefined || isOwn(found) || isOfLink(found)
}

const judged = ({ addresses, own, why }: Found): { addresses: readonly string[]; why?: string } => {
  const good = own ? addresses : addresses.filter((address) => !isNear(address))
  const [bad] = addresses.filter((address) => !good.includes(address))
  const reason = bad === undefined ? why : `a name server says ${bad}, which is no address of another host`
  return {
    addresses: [...new Set(good)].sort().slice(0, MAX_ADDRESSES),
    ...(reason === undefined ? {} : { why: reason }),
  }
}

export type Looked = Readonly<Record<string, { readonly addresses: readonly string[]; readonly why?: string }>>

export const lookAll = async (names: readonly string[], lookUp: LookUp): Promise<Looked> =>
  Object.fromEntries(await Promise.all(names.map(async (name) => [name, judged(await lookUp(name))] as const)))
