/** Counters of system calls that judges have refused: u64 in a file of the container's, that its supervisor writes. */

import type { Denial } from './denials.ts'
import { JUDGED_CALLS, type Judge } from './judges.ts'
import type { ModuleCall } from './types.ts'

/** Name of the file, in the container's directory. */
export const JUDGE_COUNTERS_FILE = 'judge.denied'
const COUNTER_SIZE = 8

/** What a refusal was of. */
const ruleOf = ({ module, network }: Judge, call: ModuleCall): Pick<Denial, 'rule' | 'value'> => {
  if (module) return { rule: 'module', value: call }
  const kind = call === 'bind' ? (network?.allowBind ? 'allowBind' : 'denyBind') : network?.allow ? 'allow' : 'deny'
  return { rule: `network.${kind}` }
}

/** What was refused: by each judge each kind of call, and at last what none of them has judged in time. What never was is left out. */
export const readJudgeDenials = (judges: readonly Judge[], bytes: Uint8Array): Denial[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const count = (index: number): bigint => {
    const at = index * COUNTER_SIZE
    return at + COUNTER_SIZE <= view.byteLength ? view.getBigUint64(at, true) : 0n
  }
  return [
    ...judges.flatMap((judge, index) =>
      JUDGED_CALLS.map((call, kind) => ({
        from: judge.from,
        ...ruleOf(judge, call),
        denied: count(index * JUDGED_CALLS.length + kind),
      })),
    ),
    { from: '', rule: 'module', value: 'without a verdict', denied: count(judges.length * JUDGED_CALLS.length) },
  ].filter(({ denied }) => denied > 0n)
}
