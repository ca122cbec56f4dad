/**
 * What names of hosts in network rules stand for, on this node and now. Answers of name servers are whoever's who has the name, and that may be who
 * made the container: they are read by a worker, which ends with its answer, and never here.
 */

import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { hostArch } from '../host/arch.ts'
import { OP_FLAGS, type Op, type Plan } from '../plan/ops.ts'
import { DIST } from '../plan/worker.ts'
import { DNS, workerRules } from '../plan/worker-rules.ts'
import { type Addresses, hostsOf } from './network.ts'
import { addressFamily } from './prefix.ts'
import type { Policy } from './types.ts'
import type { NamesConfig } from './worker/names/config.ts'

/** The program, beside the controller in a build. */
export const NAMES_ENTRY = 'names.js'
const NOTHING = '/dev/null'
const O_RDONLY = 0
/** A directory of every host's that nothing of ours lies in. */
const SCRATCH = '/sys'
/** It gives up by itself before (src/policy/worker/resolver.ts). */
const TIMEOUT_MS = 60_000
const MAX_ANSWER = 1 << 20
const [RESOLV_CONF, HOSTS] = [0, 1]
/** Each is two questions, all at once. */
const MAX_NAMES = 256

const open = (slot: number, path: string, opFlags: number): Op => ({
  op: 'open',
  path,
  oflags: O_RDONLY,
  mode: 0,
  slot,
  opFlags,
})

/** Opens what names are looked up by: /etc/resolv.conf and /etc/hosts, where they are there. */
export const openSources = (resolvConf: number, hosts: number): Plan =>
  (
    [
      [resolvConf, '/etc/resolv.conf'],
      [hosts, '/etc/hosts'],
    ] as const
  ).flatMap(([slot, path]) => [open(slot, NOTHING, 0), open(slot, path, OP_FLAGS.tolerate)])

const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

type Answer = Readonly<Record<string, { readonly addresses: readonly string[]; readonly why?: string }>>

/** Throws BerthError where one of them stands for nothing. */
export const lookUpHosts = async (
  step: RunStep,
  policies: readonly Policy[],
  landlock: number,
): Promise<Addresses | undefined> => {
  const named = policies.flatMap(({ network = {}, from = '' }) => hostsOf(network).map((name) => ({ name, from })))
  if (named.length === 0) return undefined
  const names = [...new Set(named.map(({ name }) => name))]
  if (names.length > MAX_NAMES)
    throw new BerthError(
      'invalid',
      `policy: network.allow: names ${names.length} hosts, and at most ${MAX_NAMES} are looked up`,
    )
  const config: NamesConfig = { names, resolvConf: RESOLV_CONF, hosts: HOSTS }
  const plan: Plan = [
    ...openSources(RESOLV_CONF, HOSTS),
    {
      op: 'ask-worker',
      dist: DIST,
      entry: NAMES_ENTRY,
      config: text(config),
      fds: [RESOLV_CONF, HOSTS],
      scratch: SCRATCH,
      timeoutMs: TIMEOUT_MS,
      max: MAX_ANSWER,
      ...workerRules(landlock, hostArch(), [DNS]),
    },
  ]
  const answer = JSON.parse((await step('names', plan)).text(plan.length - 1) ?? '{}') as Answer
  return Object.fromEntries(
    named.map(({ name, from }) => {
      const { addresses = [], why } = answer[name] ?? {}
      const good = addresses.filter((address) => addressFamily(address) !== 0)
      if (good.length === 0)
        throw new BerthError(
          'invalid',
          `policy: network.allow: "${name}" of ${from} stands for no address${why === undefined ? '' : ` (${why})`}`,
        )
      return [name, good]
    }),
  )
}
