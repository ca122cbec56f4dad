/** What berth is to be beside others, and what it was in a run. */
import type { CommandTimes } from './commands.ts'
import { LIFE } from './commands.ts'
import type { Samples } from './samples.ts'
import type { ShimTimes } from './shims.ts'

export interface Aim {
  readonly what: string
  readonly against: string
  /** At most this; `atLeast` turns it round. */
  readonly aim: number
  readonly atLeast?: boolean
  readonly ratio: number
}

export const reached = ({ ratio, aim, atLeast }: Aim): boolean => (atLeast ? ratio >= aim : ratio <= aim)

/** The fastest of those that were measured and have such a name. */
const fastest = (samples: Samples, name: string, what: string): number =>
  Math.min(...samples.names.filter((one) => one.startsWith(name)).map((one) => samples.median(one, what)))

export const commandAims = ({ times, floor }: CommandTimes): readonly Aim[] => {
  const mine = (what: string) => times.median('berth', what)
  const kernel = (kind: string) => floor.median('kernel', kind)
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
    ...['state', 'start', 'kill', 'delete'].map((verb) => beside(verb, 'crun', 0.5)),
    beside('exec', 'crun', 0.6),
    beside('exec', 'runc', 0.2),
  ]
}

export const shimAims = ({ times, rates, output }: ShimTimes, floor: Samples): readonly Aim[] => {
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
    ratio: mine(what) / floor.median('kernel', kind),
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

export const clientAims = (times: Samples, width: number): readonly Aim[] => {
  const beside = (what: string, aim: number): Aim => ({
    what: `ctr run --rm, ${what}`,
    against: "runc's shim with runc",
    aim,
    ratio: times.median('berth', what) / times.median('runc', what),
  })
  return [beside('1 at a time', 0.3), beside(`${width} at once`, 0.3)]
}

export const memoryAims = (memory: Samples, pods: number): readonly Aim[] => {
  const beside = (what: string, peer: string, aim: number): Aim => ({
    what,
    against: peer === 'crun' ? 'crun' : "runc's shim",
    aim,
    ratio: memory.median('berth', what) / memory.median(peer, what),
  })
  return [
    beside('private, parked init', 'crun', 1),
    beside('private, shim', 'runc', 0.08),
    beside(`PSS per pod, ${pods} pods`, 'runc', 0.4),
  ]
}
