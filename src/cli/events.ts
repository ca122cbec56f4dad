/** `berth events`: a line of JSON for each OOM kill, and for the container's figures in each interval. */

import { V1_STATS, V2_STATS, v1Stats, v2Stats } from '../cgroup/stats.ts'
import { denialsOf } from '../container/denials.ts'
import { readFigures } from '../container/figures.ts'
import { type Seen, see, type Wanted } from '../container/seen.ts'
import type { CommandAnswer, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { factsPlan, readFacts } from '../plan/facts.ts'
import { type Plan, WATCHED } from '../plan/ops.ts'
import { controllerDir } from '../plan/update.ts'
import { stringifyJson } from '../spec/json.ts'
import { parseDuration } from './duration.ts'
import type { Verb } from './verb.ts'
import { NAMESPACE_FLAG, wanted } from './wanted.ts'

export const verb: Verb = {
  usage: 'ID',
  flags: {
    interval: { type: 'string', describe: 'time between figures (default: 5s)' },
    stats: { type: 'boolean', describe: 'print the figures once' },
    policy: { type: 'boolean', describe: 'print what policies have refused so far, instead of figures' },
    ...NAMESPACE_FLAG,
  },
  args: [1, 1],
  run: async (context) => {
    const { step, request } = context
    const container = wanted(context)
    const { id } = container
    const interval = parseDuration('interval', context.text('interval') ?? '5s')
    const tell = context.flag('policy') ? policyLine : statsLine
    if (request.round > 0) return next(step, container, tell, [])
    const seen = await see(step, container)
    if (seen.status === 'stopped')
      throw new BerthError('state', `container with id ${id} is not running`, { subject: id })
    if (context.flag('stats')) return { stdout: await tell(step, seen) }
    const { cgroup } = readFacts(await step('facts', factsPlan))
    const { pid, startTime } = seen.init
    const memory = controllerDir(cgroup, seen.cgroupPaths, 'memory') ?? ''
    return next(step, container, tell, [{ op: 'watch', memory, pid, start: startTime, intervalNs: interval }])
  },
}

/** Waits for what comes next and tells it; the command is asked again until the container has ended. */
const next = async (step: RunStep, container: Wanted, tell: Tell, before: Plan): Promise<Partial<CommandAnswer>> => {
  const event = (await step('watch', [...before, { op: 'watched' }])).u32(before.length)
  if (event === WATCHED.ended) return {}
  if (event === WATCHED.oom) return { stdout: line({ type: 'oom', id: container.id }), again: true }
  const seen = await still(step, container)
  // Its end is what comes next.
  if (seen === undefined || seen.status === 'stopped') return { again: true }
  return { stdout: await tell(step, seen), again: true }
}

/** undefined where it has gone meanwhile. */
const still = async (step: RunStep, container: Wanted): Promise<Seen | undefined> => {
  try {
    return await see(step, container)
  } catch (error) {
    if (error instanceof BerthError && ['not-found', 'state'].includes(error.kind)) return undefined
    throw error
  }
}

type Tell = (step: RunStep, seen: Seen) => Promise<string>

const policyLine: Tell = async (step, seen) =>
  line({ type: 'policy', id: seen.id, data: { denied: (await denialsOf(step, seen)).denied } })

const statsLine: Tell = async (step, { id, cgroupPaths }) => {
  const { cgroup } = readFacts(await step('facts', factsPlan))
  const unified = cgroup.mode === 'unified'
  const file = await readFigures(step, unified ? V2_STATS : V1_STATS, (controller) =>
    controllerDir(cgroup, cgroupPaths, controller),
  )
  return line({ type: 'stats', id, data: unified ? v2Stats(file) : v1Stats(file) })
}

const line = (event: object): string => `${stringifyJson(event)}\n`
