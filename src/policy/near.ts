/** Addresses that mean something else on each host. */

import { covers, type Prefix, parsePrefix } from './prefix.ts'

const prefix = (text: string): Prefix => {
  const found = parsePrefix(text)
  if (!found) throw new Error(`"${text}" is no prefix`)
  return found
}

const OWN = ['0.0.0.0/8', '127.0.0.0/8', '::/128', '::1/128'].map(prefix)
const LINK = ['169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4', 'fe80::/10', 'ff00::/8'].map(prefix)

/** The host itself. */
export const isOwn = (address: Prefix): boolean => OWN.some((own) => covers(own, address))
/** What only neighbours of the host have, such as a cloud's metadata. */
export const isOfLink = (address: Prefix): boolean => LINK.some((link) => covers(link, address))
