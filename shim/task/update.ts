/** Update: new limits for a container's cgroup. */

import { deviceRules } from '../../src/cgroup/devices.ts'
import { BerthError } from '../../src/errors.ts'
import { deviceFilterOp } from '../../src/plan/cgroup-v2.ts'
import { OP_FLAGS, type Op, WRITE_FLAGS } from '../../src/plan/ops.ts'
import type { containerd } from '../proto/messages.gen.js'
import { Code, RpcError } from '../ttrpc/status.ts'
import type { Env, Method } from './call.ts'
import { type CgroupDirs, cgroupDir, getTask } from './record.ts'
import { wrongState } from './status.ts'

/** The version of the specification as whose linux.resources the request is read: 0 pids means that none were given. */
const OCI_VERSION = '1.2.0'
const MEMORY = 'memory.limit_in_bytes'

export const update: Method<containerd.task.UpdateRequest> = async (env, { id, resources }, step) => {
  const { status, cgroups } = getTask(env.record(), id)
  if (status === 'stopped') throw wrongState.update(status)
  if (!resources?.value?.length) throw new RpcError(Code.invalidArgument, `update ${id}: no resources given`)
  const plan = updatePlan(env, cgroups, new TextDecoder().decode(resources.value))
  if (plan.length > 0) await step('update', plan)
  return () => ({ answer: new Uint8Array(0) })
}

const updatePlan = ({ compiler }: Env, cgroups: CgroupDirs, json: string): Op[] => {
  const document = `{"ociVersion":"${OCI_VERSION}","root":{"path":"rootfs"},"linux":{"resources":${json}}}`
  const limits = compiler.loadSpec(document, 'resources').spec.linux?.resources ?? {}
  const { devices } = limits
  const rules = devices?.length && cgroups.version === 1 ? deviceRules(devices) : []
  const filter = devices?.length && cgroups.version === 2 ? [deviceFilterOp(devices, cgroups.all[0] ?? '')] : []
  const { settings } =
    cgroups.version === 2 ? compiler.v2Settings(limits, OCI_VERSION) : compiler.v1Settings(limits, OCI_VERSION)
  const writes = [...rules, ...settings].map(({ controller, file, value, optional, source: pointer }): Op => {
    const dir = cgroupDir(cgroups, controller)
    if (dir === undefined) {
      throw new BerthError('unsupported', `the cgroup controller "${controller}" is not available on this host`, {
        pointer,
      })
    }
    return {
      op: 'write',
      path: `${dir}/${file}`,
      data: [value],
      flags: optional ? WRITE_FLAGS.missingOk : 0,
      mode: 0,
      pointer,
    }
  })
  // v1: memory plus swap may never be less than memory, so raising both needs swap first, lowering both memory first.
  const memory = writes.find((op) => op.op === 'write' && op.path.endsWith(`/${MEMORY}`))
  return memory === undefined
    ? [...filter, ...writes]
    : [...filter, { ...memory, opFlags: OP_FLAGS.tolerate }, ...writes.filter((op) => op !== memory), memory]
}
