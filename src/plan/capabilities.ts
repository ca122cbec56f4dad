/** process.capabilities → the five sets. */

import { capabilityMask, capabilityNames } from '../spec/capabilities.ts'
import type { Capabilities } from '../spec/types.ts'
import type { HostFacts } from './facts.ts'

export interface CapabilitySets {
  readonly bounding: bigint
  readonly effective: bigint
  readonly permitted: bigint
  readonly inheritable: bigint
  readonly ambient: bigint
  readonly warnings: readonly string[]
}

/**
 * The sets as far as they can be granted; for what can't be there is a warning, not an error (config.md). Without
 * `process.capabilities` there are none at all. `full`: the process has every capability (it is the root of its user namespace).
 */
export const capabilitySets = (
  capabilities: Capabilities | undefined,
  facts: Pick<HostFacts, 'lastCap' | 'boundingSet' | 'permitted'>,
  full: boolean,
): CapabilitySets => {
  const warnings: string[] = []
  const keep = (name: keyof Capabilities, wanted: bigint, possible: bigint, why: string): bigint => {
    const lost = wanted & ~possible
    if (lost !== 0n)
      warnings.push(`process.capabilities.${name}: ${capabilityNames(lost).join(', ')} can't be granted: ${why}`)
    return wanted & possible
  }
  const known = (1n << BigInt(facts.lastCap + 1)) - 1n
  const wanted = (name: keyof Capabilities) => capabilityMask(capabilities?.[name])
  const has = full ? known : facts.permitted & known
  const lacking = 'this host or its caller does not have them'

  const bounding = keep('bounding', wanted('bounding'), full ? known : facts.boundingSet & known, lacking)
  const permitted = keep('permitted', wanted('permitted'), has, lacking)
  const effective = keep('effective', wanted('effective'), permitted, 'not in the permitted set')
  const inheritable = keep('inheritable', wanted('inheritable'), has & bounding, lacking)
  const ambient = keep(
    'ambient',
    wanted('ambient'),
    permitted & inheritable,
    'ambient capabilities have to be permitted and inheritable',
  )
  return { bounding, effective, permitted, inheritable, ambient, warnings }
}

/** Whether a process with these sets, or what it executes, can ever change the mounts that it sees. */
export const mayMount = ({ bounding, permitted, inheritable }: Omit<CapabilitySets, 'warnings'>): boolean =>
  ((bounding | permitted | inheritable) & capabilityMask(['CAP_SYS_ADMIN'])) !== 0n
