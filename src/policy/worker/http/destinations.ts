/** Where the proxy's own connections may go: what network rules say of the container's holds for them too, as nothing in the kernel would. */

import { isIP } from 'node:net'
import { isOfLink, isOwn } from '../../near.ts'
import { type Destination, isWithin, parseDestination } from '../../network.ts'
import { covers, parsePrefix } from '../../prefix.ts'
import type { NetworkSection } from './config.ts'

/** As the kernel compares addresses: a mapped one is the IPv4 address that it stands for. */
export const sameAddress = (a: string, b: string): boolean => {
  const [x, y] = [parsePrefix(a), parsePrefix(b)]
  return x !== undefined && y !== undefined && covers(x, y) && covers(y, x)
}

interface Rules {
  readonly from: string
  readonly allow: readonly Destination[] | undefined
  readonly deny: readonly Destination[]
  readonly requests: ReadonlySet<number>
}

export class Destinations {
  readonly #rules: readonly Rules[]
  readonly #hostNetwork: boolean

  constructor(sections: readonly NetworkSection[], hostNetwork: boolean) {
    this.#rules = sections.map(({ from, allow, deny = [], requests }) => ({
      from,
      allow: allow?.map(parseDestination),
      deny: deny.map(parseDestination),
      requests: new Set(requests),
    }))
    this.#hostNetwork = hostNetwork
  }

  /** Why there can be no connection to an address, which `named` says that a rule names as such; undefined where there can. */
  refusal(address: string, port: number, named: boolean): string | undefined {
    const target = parsePrefix(address)
    if (target === undefined || isIP(address) === 0) return `${address} is no address`
    if (!this.#hostNetwork && isOwn(target)) return `${address} is the node itself, not the container`
    if (!this.#hostNetwork && !named && isOfLink(target))
      return `${address} is of the node's link only: a rule has to name it`
    const wanted: Destination = { protocols: ['tcp'], prefixes: [target], ports: [port] }
    for (const { from, allow, deny, requests } of this.#rules) {
      if (deny.some((rule) => isWithin(wanted, [rule]))) return `network.deny of ${from}: tcp://${address}:${port}`
      if (allow && !requests.has(port) && !isWithin(wanted, allow))
        return `network.allow of ${from}: no rule allows tcp://${address}:${port}`
    }
    return undefined
  }
}
