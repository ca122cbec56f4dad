/** What one request costs a hot controller: CPU time of its process, by the kernel's scheduler, over many requests of a kind straight over the task API. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { containerd } from '../../shim/proto/messages.gen.js'
import type { Config } from '../harness/bundle.ts'
import { Containerd, image as imageName, runtime, type Version } from '../harness/containerd.ts'
import { controllerPids, root } from '../harness/host.ts'
import { closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { processOf } from '../harness/sequences.ts'
import { Daemon } from '../harness/shim.ts'
import { remove } from './memory.ts'
import { Samples } from './samples.ts'
import { endControllers } from './shims.ts'

const v2 = containerd.task

export const HOT = {
  ctr: 'Create of what `ctr run` writes',
  docker: "Create of the same with Docker's seccomp profile",
  start: 'Start',
  state: 'State',
  stats: 'Stats',
  exec: 'Exec',
  execStart: 'Start of an exec',
  execKill: 'Kill and Wait of an exec, and its exit',
  execDelete: 'Delete of an exec',
  kill: 'Kill and Wait, and the exit',
  delete: 'Delete',
} as const
/** Those that an aim is for. */
export const COMMON: readonly (keyof typeof HOT)[] = ['ctr', 'docker', 'exec', 'execStart', 'stats']
export const MAIN = 'main thread'
export const ALL = 'all threads'

/** config.json as `ctr run` writes it. */
const configOfCtr = async (version: Version): Promise<Config> => {
  await using containerd = await Containerd.start(version)
  const id = 'bench-config'
  const args = ['run', '--detach', '--runtime', runtime, imageName, id, '/bin/sleep', '1000']
  const { code, stderr } = await containerd.ctr(args)
  if (code !== 0) throw new Error(`ctr ${args.join(' ')}: ${stderr}`)
  const bundle = join(containerd.dir, 'state/io.containerd.runtime.v2.task/default', id)
  const config = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8'))
  await containerd.ctr(['task', 'rm', '--force', id])
  await containerd.ctr(['container', 'rm', id])
  return config
}

const onCpu = (thread: string): number => Number(readFileSync(`${thread}/schedstat`, 'utf8').split(' ')[0])

/** Milliseconds that it has had so far. */
const cpuOf = (pid: number) => ({
  main: onCpu(`/proc/${pid}/task/${pid}`) / 1e6,
  all: readdirSync(`/proc/${pid}/task`).reduce((sum, tid) => sum + onCpu(`/proc/${pid}/task/${tid}`), 0) / 1e6,
})

/** An answer may be there before what it leaves to do is done; a controller that rests collects garbage after a second. */
const STILL_MS = 100

const settled = async (pid: number) => {
  let before = cpuOf(pid)
  for (;;) {
    await sleep(STILL_MS)
    const now = cpuOf(pid)
    if (now.all === before.all) return now
    before = now
  }
}

/** `rounds` of `each` tasks, after as many that warm up: milliseconds a request, of HOT's by MAIN and ALL. */
export const measureHot = async (
  version: Version,
  { rounds, each }: { rounds: number; each: number },
  tell: (text: string) => void,
): Promise<Samples> => {
  const samples = new Samples(Object.values(HOT))
  const ctr = await configOfCtr(version)
  const seccomp = JSON.parse(readFileSync(join(root, 'test/fixtures/docker-seccomp.json'), 'utf8'))
  using image = new Image()
  mkdirSync(join(image.dir, 'run')) // `ctr run` has something mounted there
  using daemon = new Daemon()
  const events = eventsSocket(daemon)
  let count = 0
  const tasks: Task[] = []
  const end = async () => {
    for (const task of tasks.splice(0)) await remove(task, daemon)
  }
  const round = async (config: Config, create: 'ctr' | 'docker', noted: boolean): Promise<void> => {
    for (let i = 0; i < each; i++) {
      const id = `bench-${process.pid}-hot-${count++}`
      const linux = { ...config.linux, cgroupsPath: `/berth-bench-${id}` }
      tasks.push(await Task.start(daemon, id, { ...config, linux }))
    }
    const cost = async (kind: keyof typeof HOT, ask: (task: Task) => Promise<unknown>): Promise<void> => {
      const [pid, ...others] = controllerPids()
      if (pid === undefined || others.length > 0) throw new Error(`${others.length + 1} controllers are not one`)
      const before = await settled(pid)
      for (const task of tasks) await ask(task)
      const after = await settled(pid)
      if (!noted) return
      samples.add(HOT[kind], MAIN, (after.main - before.main) / each)
      samples.add(HOT[kind], ALL, (after.all - before.all) / each)
    }
    const named = ({ id }: Task) => ({ id, execId: 'e' })
    const spec = processOf(config, { args: ['/bin/sleep', '1000'] })
    await cost(create, (task) => task.create(image))
    await cost('start', (task) => task.call('Start', v2.StartRequest.encode({ id: task.id }).finish()))
    await cost('state', (task) => task.call('State', v2.StateRequest.encode({ id: task.id }).finish()))
    await cost('stats', (task) => task.call('Stats', v2.StatsRequest.encode({ id: task.id }).finish()))
    await cost('exec', (task) => task.call('Exec', v2.ExecRequest.encode({ ...named(task), spec }).finish()))
    await cost('execStart', (task) => task.call('Start', v2.StartRequest.encode(named(task)).finish()))
    await cost('execKill', async (task) => {
      await task.call('Kill', v2.KillRequest.encode({ ...named(task), signal: 9 }).finish())
      await task.call('Wait', v2.WaitRequest.encode(named(task)).finish())
    })
    await cost('execDelete', (task) => task.call('Delete', v2.DeleteRequest.encode(named(task)).finish()))
    await cost('kill', async (task) => {
      await task.call('Kill', v2.KillRequest.encode({ id: task.id, signal: 9 }).finish())
      await task.call('Wait', v2.WaitRequest.encode({ id: task.id }).finish())
    })
    await cost('delete', (task) => task.call('Delete', v2.DeleteRequest.encode({ id: task.id }).finish()))
    await end()
  }
  try {
    // that of containerd's shims is another one
    await endControllers()
    const first = await Task.start(daemon, `bench-${process.pid}-hot`, image.config(['/bin/true']))
    await first.live(daemon, image)
    for (let i = -rounds; i < rounds; i++) {
      tell(`CPU time of requests: ${i + rounds + 1} of ${2 * rounds}`)
      await round(ctr, 'ctr', i >= 0)
      await round({ ...ctr, linux: { ...ctr.linux, seccomp } }, 'docker', i >= 0)
    }
  } finally {
    await end()
    closeClients()
    events.close()
  }
  return samples
}
