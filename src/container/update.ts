/** `update`: other limits for a container, whole or not at all. */

import { posix } from 'node:path'
import type { CgroupLayout } from '../cgroup/layout.ts'
import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import type { HostFacts } from '../plan/facts.ts'
import { WRITE_FLAGS } from '../plan/ops.ts'
import { managerOf } from '../plan/systemd.ts'
import { controllerDir, planUpdate } from '../plan/update.ts'
import { checkLimits } from '../policy/limits.ts'
import { stringifyJson } from '../spec/json.ts'
import { loadSpec } from '../spec/load.ts'
import type { Resources, Spec } from '../spec/types.ts'
import { applyUpdate } from './apply-update.ts'
import { type Container, readOp } from './inspect.ts'
import { recompile } from './recompile.ts'
import type { ContainerState } from './state.ts'

const MAX_FILE = 1 << 16

/** Writes the new limits and keeps them in the configuration; returns warnings. A write that fails takes back those before it. */
export const updateContainer = async (
  step: RunStep,
  { id, paths, state, status }: Container & { readonly state: ContainerState },
  changes: Resources,
): Promise<readonly string[]> => {
  if (status === 'stopped') throw new BerthError('state', `container not running: "${id}" has stopped`, { subject: id })
  const { spec: old, facts } = await recompile(step, paths, state)
  const text = stringifyJson(merge(old, changes))
  const { spec } = loadSpec(text, 'update')
  checkLimits(changed(spec, changes), state.confinement)
  const planFor = (target: Spec) =>
    planUpdate({
      resources: changed(target, changes),
      ociVersion: target.ociVersion,
      unified: facts.cgroup.mode === 'unified',
      dirOf: (controller) => controllerDir(facts.cgroup, state.cgroupPaths, controller),
      unit: unitOfState(state, facts),
    })
  const { plan, warnings } = planFor(spec)
  if (spec.linux?.resources?.memory?.checkBeforeUpdate) await checkUsage(step, facts.cgroup, state, spec)

  await applyUpdate(step, plan, () => planFor(old).plan.filter(({ op }) => op === 'dbus'))
  await step('record', [
    { op: 'write', path: paths.config, data: [text], flags: WRITE_FLAGS.create | WRITE_FLAGS.atomic, mode: 0o600 },
  ])
  return warnings
}

/** A unit is called as its cgroup. */
const unitOfState = ({ options, cgroupPaths }: ContainerState, facts: HostFacts) =>
  options.systemdCgroup ? { manager: managerOf(facts), name: posix.basename(cgroupPaths[0] ?? '') } : undefined

/** The configuration with what is new; each group of limits keeps what was not given. */
const merge = (spec: Spec, changes: Resources): Spec => {
  const resources: Record<string, unknown> = { ...spec.linux?.resources }
  for (const [group, values] of Object.entries(changes)) {
    const old = resources[group]
    // what is no object of limits is refused when the whole is validated
    const grouped = typeof values === 'object' && values !== null && !Array.isArray(values)
    resources[group] = grouped ? { ...(old as object), ...values } : values
  }
  return { ...spec, linux: { ...spec.linux, resources: resources as Resources } }
}

/** The groups that are new. Others may have been changed by the container's owner meanwhile. */
const changed = ({ linux }: Spec, changes: Resources): Resources =>
  Object.fromEntries(Object.entries(linux?.resources ?? {}).filter(([group]) => Object.hasOwn(changes, group)))

/** memory.checkBeforeUpdate: cgroup v2 takes a limit below what is used, and then kills (v1 refuses it by itself). */
const checkUsage = async (
  step: RunStep,
  layout: CgroupLayout,
  { cgroupPaths }: ContainerState,
  { linux }: Spec,
): Promise<void> => {
  const limit = linux?.resources?.memory?.limit
  const dir = layout.mode === 'unified' ? cgroupPaths[0] : undefined
  if (dir === undefined || limit === undefined || limit < 0n) return
  const results = await step('usage', [readOp(`${dir}/memory.current`, MAX_FILE)])
  const used = BigInt(results.text(0)?.trim() ?? 0)
  if (used > limit)
    throw new BerthError('failed', `linux.resources.memory.limit: ${limit} is below the ${used} bytes in use`, {
      pointer: '/linux/resources/memory/limit',
    })
}
