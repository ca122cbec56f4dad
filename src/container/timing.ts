/** How long a creation took, and with what: from what launcher, monitor and init have recorded of their operations. */

import { ByteReader } from '../plan/bytes.ts'
import { OPS } from '../plan/ops.ts'

/** What `traced` gave, in the launcher and in the monitor. */
export interface Traces {
  readonly launcher: Uint8Array
  readonly monitor: Uint8Array
}

export type Who = 'launcher' | 'controller' | 'monitor' | 'init'

/** Some work of one process; times in nanoseconds, `start` after the launcher's own. */
export interface Span {
  readonly who: Who
  readonly what: string
  readonly start: number
  readonly took: number
}

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(OPS).map(([name, { code }]) => [code, name]))

/** Operations that only hold others, which have spans of their own. */
const HOLDERS: ReadonlySet<string> = new Set(['remote', 'resume', 'trace', 'traced'])

/** What a launcher does between two operations takes less; it has asked the controller then. */
const ASKED_NS = 20_000

const spansOf = (bytes: Uint8Array, outside: Who, from?: bigint): { readonly spans: Span[]; readonly from: bigint } => {
  const reader = new ByteReader(bytes)
  const program = reader.u64()
  const zero = from ?? program
  const spans: Span[] = []
  while (reader.left > 0) {
    const [start, end] = [reader.u64(), reader.u64()]
    const [code, inside] = [reader.u32(), reader.u32()]
    const what = NAMES.get(code) ?? String(code)
    spans.push({ who: inside ? 'init' : outside, what, start: Number(start - zero), took: Number(end - start) })
  }
  return { spans: spans.sort((a, b) => a.start - b.start), from: zero }
}

/** All spans, by their start: operations, and the time that the launcher waited for its controller. */
export const spans = ({ launcher, monitor }: Traces): readonly Span[] => {
  const first = spansOf(launcher, 'launcher')
  const started: Span = { who: 'launcher', what: 'start', start: 0, took: first.spans[0]?.start ?? 0 }
  const waits = first.spans.flatMap(({ start }, index): Span[] => {
    const before = first.spans[index - 1]
    const at = before === undefined ? start : before.start + before.took
    return start - at > ASKED_NS ? [{ who: 'controller', what: 'plan', start: at, took: start - at }] : []
  })
  const below = spansOf(monitor, 'monitor', first.from).spans
  return [started, ...first.spans, ...waits, ...below].sort((a, b) => a.start - b.start)
}

/** What each process did one after the other, in microseconds: when, for how long, what, how often in a row. */
export const timingRows = (traces: Traces): readonly (readonly string[])[] => {
  const rows: { who: Who; what: string; start: number; took: number; times: number }[] = []
  const last = new Map<Who, (typeof rows)[number]>()
  for (const { who, what, start, took } of spans(traces)) {
    if (HOLDERS.has(what)) continue
    const row = last.get(who)
    if (row?.what === what) {
      row.took += took
      row.times++
      continue
    }
    const next = { who, what, start, took, times: 1 }
    last.set(who, next)
    rows.push(next)
  }
  const us = (ns: number): string => (ns / 1000).toFixed(0)
  return [
    ['AT', 'TOOK', 'PROCESS', 'OPERATION'],
    ...rows.map(({ who, what, start, took, times }) => [
      us(start),
      us(took),
      who,
      times === 1 ? what : `${what} (${times})`,
    ]),
  ]
}

/** The same in the format that trace viewers read (Chrome's trace events). */
export const traceFile = (traces: Traces): string => {
  const tracks: readonly Who[] = ['launcher', 'controller', 'monitor', 'init']
  const names = tracks.map((name, tid) => ({ name: 'thread_name', ph: 'M', pid: 1, tid, args: { name } }))
  const events = spans(traces).map(({ who, what, start, took }) => ({
    name: what,
    ph: 'X',
    pid: 1,
    tid: tracks.indexOf(who),
    ts: start / 1000,
    dur: took / 1000,
  }))
  return `${JSON.stringify({ traceEvents: [...names, ...events] })}\n`
}
