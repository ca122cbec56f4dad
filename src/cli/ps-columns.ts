/** The columns of ps(1) that `berth ps` knows, and which of them its options ask for. */

import { BerthError } from '../errors.ts'

interface Column {
  readonly header: string
  readonly width: number
  readonly right?: true
  /** Other names of ps(1) for it. */
  readonly also?: readonly string[]
}

const COLUMNS = {
  pid: { header: 'PID', width: 7, right: true },
  ppid: { header: 'PPID', width: 7, right: true },
  uid: { header: 'UID', width: 5, right: true, also: ['euid'] },
  user: { header: 'USER', width: 8, also: ['euser', 'uname'] },
  gid: { header: 'GID', width: 5, right: true, also: ['egid'] },
  c: { header: 'C', width: 2, right: true },
  pcpu: { header: '%CPU', width: 4, right: true, also: ['%cpu'] },
  stime: { header: 'STIME', width: 5, also: ['start_time'] },
  tty: { header: 'TT', width: 8, also: ['tt', 'tname'] },
  time: { header: 'TIME', width: 8, right: true, also: ['cputime'] },
  etime: { header: 'ELAPSED', width: 11, right: true },
  s: { header: 'S', width: 1, also: ['state'] },
  rss: { header: 'RSS', width: 5, right: true, also: ['rssize', 'rsz'] },
  vsz: { header: 'VSZ', width: 6, right: true, also: ['vsize'] },
  nlwp: { header: 'NLWP', width: 4, right: true, also: ['thcount'] },
  comm: { header: 'COMMAND', width: 15, also: ['ucmd', 'ucomm'] },
  args: { header: 'COMMAND', width: 27, also: ['cmd', 'command'] },
} as const satisfies Record<string, Column>

type Name = keyof typeof COLUMNS
/** What each column shows of a process. */
export type Row = Readonly<Record<Name, string>>

interface Shown {
  readonly name: Name
  readonly header: string
}

/** `ps -ef`. */
const FULL: readonly Shown[] = [
  { name: 'user', header: 'UID' },
  ...(['pid', 'ppid', 'c', 'stime'] as const).map((name) => ({ name, header: COLUMNS[name].header })),
  { name: 'tty', header: 'TTY' },
  { name: 'time', header: 'TIME' },
  { name: 'args', header: 'CMD' },
]

const find = (text: string): Name => {
  for (const [name, { also = [] }] of Object.entries(COLUMNS) as [Name, Column][])
    if (name === text || also.includes(text)) return name
  throw new BerthError('usage', `unknown column ${JSON.stringify(text)}: known are ${Object.keys(COLUMNS).join(' ')}`)
}

/** `pid,comm` or `pid=ID`: a header of one's own takes the rest of the list, as ps(1) has it. */
const parseList = (list: string): Shown[] => {
  const [names = '', ...own] = list.split('=')
  const shown = names
    .split(/[\s,]+/)
    .filter((text) => text !== '')
    .map(find)
  if (shown.length === 0) throw new BerthError('usage', '-o needs names of columns')
  return shown.map((name, index) => ({
    name,
    header: own.length > 0 && index === shown.length - 1 ? own.join('=') : COLUMNS[name].header,
  }))
}

/** The columns that options of ps ask for; all processes of the container are shown, whichever others these select. */
export const psColumns = (options: readonly string[]): readonly Shown[] => {
  const chosen: Shown[] = []
  const rest = options.filter((option) => option !== '--')
  while (rest.length > 0) {
    const option = rest.shift() ?? ''
    const [, letters, list] = /^-([eAf]*)(?:o(.*))?$/s.exec(option) ?? []
    if (letters === undefined || option === '-')
      throw new BerthError('usage', `option ${JSON.stringify(option)} is not known: expected -e, -f or -o COLUMN,…`)
    if (list !== undefined) chosen.push(...parseList(list === '' ? (rest.shift() ?? '') : list))
  }
  return chosen.length > 0 ? chosen : FULL
}

export const psTable = (columns: readonly Shown[], rows: readonly Row[]): string => {
  const heading = Object.fromEntries(columns.map(({ name, header }) => [name, header]))
  const lines = rows.map((row): Readonly<Record<string, string>> => row)
  // A row of empty headers is left out.
  return [...(columns.some(({ header }) => header !== '') ? [heading] : []), ...lines]
    .map((row) => columns.map(({ name, header }, at) => cell(name, header, row[name] ?? '', at === columns.length - 1)))
    .map((cells) => `${cells.join(' ')}\n`)
    .join('')
}

const cell = (name: Name, header: string, text: string, last: boolean): string => {
  const { width, right }: Column = COLUMNS[name]
  const wide = Math.max(width, header.length)
  if (right) return text.padStart(wide)
  return last ? text : text.padEnd(wide)
}
