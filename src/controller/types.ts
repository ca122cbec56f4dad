import type { Duplex } from 'node:stream'
import type { Plan } from '../plan/ops.ts'

/** What the operations of a step returned, by their index in the plan. */
export interface Results {
  /** undefined where the operation has no result (tolerated failure, missing file with missingOk). */
  bytes(index: number): Uint8Array | undefined
  text(index: number): string | undefined
  u32(index: number, offset?: number): number
  u64(index: number, offset?: number): bigint
  /** Results of the plan inside a `remote` operation. */
  nested(index: number): Results
}

/**
 * Runs a plan in the agent, once per request and name: a repeated step with the same plan gets the first outcome. Throws a BerthError that
 * carries the failed operation's `pointer`. `whenDone`: the answer once this has been done without a failure, said beforehand, so that nobody who
 * waits for it waits for the controller again. A launcher leaves then, and whoever waits for the results is abandoned; a handler of a monitor's goes on
 * to its commit, whose answer is dropped, and until that has come the monitor sends no further request of a client's.
 */
export type RunStep<WhenDone = never> = (name: string, plan: Plan, whenDone?: WhenDone) => Promise<Results>

/** A command of the command line, as the launcher sent it. */
export interface CommandRequest {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly uid: number
  readonly gid: number
  /** The launcher's pid. */
  readonly pid: number
  /** Which of stdin, stdout and stderr are terminals. */
  readonly ttys: readonly [boolean, boolean, boolean]
  readonly rows: number
  readonly cols: number
  readonly listenFds: number
  /** Where this user keeps sockets and state. */
  readonly runDir: string
  /** How often this command was answered with `again` so far. */
  readonly round: number
  /** Where the launcher had the monitor try what was prepared for this verb, and it failed half way: the outcome. Else empty. */
  readonly attempt: Uint8Array
  /** Build of both sides, and the controller that serves this; not part of the frame. */
  readonly build?: string
  readonly controller?: ControllerView
}

export interface ControllerStatus {
  /** As the host sees it. */
  readonly pid: number
  readonly build: string
  /** Since its process was there. */
  readonly uptimeMs: number
  /** Agents that are connected, and how many commands hold the controller. */
  readonly sessions: number
  readonly holds: number
  /** That began. */
  readonly requests: number
  readonly memory: number
  readonly memoryBound: number
  readonly idleMs: number
}

/** A controller as a command sees that is about itself (`berth controller`). */
export interface ControllerView {
  status(): ControllerStatus
  /** It leaves once this command is answered, and all that hold it. */
  stop(): void
  /** It stays, idle or not, until it is stopped, or who holds it is gone. */
  hold(): Promise<void>
}

export interface CommandAnswer {
  readonly exitCode: number
  readonly stdout: string | Uint8Array
  readonly stderr: string | Uint8Array
  /**
   * Ask again, with the next round: for a command that goes on. Each round is a request of its own, so what it prints is printed once, and its
   * journal does not grow for ever.
   */
  readonly again?: boolean
}

/** Entry of the command line: src/cli/main.ts exports `runCommand` of this type. Never throws: errors become the answer. */
export type RunCommand = (request: CommandRequest, step: RunStep<CommandAnswer>) => Promise<CommandAnswer>

/** A request of a monitor, decoded from its frame. */
export type MonitorRequest =
  | {
      readonly kind: 'ttrpc'
      readonly id: bigint
      readonly connection: bigint
      /** When it came, in nanoseconds since the epoch. */
      readonly time: bigint
      readonly message: Uint8Array
    }
  | {
      readonly kind: 'exit'
      readonly id: bigint
      readonly serial: bigint
      readonly key: string
      readonly pid: number
      readonly waitStatus: number
      readonly time: bigint
      /** Its cgroup may have run out of memory: the counters are to be read before the end is told. */
      readonly oom: boolean
    }
  /** The cgroup of the container `key` may have run out of memory. */
  | { readonly kind: 'oom'; readonly id: bigint; readonly serial: bigint; readonly key: string }
  | { readonly kind: 'disconnected'; readonly id: bigint; readonly connection: bigint }

/** What a commit changes, applied whole or not at all. */
export interface Change {
  readonly record?: Uint8Array
  readonly answers?: readonly { readonly id: bigint; readonly payload: Uint8Array }[]
  readonly acknowledged?: readonly bigint[]
  readonly events?: readonly Uint8Array[]
  /** What is kept in the monitor under these names or below them is closed, with its pumps: as the operation `drop`. */
  readonly drops?: readonly string[]
  /** The monitor flushes its events, removes its socket and exits. */
  readonly leave?: boolean
}

/** One monitor as a handler sees it. */
export interface Monitor {
  /** `key=value` context of the shim: namespace, address, ttrpcAddress, id, bundle, pid (monitor's), socket, stateDir, runDir, idle. */
  readonly context: Readonly<Record<string, string>>
  /** The record as it is now (empty before the first commit). */
  record(): Uint8Array
}

/**
 * Entry of the shim: shim/main.ts exports `createShim` of this type; one Shim serves one monitor connection. `handle` runs
 * concurrently for many requests; it must call `commit` exactly once, synchronously computing the change from the record as it is at
 * that moment. Never throws: errors become answers.
 */
export type CreateShim = (monitor: Monitor) => Shim
export interface Shim {
  handle(request: MonitorRequest, step: RunStep<Uint8Array>, commit: (compute: () => Change) => void): Promise<void>
}

/** The two streams of a front: its client's connection, and one on which ttrpc is spoken with the monitor, as containerd does. */
export interface FrontStreams {
  readonly wire: Duplex
  readonly calls: Duplex
}
/** Entry of the gRPC front: shim/grpc/front.ts exports `serveGrpc` of this type. */
export type ServeFront = (streams: FrontStreams) => void
