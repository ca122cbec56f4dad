/** Policy documents: spec-schemas/policy.schema.json and node.schema.json. */

import type { SeccompOperator } from '../spec/types.ts'
import type { Addresses } from './network.ts'
import type { Protection } from './protections.ts'

/** Where one of the first three is given, nothing that none of them names can be opened. */
export interface FileRules {
  readonly read?: readonly string[]
  readonly write?: readonly string[]
  readonly execute?: readonly string[]
  readonly deny?: readonly string[]
}

/**
 * Texts of network.ts. Where `allow` is given no other destination is allowed; the same of `allowBind`, for ports. `hosts`: what names stand for is
 * put into /etc/hosts; `refresh`: seconds after which they are looked up again.
 */
export interface NetworkRules {
  readonly allow?: readonly string[]
  readonly deny?: readonly string[]
  readonly allowBind?: readonly string[]
  readonly denyBind?: readonly string[]
  readonly hosts?: boolean
  readonly refresh?: number
}

/** A secret that the proxy attaches; texts of http.ts. */
export interface HttpCredential {
  readonly request: string
  readonly attach: string
  readonly from: string
  readonly mode?: 'replace' | 'add-only'
}

/** Texts of http.ts. `ca`, `roots` and `credentials` are of the node, and in no annotation. */
export interface HttpRules {
  readonly allow?: readonly string[]
  readonly deny?: readonly string[]
  readonly ports?: readonly number[]
  readonly hosts?: boolean
  readonly intercept?: boolean
  readonly ca?: { readonly certificate: string; readonly key: string }
  readonly trust?: readonly string[]
  readonly roots?: string
  readonly credentials?: readonly HttpCredential[]
}

export interface Limits {
  /** Bytes. */
  readonly memory?: number
  readonly processes?: number
  readonly openFiles?: number
  /** Of one CPU's time. */
  readonly cpus?: number
  /** Seconds from the start. */
  readonly maxDuration?: number
  /** Bytes that it may write to its standard output and error, together. */
  readonly output?: number
}

/** Of an argument, in config.json's own terms. */
export interface SyscallCondition {
  readonly index: number
  readonly op: SeccompOperator
  readonly value: number
  readonly valueTwo?: number
}

/** Refused: names and groups of syscalls.ts, and calls whose arguments are so (all of a rule's). */
export interface SyscallPolicy {
  readonly deny?: readonly string[]
  readonly rules?: readonly { readonly names: readonly string[]; readonly args: readonly SyscallCondition[] }[]
}

/** Kinds of system calls that a module can judge. */
export type ModuleCall = 'execve' | 'connect' | 'bind' | 'open'

/** A JavaScript module of the node's that judges system calls; of the node alone, as a file of its own is run. */
export interface ModuleRules {
  /** Absolute. */
  readonly path: string
  /** All of them, where none are named. */
  readonly calls?: readonly ModuleCall[]
  /** Seconds that it has for a verdict. */
  readonly timeout?: number
  /** What becomes of the container when the module's process ends. */
  readonly onExit?: 'kill' | 'restart'
}

export interface Policy {
  /** Where it comes from, once that is known; no part of the document. */
  readonly from?: string
  /** Others say what requests there may be at all, and this only which of these; no part of the document. */
  readonly narrows?: boolean
  readonly description?: string
  readonly bestEffort?: readonly Protection[]
  readonly files?: FileRules
  readonly tcp?: { readonly connect?: readonly number[]; readonly bind?: readonly number[] }
  readonly network?: NetworkRules
  readonly http?: HttpRules
  readonly scopes?: { readonly abstractSockets?: boolean; readonly signals?: boolean }
  readonly limits?: Limits
  readonly syscalls?: SyscallPolicy
  readonly module?: ModuleRules
}

/** The node's own file. */
export interface NodeConfig {
  readonly policy?: Policy
  /** Absolute. */
  readonly policies?: string
  /** CRIU's path, absolute. */
  readonly criu?: string
}

/** What holds for a container: each of its policies by itself, and what the host's kernel has for them. */
export interface Confinement {
  /** The node's, the profile's, the annotations'; those that say nothing are not among them. */
  readonly policies: readonly Policy[]
  /** ABI of Landlock, 0 where it is not there. */
  readonly landlock: number
  /** Why network and HTTP rules can't be enforced, '' where they can; undefined where nobody asked. */
  readonly network?: string
  /** A supervisor can, for network rules, in its stead. */
  readonly supervises?: boolean
  /** What the names of hosts in network rules stand for; undefined where there are none. */
  readonly addresses?: Addresses
}

/** Whether it says that something of the network is to be used. What only refuses, or allows nothing, says that it is not. */
export const allowsNetwork = ({ network, tcp }: Policy): boolean =>
  [network?.allow, network?.allowBind, tcp?.connect, tcp?.bind].some((list) => list !== undefined && list.length > 0)

/** The lists that let something be opened. */
export const FILE_KINDS = ['read', 'write', 'execute'] as const
export const hasFileLists = ({ files }: Policy): boolean => FILE_KINDS.some((kind) => files?.[kind] !== undefined)
