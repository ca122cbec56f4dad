/**
 * A container that has divided its own cgroup (systemd in it does, or an engine): cgroup v2 lets no process into a cgroup that hands
 * controllers down. What is executed in it then goes where its init is, as with runc and crun.
 */

import { ERRNO } from '../controller/errno.ts'
import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import type { HostFacts } from '../plan/facts.ts'

const MAX = 1 << 16

/** Makes a process in these cgroups, or where those are divided in the init's. */
export const inUndivided = async <T>(
  step: RunStep,
  { cgroup }: HostFacts,
  initPid: number,
  paths: readonly string[],
  make: (paths: readonly string[], name: string) => Promise<T>,
): Promise<T> => {
  try {
    return await make(paths, 'exec')
  } catch (error) {
    if (!(error instanceof BerthError) || error.op !== 'clone' || error.errno !== ERRNO.EBUSY) throw error
    const results = await step('cgroup of init', [{ op: 'read', path: `/proc/${initPid}/cgroup`, max: MAX, flags: 0 }])
    const own = /^0::(.*)$/m.exec(results.text(0) ?? '')?.[1]
    const dir = own === undefined || !cgroup.v2 ? undefined : `${cgroup.v2.mountPoint}${own}`
    // Below its own, or it is in none of ours.
    const below = paths.map((path) => (dir?.startsWith(`${path}/`) ? dir : path))
    if (below.every((path, index) => path === paths[index])) throw error
    return await make(below, 'exec below')
  }
}
