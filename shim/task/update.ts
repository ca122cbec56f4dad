/** Update: new limits for a container's cgroup. */

import { basename } from 'node:path'
import { applyUpdate } from '../../src/container/apply-update.ts'
import type { RunStep } from '../../src/controller/types.ts'
import type { Plan } from '../../src/plan/ops.ts'
import type { UpdateInput } from '../../src/plan/update.ts'
import { keptPolicies } from '../../src/policy/kept.ts'
import type { Confinement } from '../../src/policy/types.ts'
import type { containerd } from '../proto/messages.gen.js'
import { Code, RpcError } from '../ttrpc/status.ts'
import type { Env, Method } from './call.ts'
import { taskDir } from './create.ts'
import { type CgroupDirs, cgroupDir, getTask } from './record.ts'
import { wrongState } from './status.ts'

/** The version of the specification as whose linux.resources the request is read: 0 pids means that none were given. */
const OCI_VERSION = '1.2.0'
type Unit = NonNullable<UpdateInput['unit']>

export const update: Method<containerd.task.UpdateRequest> = async (env, { id, resources }, step) => {
  const task = getTask(env.record(), id)
  const { status, cgroups, options } = task
  if (status === 'stopped') throw wrongState.update(status)
  if (!resources?.value?.length) throw new RpcError(Code.invalidArgument, `update ${id}: no resources given`)
  const unit = options.systemdCgroup ? await unitOf(env, cgroups, step) : undefined
  const confinement = await keptPolicies(step, taskDir(env, id), task)
  const plan = updatePlan(env, cgroups, unit, confinement, new TextDecoder().decode(resources.value))
  await applyUpdate(step, plan)
  return () => ({ answer: new Uint8Array(0) })
}

/** A unit is called as its cgroup. */
const unitOf = async ({ compiler }: Env, { all }: CgroupDirs, step: RunStep): Promise<Unit> => {
  const facts = compiler.readFacts(await step('facts', compiler.factsPlan))
  return { manager: compiler.managerOf(facts), name: basename(all[0] ?? '') }
}

const updatePlan = (
  { compiler }: Env,
  cgroups: CgroupDirs,
  unit: Unit | undefined,
  confinement: Confinement | undefined,
  json: string,
): Plan => {
  const document = `{"ociVersion":"${OCI_VERSION}","root":{"path":"rootfs"},"linux":{"resources":${json}}}`
  const resources = compiler.loadSpec(document, 'resources').spec.linux?.resources ?? {}
  compiler.checkLimits(resources, confinement)
  const unified = cgroups.version === 2
  const dirOf = (controller: string) => cgroupDir(cgroups, controller)
  return compiler.planUpdate({ resources, ociVersion: OCI_VERSION, unified, dirOf, unit }).plan
}
