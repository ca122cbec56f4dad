/** Tasks straight over the task API, without a containerd: runc's shim with runc and with crun, and berth's, interleaved. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { controllerPids, hasEnded, shimBinary, until } from '../harness/host.ts'
import { Image } from '../harness/life.ts'
import { addFloor } from './floor.ts'
import { shuffled } from './order.ts'
import { program } from './programs.ts'
import { Samples } from './samples.ts'
import { FIRST_BYTE, type Script, Site, type Subject } from './script.ts'

const OUTPUT_BYTES = 1 << 30

export interface ShimTimes {
  /** Milliseconds, by subject and step. */
  readonly times: Samples
  /** Milliseconds, by FLOORS, of `kernel`: a life each, in between the others'. */
  readonly floor: Samples
  /** Lives per second, ten at a time. */
  readonly rates: Samples
  /** Seconds for 1 GiB of output. */
  readonly output: Samples
}

export const shimSubjects = (peers: { readonly shim: string; readonly crun: string }): readonly Subject[] => [
  { name: 'berth', shim: shimBinary },
  { name: 'runc', shim: peers.shim },
  { name: 'crun', shim: peers.shim, runtime: peers.crun },
]

/** Plays scripts one after the other; what calls.c prints. */
const play = async (calls: string, site: Site, scripts: readonly Script[]): Promise<string> => {
  const child = spawn(calls, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, TTRPC_ADDRESS: site.daemon.events },
  })
  child.stdin.end(scripts.map((script) => script.text).join(''))
  const [out, [status]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  if (status !== 0) throw new Error(`${site.subject.name}: calls ended with ${status}`)
  return out
}

/** What it printed of one step. */
const linesOf = (out: string, what: string): string =>
  out
    .split('\n')
    .filter((line) => line.includes(`/${what} `))
    .join('\n')

/** What is hot from now on has to boot again. */
export const endControllers = async (): Promise<void> => {
  const pids = controllerPids()
  for (const pid of pids) process.kill(pid)
  await until('controllers end', () => pids.every(hasEnded))
}

const life = (site: Site, id: string): Script => site.script(id, ['/bin/true']).begin().up().down().end('life')

/** So many lives of berth's tasks, ten at a time, of which nothing is noted, with a controller that is new. */
export const liveOn = async (lives: number, tell: (text: string) => void): Promise<void> => {
  const [WIDTH, EACH] = [10, 20]
  const calls = program('calls')
  await endControllers()
  using image = new Image()
  using site = new Site({ name: 'berth', shim: shimBinary }, image)
  let count = 0
  while (count < lives) {
    tell(`lives of the controller: ${count} of ${lives}`)
    const scripts = () => Array.from({ length: EACH }, () => life(site, `bench-${process.pid}-many-${count++}`))
    await Promise.all(Array.from({ length: WIDTH }, () => play(calls, site, scripts())))
  }
}

/** `lives` and `execs` of each subject, `first` lives of a host where nothing runs yet. `tell`: what is going on. */
export const measureShims = async (
  subjects: readonly Subject[],
  { lives, execs, first, tell }: { lives: number; execs: number; first: number; tell: (text: string) => void },
): Promise<ShimTimes> => {
  const [calls, floorProgram] = [program('calls'), program('floor')]
  const names = subjects.map(({ name }) => name)
  const [times, floor, rates, output] = [new Samples(names), new Samples(), new Samples(names), new Samples(names)]
  using image = new Image()
  using stack = new DisposableStack()
  const sites = subjects.map((subject) => stack.use(new Site(subject, image)))
  let count = 0
  const next = (site: Site) => `bench-${process.pid}-${site.subject.name}-${count++}`

  for (let i = -2; i < lives; i++) {
    tell(`lives over ttrpc: ${i + 1} of ${lives}`)
    for (const site of shuffled([...sites, undefined])) {
      if (site === undefined) {
        const line = execFileSync(floorProgram, [image.dir, '1'], { encoding: 'utf8' })
        if (i >= 0) addFloor(floor, line)
      } else {
        const lines = await play(calls, site, [life(site, next(site))])
        if (i >= 0) times.addLines(lines)
      }
    }
  }
  const fifoOf = (site: Site, id: string): string => {
    const fifo = join(site.daemon.bundle(id), 'stdout')
    execFileSync('mkfifo', [fifo])
    return fifo
  }
  for (let i = -2; i < lives; i++) {
    tell(`first bytes over ttrpc: ${i + 1} of ${lives}`)
    for (const site of shuffled(sites)) {
      const id = next(site)
      const stdout = fifoOf(site, id)
      const lines = await play(calls, site, [
        site.script(id, ['/bin/echo', 'hello'], { stdout, stderr: stdout }).speaks(stdout).down(),
      ])
      if (i >= 0) times.addLines(linesOf(lines, FIRST_BYTE))
    }
  }
  const BATCH = 25
  for (let i = 0; i < execs; i += BATCH) {
    tell(`execs over ttrpc: ${i} of ${execs}`)
    for (const site of shuffled(sites)) {
      const script = site.script(next(site), ['/bin/sleep', '1000']).up().exec('warm')
      const lines = await play(calls, site, [
        Array.from({ length: BATCH }, (_, n) => `e${n}`)
          .reduce((all, id) => all.exec(id), script)
          .kill()
          .down(),
      ])
      times.addLines(
        lines
          .split('\n')
          .filter((line) => /exec/i.test(line))
          .slice(-5 * BATCH)
          .join('\n'),
      )
    }
  }
  const [WIDTH, EACH] = [10, 5]
  for (let i = 0; i < 4; i++) {
    tell(`lives, ${WIDTH} at a time: ${i * WIDTH * EACH}`)
    for (const site of shuffled(sites)) {
      const rows = Array.from({ length: WIDTH }, () => Array.from({ length: EACH }, () => life(site, next(site))))
      const begin = performance.now()
      await Promise.all(rows.map((scripts) => play(calls, site, scripts)))
      rates.add(site.subject.name, 'lives', (1000 * WIDTH * EACH) / (performance.now() - begin))
    }
  }
  for (let i = 0; i < first; i++) {
    tell(`first lives of a host: ${i + 1} of ${first}`)
    for (const site of shuffled(sites)) {
      // Its configuration is written with berth.
      const script = life(site, next(site))
      await endControllers()
      const lines = await play(calls, site, [script])
      times.addLines(linesOf(lines, 'life').replace('/life ', '/first life '))
    }
  }
  for (let i = 0; i < 3; i++) {
    tell(`output: ${i + 1} of 3`)
    for (const site of shuffled(sites)) {
      const id = next(site)
      const fifo = fifoOf(site, id)
      const reader = spawn('/bin/cat', [fifo], { stdio: 'ignore' })
      const script = site.script(id, ['/bin/sh', '-c', `exec head -c ${OUTPUT_BYTES} /dev/zero`], {
        stdout: fifo,
        stderr: fifo,
      })
      const begin = performance.now()
      await Promise.all([play(calls, site, [script.up().down()]), once(reader, 'exit')])
      output.add(site.subject.name, 'seconds', (performance.now() - begin) / 1000)
    }
  }
  return { times, floor, rates, output }
}
