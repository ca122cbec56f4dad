/** Where and when the process runs and gets its memory: scheduler, I/O priority, CPU affinity, NUMA policy, execution domain. */

import { BerthError } from '../errors.ts'
import type { CpuAffinity, MemoryPolicy, Process, Scheduler, Spec } from '../spec/types.ts'
import { cpuMask } from './affinity.ts'
import { type HostFacts, kernelAtLeast } from './facts.ts'
import type { Op } from './ops.ts'

const POLICIES: Readonly<Record<Scheduler['policy'], number>> = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
}
const SCHEDULER_FLAGS: Readonly<Record<NonNullable<Scheduler['flags']>[number], bigint>> = {
  SCHED_FLAG_RESET_ON_FORK: 0x1n,
  SCHED_FLAG_RECLAIM: 0x2n,
  SCHED_FLAG_DL_OVERRUN: 0x4n,
  SCHED_FLAG_KEEP_POLICY: 0x8n,
  SCHED_FLAG_KEEP_PARAMS: 0x10n,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20n,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40n,
}
const IO_CLASSES = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 } as const
/** linux/personality.h */
const PERSONAS = { LINUX: 0, LINUX32: 8 } as const

/** linux/mempolicy.h */
const MEMORY_MODES: Readonly<Record<MemoryPolicy['mode'], number>> = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
}
const MEMORY_FLAGS: Readonly<Record<NonNullable<MemoryPolicy['flags']>[number], number>> = {
  MPOL_F_NUMA_BALANCING: 1 << 13,
  MPOL_F_RELATIVE_NODES: 1 << 14,
  MPOL_F_STATIC_NODES: 1 << 15,
}
export const MEMORY_POLICY_MODES = Object.keys(MEMORY_MODES)
export const MEMORY_POLICY_FLAGS = Object.keys(MEMORY_FLAGS)

export const planScheduling = ({ scheduler, ioPriority }: Process): Op[] => {
  const ops: Op[] = []
  if (scheduler)
    ops.push({
      op: 'scheduler',
      policy: POLICIES[scheduler.policy],
      nice: BigInt(scheduler.nice ?? 0),
      priority: scheduler.priority ?? 0,
      flags: (scheduler.flags ?? []).reduce((flags, name) => flags | SCHEDULER_FLAGS[name], 0n),
      runtime: scheduler.runtime ?? 0n,
      deadline: scheduler.deadline ?? 0n,
      period: scheduler.period ?? 0n,
      pointer: '/process/scheduler',
    })
  if (ioPriority)
    ops.push({
      op: 'ioprio',
      value: (IO_CLASSES[ioPriority.class] << 13) | ioPriority.priority,
      pointer: '/process/ioPriority',
    })
  return ops
}

export const planMemoryPolicy = ({ linux }: Spec, facts: HostFacts): Op[] => {
  const policy = linux?.memoryPolicy
  if (!policy) return []
  const pointer = '/linux/memoryPolicy'
  if (policy.mode === 'MPOL_WEIGHTED_INTERLEAVE' && !kernelAtLeast(facts, 6, 9))
    throw new BerthError(
      'unsupported',
      `linux.memoryPolicy.mode: ${policy.mode} needs Linux 6.9, this is ${facts.kernel}`,
      {
        pointer: `${pointer}/mode`,
      },
    )
  const mode = (policy.flags ?? []).reduce((value, flag) => value | MEMORY_FLAGS[flag], MEMORY_MODES[policy.mode])
  return [{ op: 'memory-policy', mode, nodes: bitsOf(policy.nodes, '/linux/memoryPolicy/nodes'), pointer }]
}

export const planPersonality = ({ linux }: Spec): Op[] => {
  const domain = linux?.personality?.domain
  return domain === undefined ? [] : [{ op: 'personality', persona: PERSONAS[domain], pointer: '/linux/personality' }]
}

/** For exec only: `initial` is what its maker has before it enters the cgroups, `final` what it has in there. */
export const planAffinity = (affinity: CpuAffinity | undefined, property: keyof CpuAffinity): Op[] => {
  const list = affinity?.[property]?.trim()
  const pointer = `/process/execCPUAffinity/${property}`
  return list ? [{ op: 'affinity', mask: bitsOf(list, pointer), pointer }] : []
}

/** The bit mask of a list that was checked when it was loaded (check-process.ts, check-linux.ts). */
const bitsOf = (list: string | undefined, pointer: string): Uint8Array => {
  const mask = list?.trim() ? cpuMask(list) : new Uint8Array()
  if (mask === undefined) throw new BerthError('invalid', `"${list}" is no list of numbers and ranges`, { pointer })
  return mask
}
