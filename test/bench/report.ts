/** docs/benchmarks.md and its plots. */
import { readFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { type Aim, clientAims, commandAims, memoryAims, reached, shimAims } from './aims.ts'
import { type CommandTimes, FLOORS, LIFE, VERBS } from './commands.ts'
import { bars } from './plots.ts'
import type { Samples } from './samples.ts'
import type { ShimTimes } from './shims.ts'

export interface Measured {
  readonly versions: readonly string[]
  readonly commands: CommandTimes
  readonly shims: ShimTimes
  readonly clients: { readonly times: Samples; readonly version: string; readonly width: number }
  readonly memory: { readonly samples: Samples; readonly pods: number }
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

const figure = (value: number): string => (Number.isNaN(value) ? '' : value.toFixed(2))

/** Median and 95th percentile of each, a row by name. */
const quantiles = (samples: Samples, columns: readonly string[]): string =>
  table(
    ['', ...columns],
    samples.names.map((name) => [
      name,
      ...columns.map((what) => {
        const [middle, most] = [figure(samples.median(name, what)), figure(samples.p95(name, what))]
        return middle === '' ? '' : `${middle} / ${most}`
      }),
    ]),
  )

const medians = (samples: Samples, columns: readonly string[]): string =>
  table(
    ['', ...columns],
    samples.names.map((name) => [name, ...columns.map((what) => figure(samples.median(name, what)))]),
  )

const aims = (all: readonly Aim[]): string =>
  table(
    ['', 'against', 'ratio', 'aim', ''],
    all
      .filter(({ ratio }) => Number.isFinite(ratio))
      .map((aim) => [
        aim.what,
        aim.against,
        figure(aim.ratio),
        `${aim.atLeast ? '≥' : '≤'} ${aim.aim}`,
        reached(aim) ? 'reached' : 'not reached',
      ]),
  )

const STEPS = ['start call', 'Create', 'Start', 'exit', 'Delete', 'Shutdown', 'delete call', 'life']
const EXEC_STEPS = ['Exec', 'Start of an exec', 'exit of an exec', 'Delete of an exec', 'exec of true']

const plot = (samples: Samples, title: string, unit: string, columns: readonly string[]): string =>
  bars(
    title,
    unit,
    columns,
    samples.names.map((name) => ({ name, values: columns.map((what) => samples.median(name, what)) })),
  )

/** Files beside docs/benchmarks.md, by name. */
export const plots = ({ commands, shims }: Measured): ReadonlyMap<string, string> =>
  new Map([
    ['commands.svg', plot(commands.times, 'Commands, medians', 'ms', [...VERBS, LIFE])],
    ['tasks.svg', plot(shims.times, 'A task over ttrpc, medians', 'ms', [...STEPS, 'exec of true'])],
  ])

export const report = (measured: Measured): string => {
  const { versions, commands, shims, clients, memory } = measured
  const cpu = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown'
  const count = (samples: Samples, what: string) => samples.of('berth', what).length
  const kernel = FLOORS.map((kind) => `${kind} ${figure(commands.floor.median('kernel', kind))}`).join(', ')
  const wide = `${clients.width} at once`
  return `# Benchmarks

Written by \`make bench\` (test/bench), everything interleaved in one run, on Linux ${release()}, ${cpus().length} CPUs (${cpu}). Ratios are what
counts: the machine is a virtual one and shared. Times are in milliseconds, medians, and behind a slash 95th percentiles.

${versions.map((line) => `- ${line}`).join('\n')}

What the kernel alone takes (test/bench/floor.c): ${kernel}.

## Command line

${count(commands.times, 'create')} lives a runtime. A call is measured around vfork, execve and waitpid in a program in C; the controller is hot. The container has
\`berth spec\`'s configuration and runs \`sleep\`.

![](benchmarks/commands.svg)

${quantiles(commands.times, [...VERBS, LIFE])}

${aims(commandAims(commands))}

## Tasks, straight over ttrpc

${count(shims.times, 'life')} lives of \`true\` and ${count(shims.times, 'exec of true')} execs a shim, by a program in C that takes containerd's place: the start call, Create, Start, the exit, Delete, Shutdown and
the delete call. \`runc\` and \`crun\` are runc's shim with the one and the other. A first life is one for which the controller has to boot.

![](benchmarks/tasks.svg)

${quantiles(shims.times, [...STEPS, 'first life'])}

${quantiles(shims.times, EXEC_STEPS)}

Lives per second, 10 at a time: ${shims.rates.names.map((name) => `${name} ${figure(shims.rates.median(name, 'lives'))}`).join(', ')}. Seconds for 1 GiB of output through a FIFO:
${shims.output.names.map((name) => `${name} ${figure(shims.output.median(name, 'seconds'))}`).join(', ')}.

${aims(shimAims(shims, commands.floor))}

## containerd ${clients.version}

\`ctr run --rm\` of busybox's \`true\`, ${count(clients.times, '1 at a time')} times, and ${clients.width} of them at once, where the time is that of all. ctr's and containerd's own share
is in it, and large.

${quantiles(clients.times, ['1 at a time', wide])}

${aims(clientAims(clients.times, clients.width))}

## Memory

kB. A pod has two containers that sleep. PSS per pod counts all shims, and the controller that they share.

${medians(memory.samples, ['private, parked init', 'private, shim', 'RSS, shim', `PSS per pod, ${memory.pods} pods`])}

${aims(memoryAims(memory.samples, memory.pods))}
`
}
