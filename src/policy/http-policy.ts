/** What the HTTP rules of a container's policies come to, taken together: it has one proxy, which asks all of them. */

import { BerthError } from '../errors.ts'
import { isWholeHost, parseHttpRule } from './http.ts'
import { addressFamily } from './prefix.ts'
import type { HttpRules, Policy } from './types.ts'

const HTTP = 80
/** Of UDP too: HTTP/3. */
export const HTTPS = 443

interface Http extends Policy {
  readonly http: HttpRules
}

export const hasHttp = (policy: Policy): policy is Http => policy.http !== undefined

export const httpPolicies = (policies: readonly Policy[] = []): readonly Http[] => policies.filter(hasHttp)

/** Whether TLS is looked into. */
export const intercepts = (policies: readonly Policy[]): boolean =>
  policies.some(({ http }) => http?.intercept === true || http?.ca !== undefined)

/**
 * Those that say which requests leave by the node's network. All others only narrow: which ports the proxy answers, and which addresses of the
 * node's link it reaches, is decided without them, and of what is left each of them can but refuse some (S22).
 */
const granting = (policies: readonly Policy[]): readonly Http[] =>
  httpPolicies(policies).filter(({ narrows }) => narrows !== true)

const usualPorts = (grants: readonly Policy[]): readonly number[] => (intercepts(grants) ? [HTTP, HTTPS] : [HTTP])

/** Those that the proxy answers. */
export const proxiedPorts = (policies: readonly Policy[]): readonly number[] => {
  const grants = granting(policies)
  return [...new Set(grants.flatMap(({ http }) => http.ports ?? usualPorts(grants)))].sort((a, b) => a - b)
}

/** Ports of the policy whose requests are judged by it: of one that only narrows all that there are, where it names none. */
export const portsOf = ({ http, narrows }: Http, policies: readonly Policy[]): readonly number[] =>
  http.ports ?? (narrows ? proxiedPorts(policies) : usualPorts(granting(policies)))

/** RFC 2544: for benchmarks, so it is nobody's address. */
const FIRST = 0xc6120001
const MOST = 0x1ffff

const dotted = (address: number): string => [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.')

/** The addresses that stand for hosts which rules allow by name, where a policy wants these in /etc/hosts. */
export const hostNames = (policies: readonly Policy[]): Readonly<Record<string, string>> => {
  const http = httpPolicies(policies)
  if (!http.some((policy) => policy.http.hosts)) return {}
  const hosts = new Set(http.flatMap((policy) => (policy.http.allow ?? []).map((text) => parseHttpRule(text).host)))
  const names = [...hosts].filter((host) => host !== '*' && addressFamily(host) === 0).sort()
  if (names.length > MOST) throw new BerthError('invalid', `policy: http.allow names more than ${MOST} hosts`)
  return Object.fromEntries(names.map((host, index) => [dotted(FIRST + index), host]))
}

const refuse = (from: string | undefined, what: string): BerthError =>
  new BerthError('invalid', `policy: http: ${what}${from === undefined ? '' : ` (${from})`}`)

/** Throws BerthError for what can't be judged, or would say nothing. */
export const checkHttpPolicies = (policies: readonly Policy[]): void => {
  const looks = intercepts(policies)
  for (const policy of httpPolicies(policies)) {
    const { http, from } = policy
    if (http.allow === undefined && http.deny === undefined)
      throw refuse(
        from,
        'needs allow or deny, which say what requests there may be; where that is none, an empty allow',
      )
    if (http.trust?.length && !looks)
      throw refuse(from, 'trust is for a certificate authority, and there is none: add intercept or ca')
    if (looks || !portsOf(policy, policies).includes(HTTPS)) continue
    for (const text of [...(http.allow ?? []), ...(http.deny ?? [])])
      if (!isWholeHost(parseHttpRule(text)))
        throw refuse(
          from,
          `"${text}" can't be decided on port ${HTTPS}, where only the host is seen: add intercept or ca, or make it a rule of the host: * HOST`,
        )
  }
}
