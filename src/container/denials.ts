/** Asks the kernel what the network rules of a container have refused. */

import { ATTACH } from '../bpf/network.ts'
import type { RunStep } from '../controller/types.ts'
import { DENIALS } from '../plan/network.ts'
import { type Denial, readDenials } from '../policy/denials.ts'
import type { ContainerState } from './state.ts'

/** None where it has no such rules, or they were left out. */
export const denialsOf = async (step: RunStep, { confinement, cgroupPaths }: ContainerState): Promise<Denial[]> => {
  // The v2 hierarchy's comes first, and each policy with network rules has one program for new sockets.
  const [path] = cgroupPaths
  if (confinement?.network !== '' || path === undefined) return []
  const results = await step('denials', [{ op: 'bpf-counts', path, attach: ATTACH.socket, map: DENIALS }])
  return readDenials(confinement.policies, results.bytes(0) ?? new Uint8Array(0))
}
