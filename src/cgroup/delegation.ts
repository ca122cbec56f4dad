/**
 * Which cgroups a user other than the host's root may make containers in: none, unless someone gave them to it (systemd's Delegate=,
 * an administrator's chown).
 */

import { posix } from 'node:path'
import { errnoText } from '../controller/errno.ts'
import type { Results } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { ACCESS, OP_FLAGS, type Op, type Plan } from '../plan/ops.ts'
import { type CgroupLayout, type Hierarchy, isV2 } from './layout.ts'

/** A place for containers, below the hierarchy's mount point, and what has to be writable for it. */
interface Place {
  readonly hierarchy: Hierarchy
  readonly parent: string
  readonly needs: readonly string[]
}

const below = (mountPoint: string, path: string): string => (path === '/' ? mountPoint : posix.join(mountPoint, path))

/**
 * v2: beside our own cgroup, which has processes and so can give its children no controllers, else below it. To move a process takes a
 * writable cgroup.procs in the common ancestor (cgroup-v2.rst, "Delegation Containment"), which is the parent in either case.
 */
const places = (hierarchy: Hierarchy, v2: boolean): Place[] => {
  const { own, mountPoint } = hierarchy
  if (own.startsWith('/..')) return [] // outside of our cgroup namespace
  const parents = v2 && own !== '/' ? [posix.dirname(own), own] : [own]
  return parents.map((parent) => {
    const dir = below(mountPoint, parent)
    return { hierarchy, parent, needs: v2 ? [dir, `${dir}/cgroup.procs`] : [dir] }
  })
}

const allPlaces = ({ v1, v2 }: CgroupLayout): Place[] => [
  ...(v2 ? places(v2, true) : []),
  ...v1.flatMap((hierarchy) => places(hierarchy, false)),
]

/** Asks what `delegated` needs to know. */
export const delegationPlan = (layout: CgroupLayout): Plan =>
  allPlaces(layout).flatMap(({ needs }) =>
    needs.flatMap((path): Op[] => [
      { op: 'access', path, mode: ACCESS.write },
      { op: 'stat', path, flags: 0, opFlags: OP_FLAGS.tolerate },
    ]),
  )

const refusal = (path: string, errno: number, owner: number | undefined, uid: number): string =>
  owner === undefined || owner === uid
    ? `"${path}": ${errnoText(errno)}`
    : `"${path}" belongs to uid ${owner}, and uid ${uid} may not write to it`

/** The layout with what this user can't use taken out, and why. */
export const delegated = (layout: CgroupLayout, results: Results, uid: number): CgroupLayout => {
  let at = 0
  const found = new Map<Hierarchy, { parent?: string; why?: string }>()
  for (const { hierarchy, parent, needs } of allPlaces(layout)) {
    const whys = needs.flatMap((path) => {
      const [errno, stat] = [results.u32(at), results.bytes(at + 1)]
      at += 2
      return errno === 0 ? [] : [refusal(path, errno, stat === undefined ? undefined : results.u32(at - 1, 4), uid)]
    })
    const before = found.get(hierarchy)
    if (before?.parent !== undefined) continue
    const [why] = whys
    found.set(hierarchy, why === undefined ? { parent } : { why: before?.why ?? why })
  }
  const usable = (hierarchy: Hierarchy): Hierarchy[] => {
    const parent = found.get(hierarchy)?.parent
    return parent === undefined ? [] : [{ ...hierarchy, parent }]
  }
  const reasons = [...found].flatMap(([{ controllers, name }, { why }]) =>
    why === undefined ? [] : [{ controllers, name, why }],
  )
  return { ...layout, v1: layout.v1.flatMap(usable), v2: layout.v2 && usable(layout.v2)[0], refused: reasons }
}

const FIX =
  'have the cgroup delegated (systemd-run --user --scope -p Delegate=yes berth …, or chown by root), or leave the limits and cgroupsPath out'

/** Where this user may not use what the configuration asks for. */
export const notDelegated = (
  { refused = [] }: CgroupLayout,
  controller: string | undefined,
  pointer: string,
): BerthError | undefined => {
  const of = refused.find(({ controllers }) => controller !== undefined && controllers.includes(controller))
  // v2 is one hierarchy for all controllers.
  const found = of ?? refused.find(isV2) ?? refused[0]
  if (found === undefined) return undefined
  const property = pointer.slice(1).replaceAll('/', '.')
  return new BerthError('unsupported', `${property}: ${found.why}: ${FIX}`, { pointer })
}
