/** linux.intelRdt → a class of service and a monitoring group below a mounted resctrl file system. */

import { posix } from 'node:path'
import type { Results } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import type { IntelRdt, Spec } from '../spec/types.ts'
import type { HostFacts } from './facts.ts'
import { DIR_FLAGS, type Op, type Plan, READ_FLAGS } from './ops.ts'

const POINTER = '/linux/intelRdt'
const MAX = 1 << 20

/** What has to be looked at before anything is made, and the judgement, which throws. */
export interface Inspection {
  readonly plan: Plan
  readonly judge: (results: Results) => void
}

export interface ResctrlPlan {
  readonly inspect?: Inspection
  /** Before the clone. */
  readonly create: Plan
  /** After the clone, before the process runs. */
  readonly join: Plan
  readonly undo: Plan
}

interface Groups {
  readonly rdt: IntelRdt
  /** Directory of the class of service. */
  readonly clos: string
  /** The class is the container's own: it has its id. */
  readonly own: boolean
  readonly monitoring: string | undefined
}

const groupsOf = (spec: Spec, id: string, facts: HostFacts): Groups | undefined => {
  const rdt = spec.linux?.intelRdt
  if (rdt === undefined) return undefined
  if (facts.resctrl === undefined)
    throw new BerthError(
      'unsupported',
      'linux.intelRdt: no resctrl file system is mounted (where the processor has RDT: mount -t resctrl resctrl /sys/fs/resctrl)',
      { pointer: POINTER },
    )
  const clos = posix.resolve(facts.resctrl, rdt.closID === '/' ? '.' : rdt.closID || id)
  const monitoring = rdt.enableMonitoring ? posix.join(clos, 'mon_groups', id) : undefined
  return { rdt, clos, own: !rdt.closID, monitoring }
}

const joinOps = ({ clos, monitoring }: Groups): Op[] => [
  { op: 'write', path: `${clos}/tasks`, data: [{ hole: 'pid' }], flags: 0, mode: 0, pointer: POINTER },
  ...(monitoring === undefined
    ? []
    : [
        {
          op: 'write',
          path: `${monitoring}/tasks`,
          data: [{ hole: 'pid' }],
          flags: 0,
          mode: 0,
          pointer: `${POINTER}/enableMonitoring`,
        } as const,
      ]),
]

/** Moves a further process of the container to where its init is; behind its clone. */
export const joinResctrl = (spec: Spec, id: string, facts: HostFacts): Plan => {
  const groups = groupsOf(spec, id, facts)
  return groups === undefined ? [] : joinOps(groups)
}

/** Lines for `schemata`, in the order of the specification. */
const linesOf = ({ l3CacheSchema, memBwSchema, schemata = [] }: IntelRdt): string[] =>
  [l3CacheSchema, memBwSchema, ...schemata].filter((line) => line !== undefined && line !== '') as string[]

/** The plan for a container. */
export const planResctrl = (spec: Spec, id: string, facts: HostFacts): ResctrlPlan => {
  const groups = groupsOf(spec, id, facts)
  if (groups === undefined) return { create: [], join: [], undo: [] }
  const { rdt, clos, own, monitoring } = groups
  const lines = linesOf(rdt)
  const create: Op[] = []
  if (own) create.push({ op: 'mkdir', path: clos, mode: 0o755, flags: 0, pointer: POINTER })
  else if (lines.length > 0)
    create.push({ op: 'mkdir', path: clos, mode: 0o755, flags: DIR_FLAGS.existOk, pointer: `${POINTER}/closID` })
  if (lines.length > 0)
    create.push({
      op: 'write',
      path: `${clos}/schemata`,
      data: [lines.map((line) => `${line}\n`).join('')],
      flags: 0,
      mode: 0,
      pointer: rdt.schemata?.length ? `${POINTER}/schemata` : POINTER,
    })
  const undo: Op[] = []
  if (monitoring !== undefined) {
    create.push({ op: 'mkdir', path: monitoring, mode: 0o755, flags: 0, pointer: `${POINTER}/enableMonitoring` })
    undo.push({ op: 'rmdir', path: monitoring, flags: DIR_FLAGS.missingOk, pointer: POINTER })
  }
  // A class that has a name outlives the container, even one that was made for it.
  if (own) undo.push({ op: 'rmdir', path: clos, flags: DIR_FLAGS.missingOk, pointer: POINTER })
  return { inspect: inspection(groups, lines), create, join: joinOps(groups), undo }
}

const inspection = ({ rdt, clos, own, monitoring }: Groups, lines: readonly string[]): Inspection => ({
  plan: [
    { op: 'stat', path: clos, flags: READ_FLAGS.missingOk },
    { op: 'read', path: `${clos}/schemata`, max: MAX, flags: READ_FLAGS.missingOk },
    { op: 'stat', path: monitoring ?? `${clos}/mon_groups`, flags: READ_FLAGS.missingOk },
  ],
  judge: (results) => {
    const there = results.bytes(0) !== undefined
    const refuse = (pointer: string, why: string): never => {
      throw new BerthError('invalid', `linux.intelRdt: ${why}`, { pointer: `${POINTER}${pointer}`, subject: clos })
    }
    // What somebody else made would be taken away with the container.
    if (own && there) refuse('', `"${clos}" is there already`)
    if (monitoring !== undefined && results.bytes(2) !== undefined)
      refuse('/enableMonitoring', `"${monitoring}" is there already`)
    if (own) return
    if (!there && lines.length === 0) refuse('/closID', `"${clos}" does not exist, and no schema says how to make it`)
    if (!there) return
    const current = parseSchemata(results.text(1) ?? '')
    for (const name of ['l3CacheSchema', 'memBwSchema'] as const)
      if (rdt[name] && !agrees(rdt[name], current))
        refuse(`/${name}`, `"${rdt[name]}" is not what "${clos}" has: it is another's, or give it another closID`)
  },
})

/** `L3:0=7ff;1=7ff` as resource → cache id → value; the kernel pads and aligns what it shows. */
const parseSchemata = (text: string): Map<string, Map<string, string>> =>
  new Map(
    text
      .split('\n')
      .filter((line) => line.includes(':'))
      .map((line) => {
        const [resource = '', values = ''] = line.split(':', 2)
        const pairs = values.split(';').map((pair) => pair.split('=', 2).map((part) => part.trim()))
        return [
          resource.trim(),
          new Map(pairs.map(([cache = '', value = '']) => [cache, value.replace(/^0+(?=.)/, '').toLowerCase()])),
        ]
      }),
  )

const agrees = (schema: string, current: ReturnType<typeof parseSchemata>): boolean =>
  [...parseSchemata(schema)].every(([resource, values]) =>
    [...values].every(([cache, value]) => current.get(resource)?.get(cache) === value),
  )
