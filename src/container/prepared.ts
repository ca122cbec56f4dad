/**
 * What the monitor of a container does about a verb by itself, and the launcher once that has ended: what start.ts, signal.ts, freeze.ts, describe.ts
 * and delete.ts would come to, said beforehand. What is not here, or fails before it has changed anything, is theirs as ever: so nothing here
 * has a text for what is wrong.
 */

import type { CgroupLayout } from '../cgroup/layout.ts'
import type { Compiled } from '../plan/create.ts'
import { freezePlan, freezerDir } from '../plan/lifecycle.ts'
import { KILL_FLAGS, type Op, type Plan, SITUATIONS, type Template } from '../plan/ops.ts'
import { parseSignal, SIGKILL, signalName } from '../spec/signals.ts'
import type { Spec } from '../spec/types.ts'
import { type DescribedState, stateTextTemplate } from './describe.ts'
import { type ContainerPaths, INIT_KEY } from './layout.ts'
import { STOP_SIGNAL } from './signal.ts'
import type { Status } from './status.ts'

export interface PreparedInput {
  readonly id: string
  readonly paths: ContainerPaths
  readonly state: Omit<DescribedState, 'init'> & {
    readonly cgroupPaths: readonly string[]
    readonly sharedPid: boolean
  }
  readonly spec: Spec
  readonly start: Plan
  /** For launchers of this build to run. */
  readonly exec: Plan | undefined
  readonly build: string
  readonly cgroups: CgroupLayout
}

const { parked, released, frozen } = SITUATIONS
const LIVE = parked | released

/** What engines send; any other takes the long way. */
const SIGNALS = ['HUP', 'INT', 'QUIT', 'KILL', 'USR1', 'USR2', 'TERM', 'WINCH'].map(parseSignal)

interface Prepared {
  readonly words?: readonly string[]
  readonly situations: number
  readonly guards?: number
  readonly quick?: boolean
  readonly plan?: Plan
  readonly answer?: Template
}

const prepare = (
  verb: string,
  { words = [''], situations, guards = 0, quick = false, plan = [], answer = [] }: Prepared,
): Op => ({ op: 'prepare', verb, words, situations, guards, quick: quick ? 1 : 0, plan, answer })

/** For the monitor, behind the clone of the init. */
export const preparedPlan = (input: PreparedInput): Plan => {
  const freezer = freezerOf(input)
  return [
    {
      op: 'situation',
      key: INIT_KEY,
      files: freezerFiles(input),
      // What deriveStatus looks for.
      lines: ['FROZEN', 'FREEZING', 'frozen 1'],
    },
    ...describe(input),
    ...start(input),
    ...kill(input),
    ...exec(input),
    ...(freezer === undefined
      ? []
      : [
          prepare('pause', { situations: LIVE, plan: freezePlan(freezer, true) }),
          prepare('resume', { situations: frozen, plan: freezePlan(freezer, false) }),
        ]),
  ]
}

const describe = ({ id, state }: PreparedInput): Op[] => {
  const statuses: [Status, number][] = [
    ['created', parked],
    ['running', released],
    ['paused', frozen],
  ]
  return statuses.map(([status, situations]) =>
    prepare('state', { situations, quick: true, answer: stateTextTemplate(id, state, status) }),
  )
}

/** Without a process there is something to say about it. */
const start = ({ spec, start, paths }: PreparedInput): Op[] =>
  spec.process === undefined ? [] : [prepare('start', { situations: parked, guards: 1, plan: startPlan(paths, start) })]

/** The lock is what keeps a start by a controller out. */
export const startPlan = (paths: ContainerPaths, start: Plan): Plan => [{ op: 'lock', path: paths.lock }, ...start]

/** What is lent to a launcher is this build's program. */
const exec = ({ exec: plan, build }: PreparedInput): Op[] =>
  plan === undefined ? [] : [{ op: 'lend', verb: 'exec', words: [build], situations: LIVE, plan }]

const kill = ({ state }: PreparedInput): Op[] => {
  const { annotations, sharedPid, cgroupPaths } = state
  const toInit = (signal: number): Plan => [{ op: 'signal', key: INIT_KEY, signal }]
  const ordinary = SIGNALS.filter((signal) => signal !== SIGKILL || !sharedPid).map((signal) =>
    prepare('kill', { words: namesOf(signal), situations: LIVE, quick: true, plan: toInit(signal) }),
  )
  const [whole] = sharedPid ? cgroupPaths : []
  const all: Op[] =
    whole === undefined
      ? []
      : [
          prepare('kill', {
            words: namesOf(SIGKILL),
            situations: LIVE,
            plan: [{ op: 'kill-cgroup', path: whole, signal: SIGKILL, flags: KILL_FLAGS.missingOk }],
          }),
        ]
  const usual = stopSignal(annotations[STOP_SIGNAL])
  return [
    ...ordinary,
    ...all,
    ...(usual === undefined || usual === SIGKILL
      ? []
      : [prepare('kill', { situations: LIVE, quick: true, plan: toInit(usual) })]),
  ]
}

const namesOf = (signal: number): readonly string[] => {
  const name = signalName(signal) ?? ''
  return [String(signal), name, name.replace(/^SIG/, '')]
}

/** undefined where it is none, which is to be said when it is wanted. */
const stopSignal = (annotation: string | undefined): number | undefined => {
  try {
    return parseSignal(annotation || 'SIGTERM')
  } catch {
    return undefined
  }
}

/** undefined where there is none, which is to be said when it is wanted. */
const freezerOf = ({ state, cgroups }: PreparedInput): string | undefined => {
  try {
    return freezerDir(state.cgroupPaths, cgroups)
  } catch {
    return undefined
  }
}

/** The files of the container's cgroups that tell whether it is frozen, as far as there are such. */
const freezerFiles = ({ state, cgroups }: PreparedInput): readonly string[] => {
  const below = (mountPoint: string, file: string) =>
    state.cgroupPaths.filter((path) => path.startsWith(`${mountPoint}/`)).map((path) => `${path}/${file}`)
  const freezers = cgroups.v1.filter(({ controllers }) => controllers.includes('freezer'))
  return [
    ...freezers.flatMap(({ mountPoint }) => below(mountPoint, 'freezer.state')),
    ...(cgroups.v2 === undefined ? [] : below(cgroups.v2.mountPoint, 'cgroup.events')),
  ]
}

/**
 * For the launcher, once the container has ended and its monitor with it: exit.json says so. Hooks that follow the end may fail, which is to be
 * said; so with any there is no such plan.
 */
export const preparedDelete = (
  { exit, undo, dir }: ContainerPaths,
  { poststop }: Pick<Compiled, 'poststop'>,
): Plan | undefined =>
  poststop.length > 0
    ? undefined
    : [
        { op: 'stat', path: exit, flags: 0 },
        { op: 'stored', path: undo, flags: 0 },
        { op: 'rmtree', path: dir, flags: 0 },
      ]
