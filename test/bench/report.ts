/** Times as tables: medians, 95th percentiles, ratios, and what was aimed for. */
import { readFileSync } from 'node:fs'
import { cpus, release } from 'node:os'

/** Milliseconds of each call, by runtime and verb. */
export type Times = Map<string, Map<string, number[]>>
/** What floor.c prints for a batch. */
export type Floor = Readonly<
  Record<'create' | 'start' | 'life' | 'delete' | 'exec' | 'spawn', { readonly p50: number }>
>

const VERBS = ['create', 'state', 'start', 'exec', 'kill', 'delete']
const LIFE = ['create', 'start', 'delete']

const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b)
const quantile = (values: readonly number[], q: number) =>
  sorted(values)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? Number.NaN
const median = (values: readonly number[]) => quantile(values, 0.5)

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

export const report = (times: Times, floors: readonly Floor[], versions: readonly string[]): string => {
  const of = (name: string, verb: string) => times.get(name)?.get(verb) ?? []
  /** create + start + delete of one container. */
  const lives = (name: string) =>
    of(name, 'create').map((_, i) => LIFE.reduce((sum, verb) => sum + (of(name, verb)[i] ?? Number.NaN), 0))
  const names = [...times.keys()]
  const others = names.filter((name) => name !== 'berth')
  const columns = [...VERBS, LIFE.join(' + ')]
  const values = (name: string, column: string) => (column.includes('+') ? lives(name) : of(name, column))
  const fastest = (column: string) =>
    Math.min(...others.filter((name) => name.startsWith('crun')).map((name) => median(values(name, column))))
  const floorOf = (kind: keyof Floor) => median(floors.map((floor) => floor[kind].p50))
  const kernel = floorOf('create') + floorOf('life') + floorOf('delete') + 3 * floorOf('spawn')
  const life = columns.at(-1) ?? ''
  const mine = (column: string) => median(values('berth', column))
  const runc = (column: string) => median(values('runc', column))

  const targets: [string, number, number][] = [
    [`${life}, of the faster crun`, mine(life) / fastest(life), 0.4],
    [`${life}, of runc`, mine(life) / runc(life), 0.2],
    [`${life}, of the kernel's own time`, mine(life) / kernel, 2.5],
    ...['state', 'start', 'kill', 'delete'].map((verb): [string, number, number] => [
      `${verb}, of the faster crun`,
      mine(verb) / fastest(verb),
      0.5,
    ]),
    ['exec of true, of the faster crun', mine('exec') / fastest('exec'), 0.6],
    ['exec of true, of runc', mine('exec') / runc('exec'), 0.2],
  ]
  const ms = (value: number) => value.toFixed(2)
  const n = of('berth', 'create').length
  const cpu = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown'
  return `# Benchmarks

Written by \`make bench\` (test/bench): ${n} lives a runtime, interleaved in one run, on Linux ${release()}, ${cpus().length} CPUs (${cpu}). Ratios are
what counts, the machine is a virtual one and shared. A call is measured around vfork, execve and waitpid in a program in C; the controller is
hot. The container has ${'`berth spec`'}'s configuration and runs \`sleep\`.

${versions.map((line) => `- ${line}`).join('\n')}

Medians, and behind the slash 95th percentiles, in milliseconds:

${table(
  ['', ...columns],
  names.map((name) => [
    name,
    ...columns.map((column) => `${ms(median(values(name, column)))} / ${ms(quantile(values(name, column), 0.95))}`),
  ]),
)}

What the kernel alone takes (test/bench/floor.c), medians: ${(
    ['create', 'start', 'life', 'delete', 'exec', 'spawn'] as const
  )
    .map((kind) => `${kind} ${ms(floorOf(kind))}`)
    .join(', ')}; create + life + delete and three times spawn are ${ms(kernel)}.

${table(
  ["berth's median", 'ratio', 'aim', ''],
  targets.map(([what, ratio, aim]) => [what, ratio.toFixed(2), `≤ ${aim}`, ratio <= aim ? 'reached' : 'not reached']),
)}
`
}
