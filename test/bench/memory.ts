/** What is kept in memory for containers that do nothing: shims and controllers, parked inits. All in kB, from smaps_rollup. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { containerd } from '../../shim/proto/messages.gen.js'
import { Bundle } from '../harness/bundle.ts'
import { controllerPids, dist, monitorPids, parentOf, pidsWith, until } from '../harness/host.ts'
import { atATime, closeClients, Image, Task } from '../harness/life.ts'
import type { Runtimes } from './commands.ts'
import type { Samples } from './samples.ts'
import { Site, type Subject } from './script.ts'

const v2 = containerd.task

export interface Memory {
  readonly pss: number
  readonly dirty: number
  /** What is its own, dirty or not. */
  readonly private: number
  readonly rss: number
}

export const memoryOf = (pid: number): Memory => {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const field = (name: string) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(rollup)?.[1])
  const dirty = field('Private_Dirty')
  return { pss: field('Pss'), dirty, private: field('Private_Clean') + dirty, rss: field('Rss') }
}

/** The processes that there are, of whoever has such. */
export const PROCESSES = {
  launcher: 'launcher, in the foreground of `run`',
  monitor: 'monitor of a command-line container',
  shim: 'shim of a pod of two',
  parked: 'parked init',
  controller: 'controller at rest',
} as const
export const METRICS = { pss: 'PSS', dirty: 'private dirty', private: 'private', rss: 'RSS' } as const
type Process = keyof typeof PROCESSES
type Metric = keyof typeof METRICS
export const figureOf = (metric: Metric, process: Process): string => `${METRICS[metric]}, ${PROCESSES[process]}`

const note = (samples: Samples, name: string, process: Process, pid: number): Memory => {
  const memory = memoryOf(pid)
  for (const metric of Object.keys(METRICS) as Metric[]) samples.add(name, figureOf(metric, process), memory[metric])
  return memory
}

const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0)

const shimPids = (site: Site): number[] =>
  site.subject.name === 'berth'
    ? monitorPids(site.daemon.address)
    : pidsWith((args) => args.includes(site.daemon.address) && args.includes('-id') && args[0] === site.subject.shim)

/** Then a controller gives back what its last requests took. */
const REST_MS = 2000

/** Whatever state it is in. */
export const remove = async (task: Task, daemon: Site['daemon']): Promise<void> => {
  const { id } = task
  const quietly = (method: string, payload: Uint8Array) => task.call(method, payload).catch(() => {})
  await quietly('Kill', v2.KillRequest.encode({ id, signal: 9 }).finish())
  await quietly('Wait', v2.WaitRequest.encode({ id }).finish())
  await quietly('Delete', v2.DeleteRequest.encode({ id }).finish())
  await quietly('Shutdown', v2.ShutdownRequest.encode({ id }).finish())
  task.client.close()
  await daemon.delete(id)
}

/** So many pods of so many containers each that sleep. */
export interface Density {
  readonly pods: number
  readonly each: number
}
export const perPod = ({ pods, each }: Density): string =>
  each === 1 ? `PSS per container, ${pods}` : `PSS per pod, ${pods} pods`

/** What is kept for each of them. Into `samples` by subject: `perPod`, and of each shim what it has of its own. */
export const measureDensity = async (
  subjects: readonly Subject[],
  density: Density,
  samples: Samples,
  tell: (text: string) => void,
): Promise<void> => {
  const { pods, each } = density
  using image = new Image()
  for (const subject of subjects) {
    using site = new Site(subject, image)
    const { daemon } = site
    const tasks: Task[][] = []
    try {
      await atATime(pods, 5, async (pod) => {
        tell(`${perPod(density)}, ${subject.name}: ${pod + 1}`)
        const sandbox = `bench-${process.pid}-${subject.name}-${each}-${pod}`
        const annotations = { 'io.kubernetes.cri.sandbox-id': sandbox }
        const config = { ...image.config(['/bin/sleep', '10000']), annotations, ociVersion: '1.0.2' }
        tasks[pod] = []
        for (const id of [sandbox, `${sandbox}-c`].slice(0, each)) {
          const task = await Task.start(daemon, id, config)
          tasks[pod].push(task)
          await task.create(image)
          await task.call('Start', v2.StartRequest.encode({ id }).finish())
        }
      })
      await sleep(REST_MS)
      const pids = shimPids(site)
      const shims = pids.map(memoryOf)
      const shared = subject.name === 'berth' ? controllerPids().map(memoryOf) : []
      if (shims.length !== pods) throw new Error(`${subject.name}: ${shims.length} shims for ${pods} pods`)
      samples.add(subject.name, perPod(density), sum([...shims, ...shared].map(({ pss }) => pss)) / pods)
      if (each > 1) for (const pid of pids) note(samples, subject.name, 'shim', pid)
    } finally {
      for (const task of tasks.flatMap((both) => both.toReversed())) await remove(task, daemon)
      closeClients()
    }
  }
}

const monitorsOfCommands = (): readonly number[] => {
  const pids = pidsWith(([name, kind]) => name === 'berth-monitor' && kind === 'cli')
  return pids.filter((pid) => !pids.includes(parentOf(pid)))
}

/** Containers on the command line: one that was created and not started, and one that somebody runs and waits for. */
export const measureContainers = async (runtimes: Runtimes, samples: Samples): Promise<void> => {
  using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
    config.ociVersion = '1.0.2'
  })
  for (const [name, path] of runtimes) {
    const id = `bench-${process.pid}-${name}`
    const stateOf = () =>
      JSON.parse(execFileSync(path, ['state', id], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
    const others = monitorsOfCommands()
    // what stays holds no pipe of ours
    execFileSync(path, ['create', '--bundle', bundle.dir, id], { stdio: 'ignore' })
    note(samples, name, 'parked', stateOf().pid)
    for (const pid of monitorsOfCommands()) if (!others.includes(pid)) note(samples, name, 'monitor', pid)
    execFileSync(path, ['delete', '--force', id], { stdio: 'ignore' })

    const launcher = spawn(path, ['run', '--bundle', bundle.dir, id], { stdio: 'ignore' })
    const left = once(launcher, 'exit')
    const running = () => {
      try {
        return stateOf().status === 'running'
      } catch {
        return false // it is not there yet
      }
    }
    await until(`${name} runs`, running)
    note(samples, name, 'launcher', launcher.pid ?? 0)
    // who runs it removes it
    execFileSync(path, ['kill', id, 'KILL'], { stdio: 'ignore' })
    await left
  }
}

/** What the controller has of its own after a minute in which nobody has asked it for anything, and Node alone. */
export const measureController = async (samples: Samples, tell: (text: string) => void): Promise<void> => {
  tell('the controller rests for a minute')
  await sleep(60_000)
  const [controller, ...others] = controllerPids()
  if (controller === undefined || others.length > 0) throw new Error(`${others.length + 1} controllers are not one`)
  note(samples, 'berth', 'controller', controller)
  const node = spawn(join(dist, 'node'), ['-e', 'setInterval(() => {}, 1 << 30); console.log()'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await once(node.stdout, 'data')
    note(samples, 'node', 'controller', node.pid ?? 0)
  } finally {
    node.kill('SIGKILL')
  }
}
