/** What the HTTP rules of all policies say of a request, or of a host where no more is known. Every policy has to allow it. */

import { allows, allowsHost, denies, type HttpRule, type HttpTarget, parseHttpRule, touchesHost } from '../../http.ts'
import { HTTP_COUNTERS as COUNTERS } from '../../http-counters.ts'
import type { HttpSection } from './config.ts'

/** Who refuses, and what is counted. */
export interface Refusal {
  /** Number of the counter (http-counters.ts). */
  readonly counter: number
  readonly reason: string
}

interface Judged {
  readonly from: string
  readonly allow: readonly HttpRule[] | undefined
  readonly deny: readonly HttpRule[]
  readonly texts: readonly string[]
  readonly ports: ReadonlySet<number>
  readonly narrows: boolean
  /** Of its first counter. */
  readonly base: number
}

const same = (a: HttpRule, b: HttpRule): boolean => JSON.stringify(a) === JSON.stringify(b)

export class Decider {
  readonly #policies: readonly Judged[]

  constructor(sections: readonly HttpSection[]) {
    let base = 0
    this.#policies = sections.map(({ from, allow, deny = [], ports, narrows = false }) => {
      const judged: Judged = {
        from,
        allow: allow?.map(parseHttpRule),
        deny: deny.map(parseHttpRule),
        texts: deny,
        ports: new Set(ports),
        narrows,
        base,
      }
      base += COUNTERS.rules + deny.length
      return judged
    })
  }

  /** undefined where it is allowed. */
  request(target: HttpTarget, port: number): Refusal | undefined {
    return this.#refusal(port, {
      denies: (rule) => denies(rule, target),
      allows: (rule) => allows(rule, target),
    })
  }

  /** For what can't be looked into: everything that could be asked of the host has to be allowed. */
  host(host: string, port: number): Refusal | undefined {
    return this.#refusal(port, {
      denies: (rule) => touchesHost(rule, host),
      allows: (rule) => allowsHost(rule, host),
    })
  }

  /** Whether an address is allowed as such by who may reach the node's link. */
  names(address: string, port: number): boolean {
    return this.#policies.some(
      ({ allow = [], ports, narrows }) => !narrows && ports.has(port) && allow.some(({ host }) => host === address),
    )
  }

  /** A refusal for another reason than a rule, counted for each policy that the port is of. */
  other(kind: 'malformed' | 'elsewhere', port: number, reason: string): Refusal {
    const policy = this.#policies.find(({ ports }) => ports.has(port)) ?? this.#policies[0]
    return { counter: (policy?.base ?? 0) + COUNTERS[kind], reason }
  }

  #refusal(port: number, about: { denies: (rule: HttpRule) => boolean; allows: (rule: HttpRule) => boolean }) {
    for (const { from, allow, deny, texts, ports, base } of this.#policies) {
      if (!ports.has(port)) continue
      const denied = deny.findIndex(about.denies)
      if (denied >= 0)
        return {
          // Rules that say the same are counted as the first of them.
          counter: base + COUNTERS.rules + deny.findIndex((rule) => same(rule, deny[denied] as HttpRule)),
          reason: `http.deny "${texts[denied]}" of ${from}`,
        }
      if (allow !== undefined && !allow.some(about.allows))
        return { counter: base + COUNTERS.unnamed, reason: `http.allow of ${from}: no rule allows it` }
    }
    return undefined
  }
}
