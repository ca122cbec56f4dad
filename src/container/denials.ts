/** Asks the kernel, and the proxy's file, what the network and HTTP rules of a container have refused. */

import { ATTACH } from '../bpf/network.ts'
import { REDIRECT_COUNTERS } from '../bpf/redirect.ts'
import type { RunStep } from '../controller/types.ts'
import { REDIRECTS } from '../plan/http.ts'
import { DENIALS } from '../plan/network.ts'
import { OP_FLAGS } from '../plan/ops.ts'
import { type Denial, readDenials } from '../policy/denials.ts'
import { COUNTERS_FILE, readHttpDenials } from '../policy/http-counters.ts'
import { JUDGE_COUNTERS_FILE, readJudgeDenials } from '../policy/judge-counters.ts'
import { judgesOf } from '../policy/judges.ts'
import type { Confinement } from '../policy/types.ts'
import { readOp } from './inspect.ts'
import type { Seen } from './seen.ts'

const MAX = 16 << 20

export interface Denials {
  readonly denied: readonly Denial[]
  /** What nobody can tell any more. */
  readonly unknown: readonly string[]
}

const NONE: Denials = { denied: [], unknown: [] }
const NOTHING = new Uint8Array(0)

/** None where it has no such rules, or they were left out. Of a container that has ended, as far as its counters are still there. */
export const denialsOf = async (
  step: RunStep,
  { dir, status, confinement, cgroupPaths }: Pick<Seen, 'dir' | 'status' | 'confinement' | 'cgroupPaths'>,
): Promise<Denials> => {
  if (confinement === undefined) return NONE
  const network = await networkDenials(step, dir, confinement, cgroupPaths, status === 'stopped')
  const judged = await judgeDenials(step, dir, confinement)
  return { denied: [...network.denied, ...judged], unknown: network.unknown }
}

const judgeDenials = async (step: RunStep, dir: string, confinement: Confinement): Promise<Denial[]> => {
  const judges = judgesOf(confinement)
  if (judges.length === 0) return []
  const file = `${dir}/${JUDGE_COUNTERS_FILE}`
  const results = await step('judge denials', [readOp(file, MAX, OP_FLAGS.tolerate)])
  return readJudgeDenials(judges, results.bytes(0) ?? NOTHING)
}

const networkDenials = async (
  step: RunStep,
  dir: string,
  confinement: Confinement,
  cgroupPaths: readonly string[],
  ended: boolean,
): Promise<Denials> => {
  const { policies, network } = confinement
  // The v2 hierarchy's comes first, and each policy with network or HTTP rules has one program for new sockets.
  const [path] = cgroupPaths
  if (network !== '' || path === undefined) return NONE
  // The programs, and what they have counted, go with the cgroup, which does not have to wait for `delete` (systemd removes its own).
  const counts = { op: 'bpf-counts', path, opFlags: ended ? OP_FLAGS.tolerate : 0 } as const
  const results = await step('denials', [
    { ...counts, attach: ATTACH.socket, map: DENIALS },
    readOp(`${dir}/${COUNTERS_FILE}`, MAX, OP_FLAGS.tolerate),
    { ...counts, attach: ATTACH.connect4, map: REDIRECTS },
  ])
  const counted = results.bytes(0)
  return {
    denied: [
      ...readDenials(policies, counted ?? NOTHING),
      ...readHttpDenials(policies, results.bytes(1) ?? NOTHING),
      ...redirectDenials(results.bytes(2) ?? NOTHING),
    ],
    unknown: counted === undefined ? ["what network rules have refused: that went with the container's cgroup"] : [],
  }
}

/** What never reached the proxy, of no policy alone. */
const redirectDenials = (counts: Uint8Array): Denial[] => {
  const view = new DataView(counts.buffer, counts.byteOffset, counts.byteLength)
  const count = (number: number) =>
    4 + 8 * (number + 1) <= view.byteLength ? view.getBigUint64(4 + 8 * number, true) : 0n
  return [
    { from: '', rule: 'http', value: 'UDP to its ports', denied: count(REDIRECT_COUNTERS.datagrams) },
    {
      from: '',
      rule: 'http',
      value: 'connections that the proxy was not there for',
      denied: count(REDIRECT_COUNTERS.connections),
    },
  ].filter(({ denied }) => denied > 0n)
}
