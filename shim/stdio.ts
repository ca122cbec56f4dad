/**
 * Plans for a process's stdio. containerd's clients make FIFOs and open their ends at about the same time; the shim opens its own, keeps
 * ends that must stay open, and either hands a FIFO to the process itself or moves the bytes (trap 7).
 */

import { dirname } from 'node:path'
import { hostId } from '../src/plan/ids.ts'
import { DIR_FLAGS, NO_SLOT, type Op, type Plan } from '../src/plan/ops.ts'
import type { Spec } from '../src/spec/types.ts'
import { type Logged, startLogger } from './logger.ts'
import { outputTargets, type Target, targetOf } from './output.ts'
import type { Stdio, TaskOptions } from './task/record.ts'

// open(2)
const O_RDONLY = 0
const O_WRONLY = 0o1
const O_RDWR = 0o2
const O_CREAT = 0o100
const O_APPEND = 0o2000
const O_NONBLOCK = 0o4000

/** The process's own three, and registers beside them, which nothing else uses. `keep` and `pump` copy what they take. */
const SLOTS = [0, 1, 2] as const
const OUTSIDE = { stdin: 8, stdout: 9, stderr: 10 } as const
const SPARE = { a: 11, b: 12 } as const
/** What a logging program reads. */
const LOG = { stdout: 13, stderr: 14 } as const

/** How long a client may take to open its end of an output. */
const READER_MS = 30_000
/**
 * How long an output has to be quiet to end once its process has: a background child may hold it for ever, and CRI's ExecSync waits for its
 * end before it asks for a Delete. What such a child has still to say (`exec > >(tee …)`) comes within this; or, while it talks on, within LIMIT_MS.
 */
const QUIET_MS = 250
const LIMIT_MS = 10_000

/**
 * How long clients may keep the news of an end from others: containerd's own closes its ends of the FIFOs when it hears, with what is in them. One
 * that has read nothing for this long may have gone; one that reads on has had time for more than all that FIFO and pipe hold.
 */
const UNREAD_MS = 200
const UNREAD_LIMIT_MS = 2_000

type Output = 'stdout' | 'stderr'
const OUTPUTS = ['stdout', 'stderr'] as const

/** Names under which the monitor keeps what belongs to a process. Ids never start with a dot. */
export const kept = {
  /** The writer that keeps a stdin FIFO from ending when a client leaves: CloseIO drops it. */
  stdin: (key: string) => `${key}/.stdin`,
  /** The writer of a stdin pipe until the process starts. */
  unread: (key: string) => `${key}/.unread`,
  /** The reader that keeps an output from failing when a client leaves. */
  reader: (key: string, stream: Output) => `${kept.readers(key)}/${stream}`,
  readers: (key: string) => `${key}/.reader`,
  /** A logging program's pipe, neither end of it. */
  logged: (key: string, stream: Output) => `${key}/.log/${stream}`,
  terminal: (key: string) => `${key}/.tty`,
  inputPump: (key: string) => `${key}/.in`,
  outputPumps: (key: string) => `${key}/.out`,
}

/** The names of a logging program's pipes. */
export const loggedPipes = (key: string): string[] => OUTPUTS.map((stream) => kept.logged(key, stream))

export interface StdioPlan {
  /** Opens everything but what `stdinPlan` does; comes before the clone. */
  readonly open: Plan
  readonly slots: readonly [number, number, number]
  /** With a terminal: what happens to its master. It can't block, as nothing could take back a process that is parked already. */
  readonly afterTerminal: Plan
  readonly pumped: boolean
  /** A logging program takes its output. */
  readonly logged: boolean
}

/**
 * Whether init may have the FIFOs of its outputs themselves: nobody who outlives it can hold their write ends (an own pid namespace), and it may open
 * them again as /dev/stdout (no user namespace, no label). A FIFO is the client's: an owner that it wants for the process's end is that of a pipe.
 */
export const mayHoldFifos = (spec: Spec, options: TaskOptions): boolean => {
  const namespaces = spec.linux?.namespaces ?? []
  return (
    namespaces.some(({ type, path }) => type === 'pid' && path === undefined) &&
    !namespaces.some(({ type }) => type === 'user') &&
    !spec.process?.selinuxLabel &&
    askedOwner(options) === undefined
  )
}

/** A user by the ids that the host has for it. */
interface Owner {
  readonly uid: number
  readonly gid: number
}

/** Who was asked for as the owner of the process's pipes; as they are made, they are root's. */
const askedOwner = ({ ioUid: uid = 0, ioGid: gid = 0 }: TaskOptions): Owner | undefined =>
  uid === 0 && gid === 0 ? undefined : { uid, gid }

/**
 * Who is to own the pipes of a process in a user namespace: it can't take them over itself, being nobody to what the host's root has made,
 * and only their owner may open /dev/stdout. Any other process does that itself.
 */
export const pipeOwner = ({ linux }: Spec, user: Owner | undefined): Owner | undefined => {
  if (user === undefined || !linux?.namespaces?.some(({ type }) => type === 'user')) return undefined
  const uid = hostId(user.uid, linux.uidMappings)
  const gid = hostId(user.gid, linux.gidMappings)
  return uid === undefined || gid === undefined ? undefined : { uid, gid }
}

export interface StdioInput {
  readonly key: string
  readonly stdio: Stdio
  readonly direct: boolean
  readonly options: TaskOptions
  readonly logged: Logged
  /** Of its pipes, where nobody else was asked for (`pipeOwner`). */
  readonly owner: Owner | undefined
  /** CloseIO came before the process was there. */
  readonly stdinClosed?: boolean
  readonly size?: { readonly width: number; readonly height: number }
  /** The slot of the terminal's master in `afterTerminal`. */
  readonly terminalSlot: number
}

export const stdioPlan = (input: StdioInput): StdioPlan => {
  const { stdio } = input
  return stdio.terminal ? terminalPlan(input) : streamsPlan(input)
}

const streamsPlan = ({ key, stdio, direct, options, logged, ...input }: StdioInput): StdioPlan => {
  const targets = outputTargets(stdio.stdout, stdio.stderr)
  const owner = askedOwner(options) ?? input.owner
  // A file gets its bytes from the shim: whoever holds it could cut away what was logged before.
  const pumps = ({ kind }: Target) => kind === 'file' || (kind !== 'none' && !direct)
  const output = (stream: Output, slot: number): Op[] => {
    const target = targets[stream]
    if (!pumps(target)) return outputOps(key, stream, target, slot)
    return [
      ...outputOps(key, stream, target, OUTSIDE[stream]),
      { op: 'pipe', reader: SPARE.a, writer: slot },
      ...chown(slot, owner),
      { op: 'pump', name: `${kept.outputPumps(key)}/${stream}`, from: SPARE.a, to: OUTSIDE[stream] },
    ]
  }
  const open: Op[] = [
    ...stdinPipe(key, stdio, owner),
    ...output('stdout', SLOTS[1]),
    ...output('stderr', SLOTS[2]),
    ...loggerOps(targets.stdout, logged),
  ]
  const pumped = OUTPUTS.some((stream) => pumps(targets[stream]))
  const linger: Op[] = pumped
    ? [{ op: 'linger', name: kept.outputPumps(key), quietMs: QUIET_MS, limitMs: LIMIT_MS }]
    : []
  return {
    open: [...open, ...linger, ...unreadOps(key, targets.stdout, targets.stderr)],
    slots: SLOTS,
    afterTerminal: [],
    pumped,
    logged: targets.stdout.kind === 'logger',
  }
}

/** A terminal has stdin and stdout only: `stderr` may name what does not exist. */
const terminalPlan = ({ key, stdio, logged, stdinClosed = false, size, terminalSlot }: StdioInput): StdioPlan => {
  const out = targetOf(stdio.stdout)
  const open = [
    ...(stdio.stdin === '' ? [] : fifoInput(key, stdio.stdin, OUTSIDE.stdin, stdinClosed)),
    ...outputOps(key, 'stdout', out, OUTSIDE.stdout),
    ...unreadOps(key, out),
    // A logging program has a pipe for what stays silent.
    ...(out.kind === 'logger' ? outputOps(key, 'stderr', out, OUTSIDE.stderr) : []),
    ...loggerOps(out, logged),
  ]
  const afterTerminal: Op[] = [
    ...(size === undefined ? [] : [winsize(terminalSlot, size)]),
    { op: 'keep', slot: terminalSlot, name: kept.terminal(key) },
    { op: 'use', name: kept.terminal(key), slot: SPARE.a },
    { op: 'pump', name: `${kept.outputPumps(key)}/stdout`, from: SPARE.a, to: OUTSIDE.stdout },
    ...(stdio.stdin === ''
      ? []
      : ([
          { op: 'use', name: kept.terminal(key), slot: SPARE.a },
          { op: 'pump', name: kept.inputPump(key), from: OUTSIDE.stdin, to: SPARE.a },
        ] as const)),
    // What comes after closes the slot.
    { op: 'use', name: kept.terminal(key), slot: terminalSlot },
  ]
  return { open, slots: [NO_SLOT, NO_SLOT, NO_SLOT], afterTerminal, pumped: true, logged: out.kind === 'logger' }
}

/** Sets the size of a terminal that is kept. */
export const resizePlan = (key: string, size: { readonly width: number; readonly height: number }): Plan => [
  { op: 'use', name: kept.terminal(key), slot: SPARE.a },
  winsize(SPARE.a, size),
]

const winsize = (slot: number, { width, height }: { readonly width: number; readonly height: number }): Op => ({
  op: 'winsize',
  slot,
  rows: height,
  cols: width,
})

const nothing = (slot: number, oflags: number): Op => ({ op: 'open', path: '/dev/null', oflags, mode: 0, slot })

/** Opens an output for writing. A FIFO's reader is waited for: a quick process could else write and close before the client has opened. */
const outputOps = (key: string, stream: Output, target: Target, slot: number): Op[] => {
  switch (target.kind) {
    case 'none':
      return [nothing(slot, O_WRONLY)]
    case 'file':
      return [
        { op: 'mkdir', path: dirname(target.path), mode: 0o755, flags: DIR_FLAGS.existOk | DIR_FLAGS.parents },
        { op: 'open', path: target.path, oflags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o644, slot },
      ]
    case 'logger':
      return [
        { op: 'pipe', reader: LOG[stream], writer: slot },
        { op: 'keep-pipe', slot, name: kept.logged(key, stream) },
      ]
    case 'fifo':
      return [
        { op: 'open-fifo', path: target.path, slot, timeoutMs: READER_MS },
        { op: 'open', path: target.path, oflags: O_RDONLY | O_NONBLOCK, mode: 0, slot: SPARE.b },
        { op: 'keep', slot: SPARE.b, name: kept.reader(key, stream) },
      ]
  }
}

const unreadOps = (key: string, ...targets: Target[]): Op[] =>
  targets.some(({ kind }) => kind === 'fifo')
    ? [{ op: 'unread', name: kept.readers(key), quietMs: UNREAD_MS, limitMs: UNREAD_LIMIT_MS }]
    : []

/** Starts the program that has both pipes of `outputOps`; their read ends are its alone then. */
const loggerOps = (target: Target, logged: Logged): Op[] =>
  target.kind !== 'logger'
    ? []
    : [
        ...startLogger(logged, target.logger, [LOG.stdout, LOG.stderr]),
        { op: 'close', slot: LOG.stdout },
        { op: 'close', slot: LOG.stderr },
      ]

const chown = (slot: number, owner: Owner | undefined): Op[] =>
  owner === undefined ? [] : [{ op: 'chown-slot', slot, ...owner }]

const stdinPipe = (key: string, { stdin }: Stdio, owner: Owner | undefined): Op[] =>
  stdin === ''
    ? [nothing(SLOTS[0], O_RDONLY)]
    : [
        { op: 'pipe', reader: SLOTS[0], writer: SPARE.a },
        ...chown(SLOTS[0], owner),
        { op: 'keep', slot: SPARE.a, name: kept.unread(key) },
      ]

/**
 * Lets the client's stdin flow to a process that has `stdinPipe`, as it starts and no sooner: with a reader there a client that has little to
 * say is at its end at once, and its CloseIO would come before containerd knows the task. A terminal has its own from the beginning.
 */
export const stdinPlan = (key: string, { stdin, terminal }: Stdio, closed = false): Plan =>
  stdin === '' || terminal
    ? []
    : [
        ...fifoInput(key, stdin, OUTSIDE.stdin, closed),
        { op: 'use', name: kept.unread(key), slot: SPARE.a },
        { op: 'pump', name: kept.inputPump(key), from: OUTSIDE.stdin, to: SPARE.a },
        { op: 'drop', name: kept.unread(key) },
      ]

/**
 * Opens a stdin FIFO for reading, in blocking mode as a process expects it, without waiting for a writer: while a descriptor for both
 * directions is there no open blocks. The writer that is kept goes first where CloseIO has been called already.
 */
const fifoInput = (key: string, path: string, slot: number, closed: boolean): Op[] => [
  { op: 'open', path, oflags: O_RDWR | O_NONBLOCK, mode: 0, slot: SPARE.a },
  { op: 'open', path, oflags: O_RDONLY, mode: 0, slot },
  ...(closed
    ? []
    : ([
        { op: 'open', path, oflags: O_WRONLY | O_NONBLOCK, mode: 0, slot: SPARE.b },
        { op: 'keep', slot: SPARE.b, name: kept.stdin(key) },
      ] as const)),
  { op: 'close', slot: SPARE.a },
]
