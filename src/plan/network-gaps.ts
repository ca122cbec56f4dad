/**
 * What a container may do that its network rules don't see. Engines give such rights to containers that are trusted with them, so it is said, not
 * refused.
 */

import { posix } from 'node:path'
import { capabilityMask } from '../spec/capabilities.ts'
import type { Mount, Spec } from '../spec/types.ts'
import { type CapabilitySets, capabilitySets } from './capabilities.ts'
import type { CreateInput } from './create.ts'
import { planLandlock } from './landlock.ts'
import { MOUNT_ATTR_RDONLY, parseMountOptions } from './mount-options.ts'
import type { Namespaces } from './namespaces.ts'

type Input = Pick<CreateInput, 'spec' | 'bundle' | 'facts' | 'confinement'>

/** Whether a process of the container, or what it executes, can ever have it. */
const mayHave = ({ bounding, permitted, inheritable }: Omit<CapabilitySets, 'warnings'>, name: string): boolean =>
  ((bounding | permitted | inheritable) & capabilityMask([name])) !== 0n

const below = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`)

/** Whether cgroups of the v2 hierarchy that are not the container's can be written to by a mount. */
const showsOthers = (mount: Mount, { bundle, facts }: Input, ownView: boolean): boolean => {
  const { v2, mode } = facts.cgroup
  if (v2 === undefined) return false
  const { bind, recursive, readonly, recAttrSet } = parseMountOptions(mount.options ?? [])
  const readonlyTree = (recAttrSet & MOUNT_ATTR_RDONLY) !== 0n
  if (!bind && mount.type !== 'bind')
    return (
      !ownView &&
      !readonly &&
      !readonlyTree &&
      (mount.type === 'cgroup2' || (mount.type === 'cgroup' && mode === 'unified'))
    )
  // A bind mount has the root that it has on the host, whatever namespace it is seen from.
  const source = posix.resolve(bundle, mount.source ?? '')
  if (below(source, v2.mountPoint)) return !readonly && !readonlyTree
  return below(v2.mountPoint, source) && recursive && !readonlyTree
}

/** A namespace that is made for the container has a loopback device and nothing else, unless something is put into it. */
const hasWayOut = ({ hooks, linux }: Spec, namespaces: Namespaces): boolean =>
  !namespaces.isNew('network') ||
  Object.keys(linux?.netDevices ?? {}).length > 0 ||
  [hooks?.prestart, hooks?.createRuntime, hooks?.createContainer].some((list) => (list?.length ?? 0) > 0)

/** In words. */
export const networkGaps = (input: Input, namespaces: Namespaces): readonly string[] => {
  const { spec, facts, confinement } = input
  if (confinement === undefined || !confinement.policies.some(({ network, http }) => network ?? http)) return []
  const sets = capabilitySets(spec.process?.capabilities, facts, namespaces.has('user'))
  const gaps: string[] = []
  if (mayHave(sets, 'CAP_NET_ADMIN') && hasWayOut(spec, namespaces))
    gaps.push(
      'with CAP_NET_ADMIN the container can have packets to destinations that are allowed led to others, by address translation, routes and tunnels of its network namespace',
    )
  // What judges otherwise is a filter of system calls, which no process leaves behind.
  if (confinement.network === '') {
    const ownView = namespaces.isNew('cgroup')
    const mounts = !planLandlock(confinement, 0, true).make.some((op) => op.op === 'landlock' && op.fs !== 0n)
    // Mounting the hierarchy takes the privilege in the user namespace that the cgroup namespace belongs to.
    if (mayHave(sets, 'CAP_SYS_ADMIN') && mounts && !ownView && !namespaces.has('user'))
      gaps.push(
        'with CAP_SYS_ADMIN and no cgroup namespace of its own the container can mount the cgroup hierarchy, and leave the cgroup that the rules are on',
      )
    for (const [index, mount] of spec.mounts?.entries() ?? [])
      if (showsOthers(mount, input, ownView))
        gaps.push(
          `by mounts[${index}], where it can write to other cgroups than its own, the container can leave the cgroup that the rules are on`,
        )
  }
  return gaps.map((gap) => `policy: network and HTTP rules: ${gap}`)
}
