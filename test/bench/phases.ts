/** Where the time of a create goes, as `create --trace` tells it: process by process, operation by operation. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Bundle } from '../harness/bundle.ts'
import type { TraceEvent } from '../harness/trace.ts'
import { Samples } from './samples.ts'

/** Operations that hold others, whose time is told by itself. */
const HOLDERS: ReadonlySet<string> = new Set(['remote', 'resume', 'trace', 'traced'])

/** Microseconds of each operation of one create, by the process that did it; what is done often is added up. */
const sums = (events: readonly TraceEvent[]): Map<string, Map<string, number>> => {
  const tracks = new Map(events.filter(({ ph }) => ph === 'M').map(({ tid, args }) => [tid, args?.name ?? '']))
  const all = new Map<string, Map<string, number>>()
  for (const { name, ph, tid, dur } of events) {
    if (ph !== 'X' || HOLDERS.has(name)) continue
    const who = tracks.get(tid) ?? ''
    const own = all.get(who) ?? new Map<string, number>()
    all.set(who, own.set(name, (own.get(name) ?? 0) + dur))
  }
  return all
}

/** By process and operation, in microseconds; of `create` as a whole, which ends with the last of them, by the name of that. */
export const WHOLE = 'all of it'

export const measurePhases = (program: string, lives: number, tell: (text: string) => void): Samples => {
  const samples = new Samples()
  using bundle = new Bundle(['/bin/sleep', '1000'])
  const file = join(bundle.dir, 'trace.json')
  const id = `bench-phases-${process.pid}`
  for (let done = 0; done < lives; done++) {
    tell(`phases: ${done} of ${lives} creates`)
    execFileSync(program, ['create', '--trace', file, '--bundle', bundle.dir, id], { stdio: 'ignore' })
    execFileSync(program, ['delete', '--force', id], { stdio: 'ignore' })
    const { traceEvents } = JSON.parse(readFileSync(file, 'utf8')) as { traceEvents: readonly TraceEvent[] }
    for (const [who, own] of sums(traceEvents)) for (const [what, us] of own) samples.add(who, what, us)
    const spans = traceEvents.filter(({ ph }) => ph === 'X')
    samples.add(WHOLE, WHOLE, Math.max(...spans.map(({ ts, dur }) => ts + dur)))
  }
  return samples
}
