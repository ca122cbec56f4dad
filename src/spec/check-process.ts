import { capabilityBit } from './capabilities.ts'
import { type Finding, point, show } from './finding.ts'
import { rlimitResource } from './rlimits.ts'
import type { Capabilities, Process, Rlimit, Scheduler } from './types.ts'

/** What a schema can't say about a process. `at` is the pointer to it; `needed`: it is to be run now. */
export function* checkProcess(process: Process, at: string, needed: boolean): Iterable<Finding> {
  if (needed && !process.args) yield { pointer: point(at, 'args'), message: 'is required' }
  yield* checkRlimits(process.rlimits ?? [], point(at, 'rlimits'))
  if (process.scheduler) yield* checkScheduler(process.scheduler, point(at, 'scheduler'))
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

/** sched_setattr(2) refuses or ignores these combinations without saying which field it was. */
function* checkScheduler(scheduler: Scheduler, at: string): Iterable<Finding> {
  const { policy, priority = 0, runtime = 0n, deadline = 0n, period = 0n } = scheduler
  const realTime = policy === 'SCHED_FIFO' || policy === 'SCHED_RR'
  if (priority !== 0 && !realTime) {
    yield { pointer: point(at, 'priority'), message: `needs SCHED_FIFO or SCHED_RR (policy is ${policy})` }
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
