/**
 * berth beside runc, crun and the kernel, in one run; writes docs/benchmarks.md. Run with: make bench
 * LIVES (100) of each runtime on the command line and over ttrpc, PODS (100) for their memory, CONTROLLER_LIVES (10000) for the
 * controller's; WRITE=0 only prints.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { binary, root } from '../harness/host.ts'
import { measureBoot } from './boot.ts'
import { measureClients } from './clients.ts'
import { measureCommands } from './commands.ts'
import { measureEngine } from './engine.ts'
import { measureHot } from './hot.ts'
import { type Density, measureContainers, measureController, measureDensity } from './memory.ts'
import { measurePhases } from './phases.ts'
import { installed, newest } from './programs.ts'
import { plots, report } from './report.ts'
import { Samples } from './samples.ts'
import { liveOn, measureShims, shimSubjects } from './shims.ts'

const CONTAINERD = '2.1'
/** What one request costs is asked of so many tasks at a time, and so many times: V8 goes on compiling for some hundred requests of a kind. */
const [HOT_EACH, HOT_ROUNDS] = [20, 10]
const number = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise)
const lives = number('LIVES', 100)
const pods: Density = { pods: number('PODS', 100), each: 2 }
const singles: readonly Density[] = [10, 100].map((count) => ({ pods: count, each: 1 }))
const controllerLives = number('CONTROLLER_LIVES', 10_000)

/** On a terminal a line that changes, else nothing. */
const tell = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

const peers = {
  crun: installed('crun', '/usr/bin/crun'),
  runc: installed('runc', '/usr/sbin/runc'),
  shim: installed('containerd', '/usr/bin/containerd-shim-runc-v2'),
}
const runtimes = Object.entries({
  berth: binary,
  crun: peers.crun,
  'crun-newest': newest('crun'),
  runc: peers.runc,
  'runc-newest': newest('runc'),
}).flatMap(([name, path]) => (path === undefined ? [] : [[name, path] as const]))

const commands = measureCommands(runtimes, lives, tell)
const phases = measurePhases(binary, lives, tell)
const boot = measureBoot(lives, tell)
const subjects = shimSubjects(peers)
const shims = await measureShims(subjects, { lives, execs: lives, first: 20, tell })
const hot = await measureHot(CONTAINERD, { rounds: HOT_ROUNDS, each: HOT_EACH }, tell)
const engine = await measureEngine(CONTAINERD, { lives, first: 20, rounds: 4 }, tell)
const clients = await measureClients(CONTAINERD, tell)
const memory = new Samples()
await measureContainers(runtimes, memory)
const shimsOfTheirOwn = subjects.filter(({ runtime }) => runtime === undefined)
for (const density of [...singles, pods]) await measureDensity(shimsOfTheirOwn, density, memory, tell)
await liveOn(controllerLives, tell)
await measureController(memory, tell)
tell('')

const measured = {
  versions: runtimes.map(
    ([name, path]) => `${name}: ${execFileSync(path, ['--version'], { encoding: 'utf8' }).split('\n')[0]}`,
  ),
  commands,
  phases,
  boot,
  shims,
  hot,
  engine,
  clients,
  containerd: CONTAINERD,
  memory: { samples: memory, pods, singles, lives: controllerLives },
}
const text = report(measured)
console.log(text)
if (process.env.WRITE !== '0') {
  writeFileSync(join(root, 'docs/benchmarks.md'), text)
  mkdirSync(join(root, 'docs/benchmarks'), { recursive: true })
  for (const [name, svg] of plots(measured)) writeFileSync(join(root, 'docs/benchmarks', name), svg)
}
