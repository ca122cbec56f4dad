import { parseCpuList } from '../cgroup/cpu-list.ts'
import { capabilityBit } from './capabilities.ts'
import { type Finding, point, show } from './finding.ts'
import { rlimitResource } from './rlimits.ts'
import type { Capabilities, Process, Rlimit, Scheduler, SchedulerFlag } from './types.ts'

/** What a schema can't say about a process. `at` is the pointer to it; `needed`: it is to be run now. */
export function* checkProcess(process: Process, at: string, needed: boolean): Iterable<Finding> {
  if (needed && !process.args) yield { pointer: point(at, 'args'), message: 'is required' }
  yield* checkRlimits(process.rlimits ?? [], point(at, 'rlimits'))
  if (process.scheduler) yield* checkScheduler(process.scheduler, point(at, 'scheduler'))
  for (const name of ['initial', 'final'] as const) {
    const list = process.execCPUAffinity?.[name]
    if (list?.trim() && parseCpuList(list) === undefined) {
      yield {
        pointer: point(at, 'execCPUAffinity', name),
        message: `must be a list of CPUs such as 0-3,7 (is ${show(list)})`,
      }
    }
  }
  yield* checkCapabilities(process.capabilities ?? {}, point(at, 'capabilities'))
}

function* checkRlimits(rlimits: readonly Rlimit[], at: string): Iterable<Finding> {
  const seen = new Set<string>()
  for (const [index, { type, soft, hard }] of rlimits.entries()) {
    const pointer = point(at, index)
    if (rlimitResource(type) === undefined) {
      yield { pointer: point(pointer, 'type'), message: `unknown resource limit ${show(type)}` }
    }
    if (seen.has(type)) yield { pointer, message: `${type} is given twice` }
    if (soft > hard) yield { pointer, message: `the soft limit ${soft} is above the hard limit ${hard}` }
    seen.add(type)
  }
}

const CLAMPS: ReadonlySet<SchedulerFlag> = new Set(['SCHED_FLAG_UTIL_CLAMP_MIN', 'SCHED_FLAG_UTIL_CLAMP_MAX'])

/** sched_setattr(2) refuses or ignores these combinations without saying which field it was. */
function* checkScheduler(scheduler: Scheduler, at: string): Iterable<Finding> {
  const { policy, priority = 0, runtime = 0n, deadline = 0n, period = 0n } = scheduler
  const realTime = policy === 'SCHED_FIFO' || policy === 'SCHED_RR'
  if (policy === 'SCHED_ISO') {
    yield { pointer: point(at, 'policy'), message: 'SCHED_ISO is a policy that Linux does not have' }
  }
  if (priority !== 0 && !realTime) {
    yield { pointer: point(at, 'priority'), message: `needs SCHED_FIFO or SCHED_RR (policy is ${policy})` }
  }
  if (realTime && (priority < 1 || priority > 99)) {
    yield { pointer: point(at, 'priority'), message: `must be from 1 to 99 for ${policy} (is ${priority})` }
  }
  for (const [index, flag] of (scheduler.flags ?? []).entries()) {
    if (CLAMPS.has(flag)) {
      yield {
        pointer: point(at, 'flags', index),
        message: `${flag} needs a value that the specification has no property for`,
      }
    }
  }
  for (const [name, value] of Object.entries({ runtime, deadline, period })) {
    if (value !== 0n && policy !== 'SCHED_DEADLINE') {
      yield { pointer: point(at, name), message: `needs SCHED_DEADLINE (policy is ${policy})` }
    }
  }
}

/** What can't be granted is warned about and does not fail (config.md, process.capabilities). */
function* checkCapabilities(capabilities: Capabilities, at: string): Iterable<Finding> {
  const seen = new Set<string>()
  for (const set of ['bounding', 'effective', 'inheritable', 'permitted', 'ambient'] as const) {
    for (const [index, name] of (capabilities[set] ?? []).entries()) {
      if (capabilityBit(name) !== undefined || seen.has(name)) continue
      seen.add(name)
      yield { pointer: point(at, set, index), message: `unknown capability ${show(name)} is ignored`, warning: true }
    }
  }
}
