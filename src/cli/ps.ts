/** `berth ps`: like `ps -ef` of the container's processes, read from /proc; no program is looked up for it. */

import { need, readOp } from '../container/inspect.ts'
import { processesOf } from '../container/processes.ts'
import { parseStat } from '../container/status.ts'
import type { Results } from '../controller/types.ts'
import { OP_FLAGS, type Plan } from '../plan/ops.ts'
import { checkId } from '../spec/id.ts'
import { psColumns, psTable, type Row } from './ps-columns.ts'
import { PASSWD, userNames } from './users.ts'
import type { Verb } from './verb.ts'

/** USER_HZ, which is part of the kernel's ABI on x86-64 and arm64. */
const TICKS = 100
const MAX_PROC = 1 << 20

export const verb: Verb = {
  usage: 'ID [-ef] [-o COLUMN,...]',
  flags: { format: { type: 'string', alias: 'f', describe: 'table (default) or json' } },
  args: [1, Number.POSITIVE_INFINITY],
  // What follows the id are options of ps, as with runc.
  stopAtFirst: true,
  run: async (context) => {
    const { step, globals, first, args } = context
    const format = context.choice('format', ['table', 'json'], 'table')
    const columns = psColumns(args.slice(1))
    const { state } = await need(step, globals.root, checkId(first))
    const pids = await processesOf(step, state)
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
    const processes = pids.flatMap((pid, index) => describe(pid, results, 3 + index * 3, { now, booted, nameOf }))
    return { stdout: psTable(columns, processes) }
  },
}

const processPlan = (pid: number): Plan =>
  ['stat', 'status', 'cmdline'].map((file) => readOp(`/proc/${pid}/${file}`, MAX_PROC, OP_FLAGS.tolerate))

interface Host {
  /** Seconds since the epoch. */
  readonly now: number
  readonly booted: number
  readonly nameOf: (uid: number) => string
}

/** Every column of one process; none for a process that has gone meanwhile. */
const describe = (pid: number, results: Results, at: number, { now, booted, nameOf }: Host): Row[] => {
  const stat = parseStat(results.text(at) ?? '')
  if (stat === undefined) return []
  const status = (name: string) =>
    new RegExp(`^${name}:\\s+(\\S+)(?:\\s+(\\S+))?`, 'm').exec(results.text(at + 1) ?? '')
  const uid = status('Uid')?.[2] ?? '0'
  const cmdline = (results.text(at + 2) ?? '').split('\0').join(' ').trim()
  const cpu = Number(stat.cpuTime) / TICKS
  const started = booted + Number(stat.startTime) / TICKS
  const share = (cpu * 100) / Math.max(1, now - started)
  return [
    {
      pid: String(pid),
      ppid: String(stat.ppid),
      uid,
      user: nameOf(Number(uid)),
      gid: status('Gid')?.[2] ?? '0',
      c: String(Math.min(99, Math.floor(share))),
      pcpu: share.toFixed(1),
      stime: startText(started, now),
      tty: terminalName(stat.tty),
      time: duration(cpu),
      etime: elapsed(Math.max(0, now - started)),
      s: status('State')?.[1] ?? '?',
      rss: status('VmRSS')?.[1] ?? '0',
      vsz: status('VmSize')?.[1] ?? '0',
      nlwp: status('Threads')?.[1] ?? '1',
      comm: stat.command,
      args: cmdline === '' ? `[${stat.command}]` : cmdline,
    },
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

/** `[[days-]hours:]minutes:seconds` */
const elapsed = (seconds: number): string => {
  const [days, rest] = [Math.floor(seconds / 86_400), duration(seconds % 86_400)]
  return days > 0 ? `${days}-${rest}` : rest.replace(/^00:/, '')
}
