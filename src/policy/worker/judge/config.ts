/** What the supervisor hands to the worker that judges a container's calls, by modules and by network rules. Numbers of descriptors are the worker's. */

import type { ModuleCall, NetworkRules } from '../../types.ts'

export interface ModuleConfig {
  readonly calls: readonly ModuleCall[]
  /** Where it is on the node: for messages. */
  readonly path: string
  /** Its text. */
  readonly source: number
}

/** Network rules of one policy, where nothing in the kernel enforces them. */
export interface RulesConfig {
  readonly calls: readonly ModuleCall[]
  readonly network: NetworkRules
}

export interface WorkerConfig {
  /** To the supervisor. */
  readonly channel: number
  readonly judges: readonly (ModuleConfig | RulesConfig)[]
}

const DESCRIPTORS = new Set(['channel', 'source'])

/** Descriptors are numbered from 0 as it is written; `first` is the worker's number of that. */
export const parseConfig = (text: string, first: number): WorkerConfig =>
  JSON.parse(text, (name, value: unknown) =>
    typeof value === 'number' && DESCRIPTORS.has(name) ? value + first : value,
  ) as WorkerConfig
