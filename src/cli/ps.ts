/** `berth ps`: like `ps -ef` of the container's processes, read from /proc; no program is looked up for it. */

import { need, readOp } from '../container/inspect.ts'
import { processesOf } from '../container/processes.ts'
import { parseStat } from '../container/status.ts'
import type { Results } from '../controller/types.ts'
import { OP_FLAGS, type Plan } from '../plan/ops.ts'
import { checkId } from '../spec/id.ts'
import { PASSWD, userNames } from './users.ts'
import type { Verb } from './verb.ts'

/** USER_HZ, which is part of the kernel's ABI on x86-64 and arm64. */
const TICKS = 100
const MAX_PROC = 1 << 20

export const verb: Verb = {
  usage: 'ID',
  flags: { format: { type: 'string', alias: 'f', describe: 'table (default) or json' } },
  args: [1, 1],
  run: async (context) => {
    const { step, globals, first } = context
    const format = context.choice('format', ['table', 'json'], 'table')
    const { state } = await need(step, globals.root, checkId(first))
    const pids = await processesOf(step, state.cgroupPaths)
    if (format === 'json') return { stdout: `${JSON.stringify(pids)}\n` }
    const results = await step('processes', [
      { op: 'clock' },
      readOp('/proc/stat', MAX_PROC),
      PASSWD,
      ...pids.flatMap(processPlan),
    ])
    const now = Number(results.u64(0) / 1_000_000_000n)
    const booted = Number(/^btime (\d+)$/m.exec(results.text(1) ?? '')?.[1] ?? now)
    const nameOf = userNames(results.text(2))
    const rows = pids.flatMap((pid, index) => row(pid, results, 3 + index * 3, { now, booted, nameOf }))
    return { stdout: [HEADER, ...rows].map((line) => `${line}\n`).join('') }
  },
}

const HEADER = 'UID          PID    PPID  C STIME TTY          TIME CMD'

const processPlan = (pid: number): Plan =>
  ['stat', 'status', 'cmdline'].map((file) => readOp(`/proc/${pid}/${file}`, MAX_PROC, OP_FLAGS.tolerate))

interface Host {
  /** Seconds since the epoch. */
  readonly now: number
  readonly booted: number
  readonly nameOf: (uid: number) => string
}

/** One line; none for a process that has gone meanwhile. */
const row = (pid: number, results: Results, at: number, { now, booted, nameOf }: Host): string[] => {
  const stat = parseStat(results.text(at) ?? '')
  if (stat === undefined) return []
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(results.text(at + 1) ?? '')?.[1]
  const cmdline = (results.text(at + 2) ?? '').split('\0').join(' ').trim()
  const cpu = Number(stat.cpuTime) / TICKS
  const started = booted + Number(stat.startTime) / TICKS
  const percent = Math.min(99, Math.floor((cpu * 100) / Math.max(1, now - started)))
  return [
    [
      nameOf(Number(uid ?? 0)).padEnd(8),
      String(pid).padStart(7),
      String(stat.ppid).padStart(7),
      String(percent).padStart(2),
      startText(started, now),
      terminalName(stat.tty).padEnd(8),
      duration(cpu),
      cmdline === '' ? `[${stat.command}]` : cmdline,
    ].join(' '),
  ]
}

/** Time of day (UTC: the controller sees no time zone), or the date where it is a day ago. */
const startText = (started: number, now: number): string => {
  const text = new Date(started * 1000).toUTCString() // Mon, 23 Nov 2026 00:45:08 GMT
  return now - started < 86_400 ? text.slice(17, 22) : `${text.slice(8, 11)}${text.slice(5, 7)}`
}

/** Names of the character devices 4 (consoles, serial lines) and 136 to 143 (pseudoterminals): devices.txt of the kernel. */
const terminalName = (device: number): string => {
  const major = (device >> 8) & 0xfff
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00)
  if (major >= 136 && major <= 143) return `pts/${(major - 136) * 256 + minor}`
  if (major === 4) return minor < 64 ? `tty${minor}` : `ttyS${minor - 64}`
  return '?'
}

const duration = (seconds: number): string =>
  [seconds / 3600, (seconds / 60) % 60, seconds % 60].map((part) => String(Math.floor(part)).padStart(2, '0')).join(':')
