/** What `doctor` asks of a host: operations, and their results by name. */

import type { Results } from '../controller/types.ts'
import { factsPlan, type HostFacts, readFacts } from '../plan/facts.ts'
import { CLONE_FLAGS } from '../plan/namespaces.ts'
import { OP_FLAGS, type Op, type Plan, PROBES, READ_FLAGS } from '../plan/ops.ts'
import { DEFAULT_PATH } from '../plan/path.ts'
import { RET } from '../plan/seccomp/actions.ts'
import type { NamespaceType } from '../spec/types.ts'

const CLONE_INTO_CGROUP = 0x2_0000_0000n
const SECCOMP_NEW_LISTENER = 1n << 3n
const SECCOMP_WAIT_KILLABLE = 1n << 5n
const MFD_EXEC = 0x10n

const at = (what: keyof typeof PROBES, argument = 0n, path = ''): Op => ({
  op: 'probe',
  what: PROBES[what],
  argument,
  path,
})

/** Whether somebody listens at a socket. */
export const connectProbe = (path: string): Op => at('connect', 0n, path)

const namespace = (type: NamespaceType): Op => at('namespaces', BigInt(CLONE_FLAGS[type]))

const PROBE_OPS = {
  openat2: at('openat2'),
  mountTree: at('mountTree'),
  mountAttributes: at('mountAttributes'),
  mountNew: at('mountNew'),
  mountIdmap: at('mountIdmap'),
  clone3: at('clone3'),
  cloneIntoCgroup: at('clone3', CLONE_INTO_CGROUP),
  closeRange: at('closeRange'),
  execveat: at('execveat'),
  memfd: at('memfd'),
  memfdExec: at('memfd', MFD_EXEC),
  pidfdOpen: at('pidfdOpen'),
  pidfdSignal: at('pidfdSignal'),
  pidfdExit: at('pidfdExit'),
  pid: namespace('pid'),
  network: namespace('network'),
  mount: namespace('mount'),
  ipc: namespace('ipc'),
  uts: namespace('uts'),
  user: namespace('user'),
  cgroup: namespace('cgroup'),
  time: namespace('time'),
  seccomp: at('seccompAction', BigInt(RET.errno)),
  seccompNotify: at('seccompAction', BigInt(RET.notify)),
  seccompWaitKillable: at('seccompFlags', SECCOMP_NEW_LISTENER | SECCOMP_WAIT_KILLABLE),
  landlock: at('landlock'),
  deviceFilter: at('deviceFilter'),
  networkFilter: at('networkFilter'),
  memoryPolicy: at('memoryPolicy'),
} as const

/** Where a manager answers, by name: the host's, or that of an ordinary user. */
const systemdOps = (uid: number, runtimeDir: string | undefined) => ({
  systemd: connectProbe(uid === 0 ? '/run/systemd/private' : `${runtimeDir ?? `/run/user/${uid}`}/systemd/private`),
  systemdBus: connectProbe(uid === 0 ? '/run/dbus/system_bus_socket' : `${runtimeDir ?? `/run/user/${uid}`}/bus`),
})

/** Read where they are there and may be read. */
const FILES = {
  maxUserNamespaces: '/proc/sys/user/max_user_namespaces',
  unprivilegedUserns: '/proc/sys/kernel/unprivileged_userns_clone',
  apparmorUserns: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
  fileSystems: '/proc/filesystems',
  subuid: '/etc/subuid',
  subgid: '/etc/subgid',
  passwd: '/etc/passwd',
} as const

const LISTS = { hugePages: '/sys/kernel/mm/hugepages' } as const

export type ProbeName = keyof typeof PROBE_OPS | keyof ReturnType<typeof systemdOps>
export const probeNames = Object.keys({ ...PROBE_OPS, ...systemdOps(0, undefined) }) as readonly ProbeName[]
export interface Probed {
  /** 0: it works. */
  readonly errno: number
  readonly value: bigint
}

export interface Stat {
  readonly mode: number
  readonly uid: number
}

export interface Findings {
  readonly uid: number
  readonly facts: HostFacts
  readonly probes: Readonly<Record<ProbeName, Probed>>
  readonly files: Readonly<Record<keyof typeof FILES, string | undefined>>
  readonly lists: Readonly<Record<keyof typeof LISTS, readonly string[]>>
  /** Programs that were looked for, and the first path of each where there is one. */
  readonly programs: Readonly<Record<(typeof PROGRAMS)[number], string | undefined>>
  readonly runDir: { readonly path: string; readonly stat: Stat | undefined }
  /** Sockets of controllers, and whether somebody listens there. */
  readonly controllers: readonly { readonly socket: string; readonly listens: boolean }[]
  /** Of the controller that writes this. */
  readonly own: { readonly node: string; readonly build: string }
}

const PROGRAMS = ['newuidmap', 'newgidmap', 'criu'] as const
const MAX = 1 << 20

const tolerant = OP_FLAGS.tolerate
const values = <K extends string, V>(names: readonly K[], value: (name: K, index: number) => V): Record<K, V> =>
  Object.fromEntries(names.map((name, index) => [name, value(name, index)])) as Record<K, V>
const keys = <K extends string>(record: Readonly<Record<K, unknown>>): K[] => Object.keys(record) as K[]

/** Everything in one plan, with how to read what came of it. */
export const investigate = (options: {
  readonly uid: number
  /** $PATH and $XDG_RUNTIME_DIR. */
  readonly path: string | undefined
  readonly runtimeDir: string | undefined
  readonly runDir: string
  readonly build: string
}) => {
  const plan: Op[] = [...factsPlan]
  const add = (op: Op): number => plan.push(op) - 1
  const stat = (path: string): number => add({ op: 'stat', path, flags: READ_FLAGS.missingOk, opFlags: tolerant })
  const list = (path: string): number => add({ op: 'list', path, flags: READ_FLAGS.missingOk, opFlags: tolerant })

  const tries: Readonly<Record<ProbeName, Op>> = { ...PROBE_OPS, ...systemdOps(options.uid, options.runtimeDir) }
  const probes = values(probeNames, (name) => add(tries[name]))
  const files = values(keys(FILES), (name) =>
    add({ op: 'read', path: FILES[name], max: MAX, flags: READ_FLAGS.missingOk, opFlags: tolerant }),
  )
  const lists = values(keys(LISTS), (name) => list(LISTS[name]))
  const dirs = (options.path || DEFAULT_PATH).split(':').filter((dir) => dir.startsWith('/'))
  const programs = values(PROGRAMS, (name) =>
    dirs.map((dir) => ({ path: `${dir}/${name}`, index: stat(`${dir}/${name}`) })),
  )
  const runDir = stat(options.runDir)
  const controllers = list(`${options.runDir}/.controller`)

  const names = (results: Results, index: number): string[] =>
    (results.text(index) ?? '').split('\0').filter((name) => name !== '')
  return {
    plan: plan as Plan,
    /** Sockets to be tried next. */
    sockets: (results: Results): string[] =>
      names(results, controllers)
        .filter((name) => name.endsWith('.sock'))
        .map((name) => `${options.runDir}/.controller/${name}`),
    findings: (results: Results, listening: Findings['controllers']): Findings => ({
      uid: options.uid,
      facts: readFacts(results),
      probes: values(probeNames, (name) => probed(results, probes[name])),
      files: values(keys(FILES), (name) => results.text(files[name])),
      lists: values(keys(LISTS), (name) => names(results, lists[name])),
      programs: values(
        PROGRAMS,
        (name) => programs[name].find(({ index }) => results.bytes(index) !== undefined)?.path,
      ),
      runDir: {
        path: options.runDir,
        stat:
          results.bytes(runDir) === undefined
            ? undefined
            : { mode: results.u32(runDir) & 0o7777, uid: results.u32(runDir, 4) },
      },
      controllers: listening,
      own: { node: process.versions.node, build: options.build },
    }),
  }
}

export const probed = (results: Results, index: number): Probed => ({
  errno: results.u32(index),
  value: results.u64(index, 4),
})
