/** What the host holds that a test could leave behind, read before and after. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '../..')
/** BERTH_BIN: another directory with the programs to test, `dist` beside it. */
const bin = process.env.BERTH_BIN ?? join(root, 'bin')
export const binary = join(bin, 'berth')
export const shimBinary = join(bin, 'containerd-shim-berth-v2')
export const dist = resolve(bin, '../dist')

/** Processes that run our binary (or the controller), by pid. Zombies that process 1 has yet to reap are none of ours any more. */
export function ourProcesses(): { pid: number; name: string; state: string }[] {
  const found = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8')
      const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
      const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0])
      if (state === 'Z' && parent === 1) continue
      const exe = state === 'Z' ? '' : readlinkSync(`/proc/${entry}/exe`)
      if (/^(berth|containerd-shim-berth)/.test(name) || /\/berth( \(deleted\))?$/.test(exe))
        found.push({ pid: Number(entry), name, state: state === 'Z' ? 'zombie' : 'alive' })
    } catch {
      // it has ended while we looked
    }
  }
  return found
}

function cgroups(): string[] {
  const found: string[] = []
  const walk = (dir: string, depth: number) => {
    let entries: string[]
    try {
      entries = readdirSync(dir, { withFileTypes: true })
        .filter((e) => e.isDirectory())
        .map((e) => e.name)
    } catch {
      return
    }
    for (const name of entries) {
      found.push(join(dir, name))
      if (depth > 0) walk(join(dir, name), depth - 1)
    }
  }
  walk('/sys/fs/cgroup', 4)
  return found
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir).map((name) => join(dir, name))
  } catch {
    return []
  }
}

/** Namespaces of all processes that are no zombies, as `type:[inode]`. */
function namespaces(): string[] {
  const found = new Set<string>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    for (const type of ['mnt', 'net', 'pid', 'ipc', 'uts']) {
      try {
        // a zombie has no mount namespace any more, but still shows others until its parent has reaped it
        found.add(readlinkSync(`/proc/${entry}/ns/${type}`))
      } catch {
        break // a zombie, or it has ended while we looked
      }
    }
  }
  return [...found]
}

/** A picture of the host: a set of things that a container could leave behind. */
export function snapshot(): Set<string> {
  return new Set([
    ...readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => `mount ${line.split(' ')[4]}`),
    ...cgroups().map((path) => `cgroup ${path}`),
    ...ourProcesses().map(({ pid, name, state }) => `process ${pid} ${name} ${state}`),
    ...namesIn('/run/berth').map((path) => `file ${path}`),
    ...namesIn('/run/containerd/s').map((path) => `socket ${path}`),
    ...namespaces().map((ns) => `namespace ${ns}`),
  ])
}

/**
 * What is there now and was not in `before`. The shared controller is no left-over: its files, process and namespaces
 * go with its idle time.
 */
export function leftOver(before: Set<string>, controllers: readonly number[] = controllerPids()): string[] {
  const theirs = new Set<string>()
  for (const pid of controllers)
    for (const type of ['net', 'mnt', 'pid', 'ipc', 'uts', 'pid_for_children'])
      try {
        theirs.add(`namespace ${readlinkSync(`/proc/${pid}/ns/${type}`).replace('pid_for_children', 'pid')}`)
      } catch {
        // it has ended
      }
  return [...snapshot()].filter(
    (thing) =>
      !before.has(thing) &&
      !theirs.has(thing) &&
      !/^file \/run\/berth\/\.(controller|shim)$/.test(thing) &&
      // the parent that containerd names after its namespace; runc leaves it too
      !/^cgroup \/sys\/fs\/cgroup\/[^/]+\/default$/.test(thing),
  )
}

/** Processes whose arguments are such. */
export function pidsWith(condition: (args: readonly string[]) => boolean): number[] {
  const pids = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      if (condition(readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0'))) pids.push(Number(entry))
    } catch {
      // it has ended while we looked
    }
  }
  return pids
}

/** Processes that run controller.js of a directory: of this checkout's, where no other is named. */
export function controllerPids(of: string = dist): number[] {
  return pidsWith((args) => args.includes(join(of, 'controller.js')))
}

/** NaN once it has ended. */
export const parentOf = (pid: number): number => {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    return Number.NaN
  }
}

/** The shims of the containerd at this address; that of one container or pod. */
export function monitorPids(address: string, id?: string): number[] {
  const wanted = [`address=${address}`, ...(id === undefined ? [] : [`id=${id}`])]
  const pids = pidsWith((args) => args[0] === 'berth-monitor' && wanted.every((one) => args.includes(one)))
  // Not what a shim has forked to run a plan, which may still be ending when its answer is there.
  return pids.filter((pid) => !pids.includes(parentOf(pid)))
}

/** Waits until `condition` holds: state of other processes that gives no event to wait for. Fails after `ms`. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const end = Date.now() + ms
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`)
    await new Promise((done) => setTimeout(done, 10))
  }
}

/** Whether the process has ended, reaped or not. */
export function hasEnded(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return /^ [ZX] /.test(stat.slice(stat.lastIndexOf(')') + 1))
  } catch {
    return true
  }
}

/** Waits until what came since `before` has gone, but for what `spared` matches; says what stays. */
export async function nothingLeft(before: Set<string>, spared?: RegExp): Promise<void> {
  let left: string[] = []
  await until('nothing left', () => {
    left = leftOver(before).filter((thing) => !spared?.test(thing))
    return left.length === 0
  }).catch(() => {
    throw new Error(`left on the host:\n${left.join('\n')}`)
  })
}
