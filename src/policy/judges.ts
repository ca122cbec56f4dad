/**
 * What is judged call by call, outside of the kernel: policies that a JavaScript module of the node's decides (`module`), and network rules where
 * the host has no BPF programs for them. One supervisor asks all of them, each for what it is for.
 */

import type { Confinement, ModuleCall, ModuleRules, NetworkRules, Policy } from './types.ts'

/** In the order of their numbers (native/supervisor/call.h, `enum kind`). */
export const JUDGED_CALLS = ['execve', 'connect', 'bind', 'open'] as const
const ANSWER_SECONDS = 5

export interface Judge {
  /** Where the policy comes from. */
  readonly from: string
  readonly calls: readonly ModuleCall[]
  readonly module?: ModuleRules
  readonly network?: NetworkRules
}

/** Whether the supervisor has to do what BPF programs would; hosts by name are for these alone. */
export const supervisesNetwork = ({ network, supervises, addresses }: Omit<Confinement, 'policies'>): boolean =>
  network !== undefined && network !== '' && supervises === true && addresses === undefined

const networkCalls = ({ allow, deny, allowBind, denyBind }: NetworkRules): readonly ModuleCall[] => [
  ...((allow ?? deny) ? (['connect'] as const) : []),
  ...((allowBind ?? denyBind) ? (['bind'] as const) : []),
]

/** What a module is asked for. */
export const callsOf = ({ calls = JUDGED_CALLS }: ModuleRules): readonly ModuleCall[] => calls

const ofPolicy = ({ from = '', module, network }: Policy, supervised: boolean): Judge[] => [
  ...(supervised && network ? [{ from, calls: networkCalls(network), network }] : []),
  ...(module ? [{ from, calls: callsOf(module), module }] : []),
]

export const judgesOf = (confinement: Confinement | undefined): readonly Judge[] =>
  confinement?.policies.flatMap((policy) => ofPolicy(policy, supervisesNetwork(confinement))) ?? []

/** What any of them is asked for. */
export const judgedCalls = (judges: readonly Judge[]): readonly ModuleCall[] =>
  JUDGED_CALLS.filter((call) => judges.some(({ calls }) => calls.includes(call)))

const modules = (judges: readonly Judge[]): readonly ModuleRules[] => judges.flatMap(({ module }) => module ?? [])

/** The shortest time, in milliseconds, that a module gives itself to answer in. */
export const answerMs = (judges: readonly Judge[]): number => {
  const given = modules(judges).map(({ timeout = ANSWER_SECONDS }) => timeout)
  return Math.round(1000 * (given.length === 0 ? ANSWER_SECONDS : Math.min(...given)))
}

/** The worker is started again only where nobody wants the container's end. */
export const restarts = (judges: readonly Judge[]): boolean => {
  const all = modules(judges)
  return all.length > 0 && all.every(({ onExit }) => onExit === 'restart')
}
