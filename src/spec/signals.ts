import { BerthError } from '../errors.ts'

/** Names of signals 1 to 31 on x86 and ARM (signal(7)). */
const NAMES = [
  'HUP',
  'INT',
  'QUIT',
  'ILL',
  'TRAP',
  'ABRT',
  'BUS',
  'FPE',
  'KILL',
  'USR1',
  'SEGV',
  'USR2',
  'PIPE',
  'ALRM',
  'TERM',
  'STKFLT',
  'CHLD',
  'CONT',
  'STOP',
  'TSTP',
  'TTIN',
  'TTOU',
  'URG',
  'XCPU',
  'XFSZ',
  'VTALRM',
  'PROF',
  'WINCH',
  'IO',
  'PWR',
  'SYS',
] as const

const NUMBERS: ReadonlyMap<string, number> = new Map([
  ...NAMES.map((name, index): [string, number] => [name, index + 1]),
  ['IOT', 6],
  ['CLD', 17],
  ['POLL', 29],
])

export const SIGKILL = 9

/** The C libraries' SIGRTMIN, not the kernel's 32: those below are theirs. Programs and images mean this one. */
const RT_MIN = 34
const RT_MAX = 64

/** Parses `KILL`, `SIGKILL`, `kill`, `9`, `SIGRTMIN+3`, `RTMAX-1`. 0 is a signal: it only asks whether the process is there. */
export const parseSignal = (text: string): number => {
  if (/^(0|[1-9][0-9]?)$/.test(text) && Number(text) <= RT_MAX) return Number(text)
  const name = text.toUpperCase().replace(/^SIG/, '')
  const number = NUMBERS.get(name) ?? realTime(name)
  if (number === undefined) throw new BerthError('invalid', `unknown signal ${JSON.stringify(text)}`)
  return number
}

/** `SIGTERM` for 15, `SIGRTMIN+1` for 35; undefined for no signal. */
export const signalName = (signal: number): string | undefined => {
  if (signal >= RT_MIN && signal <= RT_MAX) return signal === RT_MIN ? 'SIGRTMIN' : `SIGRTMIN+${signal - RT_MIN}`
  const name = NAMES[signal - 1]
  return name === undefined ? undefined : `SIG${name}`
}

const realTime = (name: string): number | undefined => {
  const match = /^(?:(RTMIN)(?:\+([0-9]{1,2}))?|RTMAX(?:-([0-9]{1,2}))?)$/.exec(name)
  if (!match) return undefined
  const number = match[1] ? RT_MIN + Number(match[2] ?? 0) : RT_MAX - Number(match[3] ?? 0)
  return number >= RT_MIN && number <= RT_MAX ? number : undefined
}
