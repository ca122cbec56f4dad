/** Whether a container has a policy at all: what each create asks, so this imports nothing of policies but their types. */

import type { RunStep } from '../controller/types.ts'
import type { HostFacts } from '../plan/facts.ts'
import { type Op, READ_FLAGS } from '../plan/ops.ts'
import type { Spec } from '../spec/types.ts'
import type { Confinement } from './types.ts'

/** Annotations of this kind are berth's, and each has to be one that it knows. */
export const PREFIX = 'io.berth.'
/** What of a policy is enforced, in the container's state. */
export const ENFORCED = `${PREFIX}enforced`
/** What ended a container, in its state: exit, signal, oom, timeout, output or policy. */
export const REASON = `${PREFIX}reason`
/** The node's own file, where no other is named. */
export const NODE_CONFIG = '/etc/berth/config.json'

/** Of a policy or the node's file, in bytes. */
export const MAX_POLICY = 1 << 20

/** Result: the node's file, absent where there is none. */
export const nodeOp = (path: string): Op => ({ op: 'read', path, max: MAX_POLICY, flags: READ_FLAGS.missingOk })

export interface NodeFile {
  readonly path: string
  /** What `nodeOp` read. */
  readonly bytes: Uint8Array | undefined
}

/** A policy that the caller gives. */
export interface GivenPolicy {
  readonly path: string
  readonly bytes: Uint8Array
}

export interface Circumstances {
  readonly given?: GivenPolicy | undefined
  /** Spare asking the host what it is known to have. */
  readonly facts?: HostFacts
}

/** The policies that hold for a container; undefined where there are none. */
export const confinementOf = async (
  step: RunStep,
  { annotations = {} }: Pick<Spec, 'annotations'>,
  node: NodeFile,
  circumstances: Circumstances = {},
): Promise<Confinement | undefined> => {
  const asked = Object.keys(annotations).some((key) => key.startsWith(PREFIX))
  if (node.bytes === undefined && !asked && circumstances.given === undefined) return undefined
  const { resolvePolicies } = await import('./resolve.ts')
  return await resolvePolicies(step, annotations, node, circumstances)
}
