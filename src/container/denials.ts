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

/** None where it has no such rules, or they were left out. */
export const denialsOf = async (
  step: RunStep,
  { dir, confinement, cgroupPaths }: Pick<Seen, 'dir' | 'confinement' | 'cgroupPaths'>,
): Promise<Denial[]> => {
  if (confinement === undefined) return []
  return [
    ...(await networkDenials(step, dir, confinement, cgroupPaths)),
    ...(await judgeDenials(step, dir, confinement)),
  ]
}

const judgeDenials = async (step: RunStep, dir: string, confinement: Confinement): Promise<Denial[]> => {
  const judges = judgesOf(confinement)
  if (judges.length === 0) return []
  const file = `${dir}/${JUDGE_COUNTERS_FILE}`
  const results = await step('judge denials', [readOp(file, MAX, OP_FLAGS.tolerate)])
  return readJudgeDenials(judges, results.bytes(0) ?? new Uint8Array(0))
}

const networkDenials = async (
  step: RunStep,
  dir: string,
  confinement: Confinement,
  cgroupPaths: readonly string[],
): Promise<Denial[]> => {
  // The v2 hierarchy's comes first, and each policy with network or HTTP rules has one program for new sockets.
  const [path] = cgroupPaths
  if (confinement.network !== '' || path === undefined) return []
  const results = await step('denials', [
    { op: 'bpf-counts', path, attach: ATTACH.socket, map: DENIALS },
    readOp(`${dir}/${COUNTERS_FILE}`, MAX, OP_FLAGS.tolerate),
    { op: 'bpf-counts', path, attach: ATTACH.connect4, map: REDIRECTS },
  ])
  const nothing = new Uint8Array(0)
  return [
    ...readDenials(confinement.policies, results.bytes(0) ?? nothing),
    ...readHttpDenials(confinement.policies, results.bytes(1) ?? nothing),
    ...redirectDenials(results.bytes(2) ?? nothing),
  ]
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
