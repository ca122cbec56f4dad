/** What berth is to be beside others, and what it was in a run. */
import { BOOT } from './boot.ts'
import type { CommandTimes } from './commands.ts'
import { ALONE, LIFE } from './commands.ts'
import { ENGINE, type EngineTimes, STARTED } from './engine.ts'
import { ALL, COMMON, HOT } from './hot.ts'
import { type Density, figureOf, perPod } from './memory.ts'
import type { Samples } from './samples.ts'
import type { ShimTimes } from './shims.ts'

/** Nanoseconds of calls, by what they are made under; milliseconds of verbs. */
export interface PolicyTimes {
  readonly calls: Samples
  readonly creates: Samples
}

export interface Aim {
  readonly what: string
  readonly against: string
  /** At most this; `atLeast` turns it round. */
  readonly aim: number
  readonly atLeast?: boolean
  readonly ratio: number
  /** What `aim` and `ratio` are of where they are a difference. */
  readonly unit?: string
}

export const reached = ({ ratio, aim, atLeast }: Aim): boolean => (atLeast ? ratio >= aim : ratio <= aim)

/** The fastest of those that were measured and have such a name. */
const fastest = (samples: Samples, name: string, what: string): number =>
  Math.min(...samples.names.filter((one) => one.startsWith(name)).map((one) => samples.median(one, what)))

/**
 * The kernel's own time: the smaller of what it takes in a turn like the runtimes' and in a loop. Its first move of a process between cgroups for some
 * milliseconds takes a grace period, which in a turn it may be the one to pay.
 */
const kernelsOwn =
  (...floors: readonly Samples[]) =>
  (kind: string): number =>
    Math.min(...floors.map((floor) => floor.median('kernel', kind)))

export const commandAims = ({ times, floor, hot }: CommandTimes): readonly Aim[] => {
  const mine = (what: string) => times.median('berth', what)
  const kernel = kernelsOwn(floor, hot)
  const life = kernel('create') + kernel('life') + kernel('delete') + 3 * kernel('spawn')
  const beside = (what: string, peer: string, aim: number): Aim => ({
    what,
    against: `the faster ${peer}`,
    aim,
    ratio: mine(what) / fastest(times, peer, what),
  })
  return [
    beside(LIFE, 'crun', 0.4),
    beside(LIFE, 'runc', 0.2),
    { what: LIFE, against: "the kernel's create + life + delete + 3 spawns", aim: 2.5, ratio: mine(LIFE) / life },
    {
      what: `${LIFE} with --no-controller`,
      against: 'the faster runc',
      aim: 1.2,
      ratio: times.median(ALONE, LIFE) / fastest(times, 'runc', LIFE),
    },
    ...['state', 'start', 'kill', 'delete'].map((verb) => beside(verb, 'crun', 0.5)),
    beside('exec', 'crun', 0.6),
    beside('exec', 'runc', 0.2),
  ]
}

export const bootAims = (times: Samples): readonly Aim[] => [
  {
    what: 'first answer of a controller that has to boot (`berth --no-controller --version`)',
    against: '`node -e 0`',
    aim: 1.5,
    ratio: times.median('berth', BOOT) / times.median('node', BOOT),
  },
]

export const shimAims = ({ times, floor, rates, output }: ShimTimes, hot: Samples): readonly Aim[] => {
  const kernel = kernelsOwn(floor, hot)
  const mine = (what: string) => times.median('berth', what)
  const beside = (what: string, peer: 'runc' | 'crun', aim: number): Aim => ({
    what,
    against: `runc's shim with ${peer}`,
    aim,
    ratio: mine(what) / times.median(peer, what),
  })
  const beyond = (what: string, kind: string): Aim => ({
    what,
    against: `the kernel's ${kind}`,
    aim: 4,
    ratio: mine(what) / kernel(kind),
  })
  return [
    beside('life', 'runc', 0.12),
    beside('life', 'crun', 0.2),
    beyond('Create', 'create'),
    beyond('Start', 'start'),
    { ...beside('first life', 'runc', 0.7), what: 'first life on the host' },
    beside('exec of true', 'runc', 0.1),
    {
      what: 'lives per second, 10 at a time',
      against: "runc's shim with runc",
      aim: 6,
      atLeast: true,
      ratio: rates.median('berth', 'lives') / rates.median('runc', 'lives'),
    },
    {
      what: '1 GiB of stdout through a FIFO',
      against: "runc's shim with runc",
      aim: 0.9,
      ratio: output.median('berth', 'seconds') / output.median('runc', 'seconds'),
    },
  ]
}

export const hotAims = (times: Samples): readonly Aim[] =>
  COMMON.map((kind) => ({
    what: HOT[kind],
    against: 'CPU time, all threads',
    aim: 1,
    unit: 'ms',
    ratio: times.median(HOT[kind], ALL),
  }))

export const engineAims = ({ times, together }: EngineTimes): readonly Aim[] =>
  (
    [
      [times, ENGINE.life, 0.3],
      [times, ENGINE.first, 0.7],
      [times, ENGINE.exec, 0.2],
      [together, STARTED, 0.3],
    ] as const
  ).map(([samples, what, aim]) => ({
    what: `${what}, through containerd`,
    against: "runc's shim with runc",
    aim,
    ratio: samples.median('berth', what) / samples.median('runc', what),
  }))

export const memoryAims = (memory: Samples, density: Density): readonly Aim[] => {
  const beside = (what: string, peer: string, aim: number): Aim => ({
    what,
    against: peer === 'crun' ? 'crun' : "runc's shim",
    aim,
    ratio: memory.median('berth', what) / memory.median(peer, what),
  })
  return [
    beside(figureOf('private', 'parked'), 'crun', 1),
    beside(figureOf('private', 'shim'), 'runc', 0.08),
    beside(perPod(density), 'runc', 0.4),
    {
      what: `${figureOf('private', 'controller')}, after many lives and a minute`,
      against: 'Node alone',
      aim: 4,
      ratio:
        memory.median('berth', figureOf('private', 'controller')) /
        memory.median('node', figureOf('private', 'controller')),
    },
  ]
}

export const policyAims = ({ calls, creates }: PolicyTimes): readonly Aim[] => {
  const beside = (what: string, name: string, against: string, aim: number): Aim => ({
    what: `${what}, ${name}`,
    against,
    aim,
    ratio: calls.least(name, what) / calls.least(against, what),
  })
  return [
    beside('connect', '1,000 network rules', 'nothing', 1.03),
    beside('open + close', 'files.deny', 'nothing', 1.02),
    beside('open + close', 'file lists', 'the same, by the program itself', 1.02),
    beside('getpid', "Docker's seccomp profile", 'nothing', 1.02),
    beside('getpid', "Docker's seccomp profile", 'a filter of one instruction', 1.02),
    {
      what: 'create, a full policy',
      against: 'an empty one: the difference',
      aim: 2,
      unit: 'ms',
      ratio: creates.median('full', 'create') - creates.median('empty', 'create'),
    },
  ]
}
