/** docs/benchmarks.md and its plots. */
import { readFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { root } from '../harness/host.ts'
import {
  type Aim,
  bootAims,
  clientAims,
  commandAims,
  engineAims,
  memoryAims,
  type PolicyTimes,
  policyAims,
  reached,
  shimAims,
} from './aims.ts'
import { ALONE, type CommandTimes, LIFE, VERBS } from './commands.ts'
import { ENGINE } from './engine.ts'
import { FLOORS } from './floor.ts'
import { CONTROLLER, type Density, perPod } from './memory.ts'
import { WHOLE } from './phases.ts'
import { bars } from './plots.ts'
import type { Samples } from './samples.ts'
import type { ShimTimes } from './shims.ts'

export interface Measured {
  readonly versions: readonly string[]
  readonly commands: CommandTimes
  readonly shims: ShimTimes
  readonly clients: { readonly times: Samples; readonly version: string; readonly width: number }
  readonly phases: Samples
  readonly boot: Samples
  readonly engine: Samples
  readonly memory: {
    readonly samples: Samples
    readonly pods: Density
    readonly singles: readonly Density[]
    /** Before the controller's was looked at. */
    readonly lives: number
  }
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

const withUnit = (value: string, { unit }: Aim): string => (unit === undefined ? value : `${value} ${unit}`)

const aims = (all: readonly Aim[]): string =>
  table(
    ['', 'against', 'ratio', 'aim', ''],
    all
      .filter(({ ratio }) => Number.isFinite(ratio))
      .map((aim) => [
        aim.what,
        aim.against,
        withUnit(figure(aim.ratio), aim),
        `${aim.atLeast ? '≥' : '≤'} ${withUnit(String(aim.aim), aim)}`,
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

/** What takes longest first; what takes less than this of the whole is told together. */
const SHARE = 0.01

const phaseTable = (phases: Samples): string => {
  const whole = phases.median(WHOLE, WHOLE)
  const all = phases.names
    .filter((who) => who !== WHOLE)
    .flatMap((who) => phases.whats(who).map((what) => ({ who, what, us: phases.median(who, what) })))
    .toSorted((a, b) => b.us - a.us)
  const [most, rest] = [all.filter(({ us }) => us >= whole * SHARE), all.filter(({ us }) => us < whole * SHARE)]
  const row = (who: string, what: string, us: number) => [who, what, us.toFixed(0), (us / whole).toFixed(2)]
  const others = rest.reduce((sum, { us }) => sum + us, 0)
  return table(
    ['process', 'operation', 'µs', 'of the whole'],
    [...most.map(({ who, what, us }) => row(who, what, us)), row('', `${rest.length} others`, others)],
  )
}

export const report = (measured: Measured): string => {
  const { versions, commands, phases, boot, shims, engine, clients, memory } = measured
  const cpu = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown'
  const count = (samples: Samples, what: string) => samples.of('berth', what).length
  const kernel = (floor: Samples) => FLOORS.map((kind) => `${kind} ${figure(floor.median('kernel', kind))}`).join(', ')
  const hot = kernel(commands.hot)
  const wide = `${clients.width} at once`
  return `# Benchmarks

Written by \`make bench\` (test/bench), everything interleaved in one run, on Linux ${release()}, ${cpus().length} CPUs (${cpu}). Ratios are what
counts: the machine is a virtual one and shared. Times are in milliseconds, medians, and behind a slash 95th percentiles. In which order runtimes
have their turns is drawn for each round, and what the kernel alone takes (test/bench/floor.c) is measured in a turn like theirs, by a process that
has just been started; in a loop of its own it takes this: ${hot}.

${versions.map((line) => `- ${line}`).join('\n')}

## Command line

${count(commands.times, 'create')} lives a runtime. A call is measured around vfork, execve and waitpid in a program in C; the controller is hot. The container has
\`berth spec\`'s configuration and runs \`sleep\`. \`${ALONE}\` is \`berth --no-controller\`: what needs a controller boots one of its own. The
kernel alone: ${kernel(commands.floor)}.

![](benchmarks/commands.svg)

${quantiles(commands.times, [...VERBS, LIFE])}

${aims([...commandAims(commands), ...bootAims(boot)])}

Where the ${phases.median(WHOLE, WHOLE).toFixed(0)} µs of a create go that lie between its launcher's first instruction and the last operation, as \`berth create --trace\` tells: medians of ${phases.of(WHOLE, WHOLE).length}. What is
missing is between processes. \`start\` is the launcher until it has the first plan, \`plan\` its wait for the controller, \`clone\` has the making of namespaces.

${phaseTable(phases)}

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

${count(engine, ENGINE.life)} lives of \`true\` and ${count(engine, ENGINE.exec)} execs by a client that stays connected to containerd: container and task are created, started, waited for
and deleted.

${quantiles(engine, Object.values(ENGINE))}

${aims(engineAims(engine))}

\`ctr run --rm\` of busybox's \`true\`, ${count(clients.times, '1 at a time')} times, and ${clients.width} of them at once, where the time is that of all. ctr's and containerd's own share
is in it, and large.

${quantiles(clients.times, ['1 at a time', wide])}

${aims(clientAims(clients.times, clients.width))}

## Memory

kB. A pod has two containers that sleep. PSS per pod, or per container of a shim of its own, counts all shims, and the controller that they share. The
controller is looked at after ${memory.lives} lives, 10 at a time, and a minute of rest; \`node\` is the same Node that waits for nothing.

${medians(memory.samples, ['private, parked init', 'private, shim', 'RSS, shim', ...[...memory.singles, memory.pods].map(perPod), CONTROLLER])}

${aims(memoryAims(memory.samples, memory.pods))}

${readFileSync(join(root, 'test/bench/remarks.md'), 'utf8')}`
}

export const BENCHMARKS = join(root, 'docs/benchmarks.md')

const CALLS = ['connect', 'open + close', 'getpid']

/** A part of its own, which can be measured without the rest. */
export const policySection = ({ calls, creates }: PolicyTimes): string => `## Policies

What a call takes under a policy, in nanoseconds, by programs in C in a container of their own: ${calls.of('nothing', 'connect').length} runs of each, interleaved. connect() is over
the loopback; the file lies three directories below one that is allowed. A full policy has every kind of rule, 20 of the network, but none for requests, whose
proxy is a process that has to boot; \`full-1000\` has 1,000. ${creates.of('full', 'create').length} lives with each, in milliseconds.

What Docker's profile costs getpid() is what the kernel takes for any filter: one of a single instruction, which allows everything, costs the same. The
profile's own search costs nothing, as the kernel keeps a bitmap of the calls that a filter allows whatever their arguments (Linux 5.11).

${quantiles(calls, CALLS)}

${quantiles(creates, VERBS)}

${aims(policyAims({ calls, creates }))}
`

/** The text with this section in place of the one of the same heading, or at its end. */
export const withSection = (text: string, section: string): string => {
  const heading = section.slice(0, section.indexOf('\n') + 1)
  const others = text.split(/^(?=## )/m).filter((part) => !part.startsWith(heading))
  return [...others.map((part) => part.trimEnd()), section].join('\n\n')
}
