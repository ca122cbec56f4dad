/** A host in memory that answers plans as launcher and monitor would, and writes down what it was asked. */

import { stepError } from '../../src/controller/failure.ts'
import { resultsOf } from '../../src/controller/results.ts'
import type { CommandAnswer, CommandRequest, RunStep } from '../../src/controller/types.ts'
import { ByteWriter } from '../../src/plan/bytes.ts'
import { type ErrorRecord, encodeOutcome, encodePlan, type Outcome } from '../../src/plan/encode.ts'
import {
  DIR_FLAGS,
  KILL_FLAGS,
  OP_FLAGS,
  type Op,
  type Plan,
  READ_FLAGS,
  type Template,
  WRITE_FLAGS,
} from '../../src/plan/ops.ts'

const S_IFDIR = 0o040755
const S_IFREG = 0o100644
const CGROUPS = '/sys/fs/cgroup/'
const ENOENT = 2
const ESRCH = 3
const EEXIST = 17
const ENOTDIR = 20
const O_DIRECTORY = 0o200000

/** A host with two v1 hierarchies. */
const FACTS: Readonly<Record<string, string>> = {
  '/proc/self/mountinfo': ['devices', 'freezer']
    .map((name, i) => `3${i} 23 0:2${i} / /sys/fs/cgroup/${name} rw - cgroup cgroup rw,${name}\n`)
    .join(''),
  '/proc/self/cgroup': '2:devices:/\n1:freezer:/\n',
  '/proc/sys/kernel/osrelease': '6.18.0\n',
  '/proc/sys/kernel/cap_last_cap': '40\n',
  '/proc/self/status':
    'Name:\tx\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapPrm:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\n',
  '/proc/self/stat': statText(900, 'S', 9000n),
}

export function statText(pid: number, state: string, start: bigint): string {
  return `${pid} (a (b) c) ${state} 1 ${pid} ${pid} 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 1 0 ${start} 1 1\n`
}

class Failure extends Error {
  readonly errno: number
  constructor(errno: number) {
    super(`errno ${errno}`)
    this.errno = errno
  }
}

export class Host {
  readonly files = new Map<string, Uint8Array>()
  readonly dirs = new Set<string>(['/', '/run', '/bundle', '/bundle/rootfs'])
  readonly steps: string[] = []
  readonly ops: Op[] = []
  /** Makes operations fail: the errno, or 0 where it should not. */
  fail: (op: Op) => number = () => 0
  initStatus: 'none' | 'parked' | 'running' | 'zombie' = 'none'
  readonly init = { pid: 1234, start: 5000n }
  #journal = new Map<string, Outcome>()

  constructor() {
    for (const [path, text] of Object.entries(FACTS)) this.put(path, text)
  }

  put(path: string, text: string): void {
    this.files.set(path, new TextEncoder().encode(text))
  }

  text(path: string): string | undefined {
    const bytes = this.files.get(path)
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes)
  }

  /** Steps are journalled as by an agent, until the next command. */
  readonly step: RunStep<CommandAnswer> = async (name, plan) => {
    // What can't be encoded would never get here.
    const key = `${name} ${Buffer.from(encodePlan(plan)).toString('base64')}`
    let outcome = this.#journal.get(key)
    if (outcome === undefined) {
      this.steps.push(name)
      outcome = this.#run(plan)
      this.#journal.set(key, outcome)
    }
    if (outcome.error !== undefined) throw stepError(plan, outcome.error)
    return resultsOf(outcome)
  }

  /** A new command: its journal is empty. */
  request(argv: readonly string[], more: Partial<CommandRequest> = {}): CommandRequest {
    this.#journal = new Map()
    this.steps.length = 0
    this.ops.length = 0
    const env = {}
    return {
      argv,
      env,
      cwd: '/bundle',
      uid: 0,
      gid: 0,
      pid: 77,
      ttys: [false, false, false],
      rows: 0,
      cols: 0,
      listenFds: 0,
      round: 0,
      runDir: '/run/berth',
      attempt: new Uint8Array(),
      ...more,
    }
  }

  did(name: Op['op']): Op[] {
    return this.ops.filter(({ op }) => op === name)
  }

  #run(plan: Plan): Outcome {
    const results = new Map<number, Uint8Array>()
    let first: ErrorRecord | undefined
    for (const [index, op] of plan.entries()) {
      this.ops.push(op)
      try {
        const errno = this.fail(op)
        if (errno !== 0) throw new Failure(errno)
        const result = this.#do(op)
        if (result !== undefined) results.set(index, result)
      } catch (error) {
        const flags = op.opFlags ?? 0
        if ((flags & OP_FLAGS.tolerate) !== 0) continue
        first ??= errorRecord(op, index, error)
        if ((flags & OP_FLAGS.keepGoing) === 0) break
      }
    }
    return { error: first, results }
  }

  #do(op: Op): Uint8Array | undefined {
    switch (op.op) {
      case 'read':
        return this.#read(op.path) ?? missing(op.flags)
      case 'stat': {
        const mode = this.dirs.has(op.path) ? S_IFDIR : this.files.has(op.path) ? S_IFREG : undefined
        return mode === undefined ? missing(op.flags) : new ByteWriter().u32(mode).raw(new Uint8Array(44)).finish()
      }
      case 'access':
        return new ByteWriter().u32(this.files.has(op.path) ? 0 : ENOENT).finish()
      case 'list': {
        if (!this.dirs.has(op.path)) return missing(op.flags)
        const below = [...this.dirs, ...this.files.keys()].filter((path) => path.startsWith(`${op.path}/`))
        const names = [...new Set(below.map((path) => path.slice(op.path.length + 1).split('/')[0]))].sort()
        return new TextEncoder().encode(names.map((name) => `${name}\0`).join(''))
      }
      case 'mkdir':
        if (this.dirs.has(op.path) && (op.flags & DIR_FLAGS.existOk) === 0) throw new Failure(EEXIST)
        this.dirs.add(op.path)
        return undefined
      case 'write': {
        // A cgroup's files are there as soon as it is, and take what they are given.
        if (op.path.startsWith(CGROUPS)) return undefined
        const has = this.files.has(op.path)
        if (has && (op.flags & WRITE_FLAGS.excl) !== 0) throw new Failure(EEXIST)
        if (!has && (op.flags & WRITE_FLAGS.create) === 0) return missing(op.flags & WRITE_FLAGS.missingOk ? 1 : 0)
        const before = (op.flags & WRITE_FLAGS.append) !== 0 ? (this.text(op.path) ?? '') : ''
        this.put(op.path, before + this.#templateText(op.data))
        return undefined
      }
      case 'open':
        if (this.files.has(op.path) && (op.oflags & O_DIRECTORY) !== 0) throw new Failure(ENOTDIR)
        if (!this.files.has(op.path) && !this.dirs.has(op.path)) throw new Failure(ENOENT)
        return undefined
      case 'rmtree':
        for (const path of [...this.files.keys()]) if (path.startsWith(`${op.path}/`)) this.files.delete(path)
        this.dirs.delete(op.path)
        return undefined
      case 'clock':
        return new ByteWriter().u64(1_795_394_708_991_045_480n).finish()
      case 'clone':
        this.initStatus = 'parked'
        return new ByteWriter().u32(this.init.pid).u64(this.init.start).u32(0).finish()
      case 'resume':
        if (op.until === 3) this.initStatus = 'running'
        return undefined
      case 'held':
        return new ByteWriter().u32(this.initStatus === 'parked' ? 1 : 2).finish()
      case 'remote': {
        if (op.socket !== '' && this.initStatus !== 'parked' && this.initStatus !== 'running') throw new Failure(ENOENT)
        const outcome = this.#run(op.plan)
        if (outcome.error !== undefined) throw outcome.error
        return encodeOutcome(outcome)
      }
      case 'kill':
        if (this.initStatus === 'none' || this.initStatus === 'zombie') {
          if ((op.flags & KILL_FLAGS.missingOk) === 0) throw new Failure(ESRCH)
        } else if (op.signal === 9) this.initStatus = 'zombie'
        return undefined
      case 'await':
        this.initStatus = 'zombie'
        return new ByteWriter().u32(3 << 8).finish()
      case 'run-terminal':
        return new ByteWriter().u32(9).finish()
      case 'stored':
        if (!this.files.has(op.path)) return missing(op.flags)
        this.initStatus = 'none'
        for (const path of this.dirs) if (path.startsWith(CGROUPS)) this.dirs.delete(path)
        return undefined
      default:
        return undefined
    }
  }

  #templateText(template: Template): string {
    const { init } = this
    const holes: Readonly<Record<string, string>> = {
      pid: String(init.pid),
      startTime: String(init.start),
      ownPid: '900',
      ownStartTime: '9000',
    }
    return template
      .map((part) => {
        if (typeof part === 'string') return part
        return part instanceof Uint8Array
          ? Buffer.from(part).toString('latin1')
          : (holes[part.hole] ?? `<${part.hole}>`)
      })
      .join('')
  }

  #read(path: string): Uint8Array | undefined {
    if (path === `/proc/${this.init.pid}/stat` && this.initStatus !== 'none')
      return new TextEncoder().encode(
        statText(this.init.pid, this.initStatus === 'zombie' ? 'Z' : 'S', this.init.start),
      )
    return this.files.get(path)
  }
}

const missing = (flags: number): undefined => {
  if ((flags & READ_FLAGS.missingOk) === 0) throw new Failure(ENOENT)
}

const errorRecord = (op: Op, index: number, error: unknown): ErrorRecord => {
  if (error instanceof Failure) {
    const subject = 'path' in op ? op.path : 'name' in op ? op.name : ''
    return { index: [index], op: op.op, syscall: '', subject, errno: error.errno, detail: '' }
  }
  if (typeof error === 'object' && error !== null && 'index' in error) {
    const inner = error as ErrorRecord
    return { ...inner, index: [index, ...inner.index] }
  }
  throw error
}
