/** docs/benchmarks.md and its plots. */
import { readFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { root } from '../harness/host.ts'
import {
  type Aim,
  bootAims,
  commandAims,
  engineAims,
  hotAims,
  memoryAims,
  type PolicyTimes,
  policyAims,
  reached,
  shimAims,
} from './aims.ts'
import { CLIENTS } from './clients.ts'
import { ALONE, type CommandTimes, LIFE, ROW, RUN, VERBS } from './commands.ts'
import { ENGINE, type EngineTimes, rateOf, STARTED, TOGETHER, WIDTHS } from './engine.ts'
import { FLOORS } from './floor.ts'
import { ALL, HOT, MAIN } from './hot.ts'
import { type Density, figureOf, METRICS, PROCESSES, perPod } from './memory.ts'
import { WHOLE } from './phases.ts'
import { bars } from './plots.ts'
import { Samples } from './samples.ts'
import { FIRST_BYTE } from './script.ts'
import type { ShimTimes } from './shims.ts'

export interface Measured {
  readonly versions: readonly string[]
  readonly commands: CommandTimes
  readonly shims: ShimTimes
  readonly hot: Samples
  readonly clients: Samples
  /** The version that it was measured with. */
  readonly containerd: string
  readonly phases: Samples
  readonly boot: Samples
  readonly engine: EngineTimes
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
type Statistic = 'least' | 'median' | 'p95'

const pairs = (samples: Samples, columns: readonly string[], one: Statistic, other: Statistic): string =>
  table(
    ['', ...columns],
    samples.names.map((name) => [
      name,
      ...columns.map((what) => {
        const [first, second] = [figure(samples[one](name, what)), figure(samples[other](name, what))]
        return first === '' ? '' : `${first} / ${second}`
      }),
    ]),
  )

const quantiles = (samples: Samples, columns: readonly string[]): string => pairs(samples, columns, 'median', 'p95')

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

/** Of these names alone. */
const only = (samples: Samples, names: readonly string[]): Samples => {
  const some = new Samples()
  for (const name of names)
    for (const what of samples.whats(name)) for (const value of samples.of(name, what)) some.add(name, what, value)
  return some
}

const plot = (samples: Samples, title: string, unit: string, columns: readonly string[]): string =>
  bars(
    title,
    unit,
    columns,
    samples.names.map((name) => ({ name, values: columns.map((what) => samples.median(name, what)) })),
  )

const RATES = (['lives', 'execs'] as const).flatMap((what) => WIDTHS.map((width) => rateOf(what, width)))
const DIRECT = 'lives over ttrpc, 10 at a time'
const OUTPUT = 'stdout through a FIFO'

/** All that goes on at the same time, and the output: how often, and how much, in a second. */
const throughputs = ({ shims, engine }: Measured): { readonly rates: Samples; readonly output: Samples } => {
  const [rates, output] = [new Samples(), new Samples()]
  for (const name of shims.rates.names) rates.add(name, DIRECT, shims.rates.median(name, 'lives'))
  for (const name of engine.rates.names)
    for (const what of RATES) rates.add(name, what, engine.rates.median(name, what))
  for (const name of shims.output.names) output.add(name, OUTPUT, 1024 / shims.output.median(name, 'seconds'))
  return { rates, output }
}

const densities = ({ memory }: Measured): readonly string[] => [...memory.singles, memory.pods].map(perPod)

/** Files beside docs/benchmarks.md, by name. */
export const plots = (measured: Measured): ReadonlyMap<string, string> => {
  const { commands, shims, engine, memory } = measured
  const { rates, output } = throughputs(measured)
  return new Map([
    ['commands.svg', plot(commands.times, 'Commands, medians', 'ms', [...VERBS, LIFE, RUN])],
    ['tasks.svg', plot(shims.times, 'A task over ttrpc, medians', 'ms', [...STEPS, 'exec of true', FIRST_BYTE])],
    ['containerd.svg', plot(engine.times, 'Through containerd, medians', 'ms', Object.values(ENGINE))],
    ['started.svg', plot(engine.together, 'Through containerd, at once', 'ms', [STARTED])],
    ['rates.svg', plot(rates, 'Lives and execs of many at a time', 'a second', [DIRECT, ...RATES])],
    ['output.svg', plot(output, 'Output of a container', 'MiB a second', [OUTPUT])],
    ['memory.svg', plot(only(memory.samples, ['berth', 'runc']), 'Memory for containers', 'kB', densities(measured))],
  ])
}

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

/** A row for each process that is measured of somebody. */
const processTable = (samples: Samples): string => {
  const processes = Object.keys(PROCESSES) as (keyof typeof PROCESSES)[]
  const metrics = Object.keys(METRICS) as (keyof typeof METRICS)[]
  return table(
    ['process', 'of', ...Object.values(METRICS)],
    processes.flatMap((process) =>
      samples.names
        .filter((name) => samples.of(name, figureOf('pss', process)).length > 0)
        .map((name) => [
          PROCESSES[process],
          name,
          ...metrics.map((metric) => samples.median(name, figureOf(metric, process)).toFixed(0)),
        ]),
    ),
  )
}

/** In one sentence. */
const list = (samples: Samples, what: string): string =>
  samples.names.map((name) => `${name} ${figure(samples.median(name, what))}`).join(', ')

export const report = (measured: Measured): string => {
  const { versions, commands, phases, boot, shims, hot, engine, clients, memory } = measured
  const cpu = /model name\s*: (.*)/.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown'
  const count = (samples: Samples, what: string) => samples.of('berth', what).length
  const kernel = (floor: Samples) => FLOORS.map((kind) => `${kind} ${figure(floor.median('kernel', kind))}`).join(', ')
  const { rates } = throughputs(measured)
  return `# Benchmarks

Written by \`make bench\` (test/bench), everything interleaved in one run, on Linux ${release()}, ${cpus().length} CPUs (${cpu}). Ratios are what
counts: the machine is a virtual one and shared. Times are in milliseconds, medians, and behind a slash 95th percentiles. In which order runtimes
have their turns is drawn for each round, and what the kernel alone takes (test/bench/floor.c) is measured in a turn like theirs, by a process that
has just been started; in a loop of its own it takes this: ${kernel(commands.hot)}. Ratios are to the smaller of the two.

${versions.map((line) => `- ${line}`).join('\n')}

## Command line

${count(commands.times, 'create')} lives a runtime. A call is measured around vfork, execve and waitpid in a program in C; the controller is hot. The container has
\`berth spec\`'s configuration and runs \`sleep\`. \`${ALONE}\` is \`berth --no-controller\`: what needs a controller boots one of its own. The
kernel alone: ${kernel(commands.floor)}.

![](benchmarks/commands.svg)

${quantiles(commands.times, [...VERBS, LIFE, RUN])}

\`run\` is of \`true\`, from the call to its end. ${ROW} in seconds, run one after the other by one runtime at a time: ${list(commands.row, ROW)}.

${aims([...commandAims(commands), ...bootAims(boot)])}

Where the ${phases.median(WHOLE, WHOLE).toFixed(0)} µs of a create go that lie between its launcher's first instruction and the last operation, as \`berth create --trace\` tells: medians of ${phases.of(WHOLE, WHOLE).length}. What is
missing is between processes. \`start\` is the launcher until it has the first plan, \`plan\` its wait for the controller, \`clone\` has the making of namespaces.

${phaseTable(phases)}

## Tasks, straight over ttrpc

${count(shims.times, 'life')} lives of \`true\` and ${count(shims.times, 'exec of true')} execs a shim, by a program in C that takes containerd's place: the start call, Create, Start, the exit, Delete, Shutdown and
the delete call. \`runc\` and \`crun\` are runc's shim with the one and the other. A first life is one for which the controller has to boot. The first byte is what a
client reads of a FIFO that is the standard output of \`echo\`, from the Start call of a task that is parked. The kernel alone, in a turn of its own: ${kernel(shims.floor)}.

![](benchmarks/tasks.svg)

${quantiles(shims.times, [...STEPS, 'first life', FIRST_BYTE])}

${quantiles(shims.times, EXEC_STEPS)}

Lives per second, 10 at a time: ${list(shims.rates, 'lives')}. Seconds for 1 GiB of output through a FIFO: ${list(shims.output, 'seconds')}.

![](benchmarks/output.svg)

${aims(shimAims(shims, commands.hot))}

### What one request costs the controller

CPU time of its process, in milliseconds a request, as the kernel's scheduler counts it: a round has as many requests of a kind as tasks, one after the other, each with a
shim of its own, after as many rounds that warm up. All threads are V8's and Node's with it. Medians and 95th percentiles of rounds, of which each Create has ${hot.of(HOT.ctr, ALL).length}.

${quantiles(hot, [MAIN, ALL])}

${aims(hotAims(hot))}

## containerd ${measured.containerd}

${count(engine.times, ENGINE.life)} lives of \`true\` and ${count(engine.times, ENGINE.exec)} execs by a client that stays connected to containerd: container and task are created, started, waited for
and deleted.

![](benchmarks/containerd.svg)

${quantiles(engine.times, Object.values(ENGINE))}

The same by the same client, many at a time: how many a second. In the first column there is no containerd, as above.

![](benchmarks/rates.svg)

${medians(rates, [DIRECT, ...RATES])}

${TOGETHER} tasks of containers that containerd knows already, created and started at the same moment: milliseconds until all of them are started, ${engine.together.of('berth', STARTED).length} times.

![](benchmarks/started.svg)

${quantiles(engine.together, [STARTED])}

${aims(engineAims(engine))}

For information, \`ctr run --rm\` of busybox's \`true\`, ${count(clients, CLIENTS[0] ?? '')} times, and 10 and 50 of them at once, where the time is that of all. ctr's and containerd's own share
is in it, and large.

${quantiles(clients, CLIENTS)}

## Memory

kB. What single processes have, medians: of pods with two containers that sleep, of containers on the command line that sleep, and the controller after ${memory.lives} lives, 10
at a time, and a minute of rest; \`node\` is the same Node that waits for nothing.

${processTable(memory.samples)}

PSS per pod, or per container of a shim of its own, counts all shims, and the controller that they share.

![](benchmarks/memory.svg)

${medians(only(memory.samples, ['berth', 'runc']), densities(measured))}

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

The fastest run, which ratios are of, and behind a slash the median: each call takes the same each time, but others on the machine slow the processor by up to half for
seconds.

${pairs(calls, CALLS, 'least', 'median')}

${quantiles(creates, VERBS)}

${aims(policyAims({ calls, creates }))}
`

/** The text with this section in place of the one of the same heading, or at its end. */
export const withSection = (text: string, section: string): string => {
  const heading = section.slice(0, section.indexOf('\n') + 1)
  const others = text.split(/^(?=## )/m).filter((part) => !part.startsWith(heading))
  return [...others.map((part) => part.trimEnd()), section].join('\n\n')
}
