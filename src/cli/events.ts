/** `berth events`: a line of JSON for each OOM kill, and for the container's figures in each interval. */

import { V1_STATS, V2_STATS, v1Stats, v2Stats } from '../cgroup/stats.ts'
import { denialsOf } from '../container/denials.ts'
import { readFigures } from '../container/figures.ts'
import { inspect, need } from '../container/inspect.ts'
import type { ContainerState } from '../container/state.ts'
import type { CommandAnswer, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { factsPlan, readFacts } from '../plan/facts.ts'
import { type Plan, WATCHED } from '../plan/ops.ts'
import { controllerDir } from '../plan/update.ts'
import { checkId } from '../spec/id.ts'
import { stringifyJson } from '../spec/json.ts'
import { parseDuration } from './duration.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: 'ID',
  flags: {
    interval: { type: 'string', describe: 'time between figures (default: 5s)' },
    stats: { type: 'boolean', describe: 'print the figures once' },
    policy: { type: 'boolean', describe: 'print what policies have refused so far, instead of figures' },
  },
  args: [1, 1],
  run: async (context) => {
    const { step, globals, request } = context
    const id = checkId(context.first)
    const interval = parseDuration('interval', context.text('interval') ?? '5s')
    const tell = context.flag('policy') ? policyLine : statsLine
    if (request.round > 0) return next(step, globals.root, id, tell, [])
    const { state, status } = await need(step, globals.root, id)
    if (status === 'stopped') throw new BerthError('state', `container with id ${id} is not running`, { subject: id })
    if (context.flag('stats')) return { stdout: await tell(step, globals.root, state) }
    const { cgroup } = readFacts(await step('facts', factsPlan))
    const { pid, startTime } = state.init
    const memory = controllerDir(cgroup, state.cgroupPaths, 'memory') ?? ''
    return next(step, globals.root, id, tell, [{ op: 'watch', memory, pid, start: startTime, intervalNs: interval }])
  },
}

/** Waits for what comes next and tells it; the command is asked again until the container has ended. */
const next = async (
  step: RunStep,
  root: string,
  id: string,
  tell: Tell,
  before: Plan,
): Promise<Partial<CommandAnswer>> => {
  const event = (await step('watch', [...before, { op: 'watched' }])).u32(before.length)
  if (event === WATCHED.ended) return {}
  if (event === WATCHED.oom) return { stdout: line({ type: 'oom', id }), again: true }
  const container = await inspect(step, root, id)
  // Its end is what comes next.
  if (container?.state === undefined || container.status === 'stopped') return { again: true }
  return { stdout: await tell(step, root, container.state), again: true }
}

type Tell = (step: RunStep, root: string, state: ContainerState) => Promise<string>

const policyLine: Tell = async (step, root, state) =>
  line({ type: 'policy', id: state.id, data: { denied: await denialsOf(step, root, state) } })

const statsLine: Tell = async (step, _root, { id, cgroupPaths }) => {
  const { cgroup } = readFacts(await step('facts', factsPlan))
  const unified = cgroup.mode === 'unified'
  const file = await readFigures(step, unified ? V2_STATS : V1_STATS, (controller) =>
    controllerDir(cgroup, cgroupPaths, controller),
  )
  return line({ type: 'stats', id, data: unified ? v2Stats(file) : v1Stats(file) })
}

const line = (event: object): string => `${stringifyJson(event)}\n`
