/** New limits for a container that exists: what is written to its cgroups, in an order that the kernel takes. */

import { deviceRules } from '../cgroup/devices.ts'
import { type CgroupLayout, hierarchyOf } from '../cgroup/layout.ts'
import { v1Settings } from '../cgroup/v1.ts'
import { v2Settings } from '../cgroup/v2.ts'
import type { Resources } from '../spec/types.ts'
import { missingController, settingOp } from './cgroup-ops.ts'
import { deviceFilterOp } from './cgroup-v2.ts'
import { OP_FLAGS, type Plan } from './ops.ts'
import { type Manager, updateUnit } from './systemd.ts'

/** Of the container's directories the one of a controller, or undefined where the host has it not. */
export const controllerDir = (
  layout: CgroupLayout,
  paths: readonly string[],
  controller: string,
): string | undefined => {
  const hierarchy = layout.mode === 'unified' ? layout.v2 : hierarchyOf(layout, controller)
  return hierarchy && paths.find((path) => path.startsWith(`${hierarchy.mountPoint}/`))
}

/**
 * Files whose values bound one another: memory may never be above memory plus swap, a quota has to fit its period, a burst its quota. Which has to
 * go first depends on what is in them.
 */
const MUTUAL = /^(memory\.(memsw\.)?limit_in_bytes|cpu\.cfs_\w+|cpu\.max(\.burst)?)$/

export interface UpdateInput {
  /** What is to change, nothing else. */
  readonly resources: Resources
  readonly ociVersion: string
  readonly unified: boolean
  /** The container's directory of a controller; of any on a unified hierarchy. */
  readonly dirOf: (controller: string) => string | undefined
  /** Where systemd made it. */
  readonly unit?: { readonly manager: Manager; readonly name: string } | undefined
}

/** Those that bound one another are tried once before: whatever the order, what could not be written then can be now. */
export const planUpdate = ({ resources, ociVersion, unified, dirOf, unit }: UpdateInput) => {
  const { devices } = resources
  const { settings, warnings } = unified ? v2Settings(resources, ociVersion) : v1Settings(resources, ociVersion)
  const rules = devices?.length && !unified ? deviceRules(devices) : []
  const writes = [...rules, ...settings].map((setting) => {
    const dir = dirOf(setting.controller)
    if (dir === undefined) throw missingController(setting)
    return { file: setting.file, op: settingOp(dir, setting) }
  })
  const mutual = writes.filter(({ file }) => MUTUAL.test(file))
  const first = mutual.length > 1 ? mutual.map(({ op }) => ({ ...op, opFlags: OP_FLAGS.tolerate })) : []
  const filter = devices?.length && unified ? [deviceFilterOp(devices, dirOf('devices') ?? '')] : []
  // systemd writes what it is told, less exactly than we do: before.
  const told = unit ? updateUnit(unit.manager, unit.name, resources, ociVersion, unified) : []
  const plan: Plan = [...told, ...filter, ...first, ...writes.map(({ op }) => op)]
  return { plan, warnings }
}
