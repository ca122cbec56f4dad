/** The judges as a worker: each call is put to those that are for it, and the first that refuses it decides. */

import { readSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { Socket } from 'node:net'
import { pathToFileURL } from 'node:url'
import type { ModuleCall } from '../../types.ts'
import type { ModuleConfig, RulesConfig, WorkerConfig } from './config.ts'
import { errnoOf, readEvent, type SyscallEvent } from './event.ts'
import { networkJudge } from './network.ts'

const EVENT = 1
const VERDICT = 2
const NO_MODULE = 0xffffffff
const EPERM = 1
const MAX_SOURCE = 4 << 20

type OnSyscall = (event: SyscallEvent) => unknown

interface Judge {
  readonly calls: readonly ModuleCall[]
  /** For messages. */
  readonly path: string
  readonly onSyscall: OnSyscall
}

/** From its start, whoever has read it before. */
const read = ({ source, path }: ModuleConfig): string => {
  const parts: Buffer[] = []
  for (let at = 0; ; ) {
    const part = Buffer.alloc(1 << 16)
    const count = readSync(source, part, 0, part.length, at)
    if (count === 0) break
    parts.push(part.subarray(0, count))
    at += count
    if (at > MAX_SOURCE) throw new Error(`${path}: is longer than ${MAX_SOURCE} bytes`)
  }
  return Buffer.concat(parts).toString('utf8')
}

/** A module has a name, for its own messages, and no file: there is none here. */
const load = async (config: ModuleConfig): Promise<Judge> => {
  const source = read(config)
  const { href } = pathToFileURL(config.path)
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      specifier === href ? { url: href, format: 'module', shortCircuit: true } : next(specifier, context),
    load: (url, context, next) =>
      url === href ? { format: 'module', source, shortCircuit: true } : next(url, context),
  })
  try {
    const { onSyscall } = (await import(href)) as { readonly onSyscall?: unknown }
    if (typeof onSyscall !== 'function') throw new Error('exports no function onSyscall')
    return { calls: config.calls, path: config.path, onSyscall: onSyscall as OnSyscall }
  } catch (error) {
    throw new Error(`${config.path}: ${error instanceof Error ? error.message : String(error)}`)
  } finally {
    hooks.deregister()
  }
}

const judgeOf = async (config: ModuleConfig | RulesConfig): Promise<Judge> =>
  'network' in config
    ? { calls: config.calls, path: 'network rules', onSyscall: networkJudge(config.network) }
    : await load(config)

interface Verdict {
  readonly errno: number
  /** Which has refused. */
  readonly module: number
}

/** A module that throws has refused; what it has to say goes to the log. */
export const judge = async (judges: readonly Judge[], event: SyscallEvent): Promise<Verdict> => {
  for (const [module, { calls, onSyscall, path }] of judges.entries()) {
    if (!calls.includes(event.call)) continue
    try {
      const errno = errnoOf(await onSyscall(event))
      if (errno !== 0) return { errno, module }
    } catch (error) {
      console.error(`${path}:`, error)
      return { errno: EPERM, module }
    }
  }
  return { errno: 0, module: NO_MODULE }
}

const frame = (type: number, body: Buffer): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32LE(body.length + 1)
  head.writeUInt8(type, 4)
  return Buffer.concat([head, body])
}

const verdictFrame = (question: bigint, { errno, module }: Verdict): Buffer => {
  const body = Buffer.alloc(16)
  body.writeBigUInt64LE(question)
  body.writeUInt32LE(errno, 8)
  body.writeUInt32LE(module, 12)
  return frame(VERDICT, body)
}

/** Takes the whole frames at the front. Returns what is left. */
const takeFrames = (bytes: Buffer, take: (type: number, body: Buffer) => void): Buffer => {
  let left = bytes
  while (left.length >= 5 && left.length - 4 >= left.readUInt32LE()) {
    const end = 4 + left.readUInt32LE()
    take(left.readUInt8(4), left.subarray(5, end))
    left = left.subarray(end)
  }
  return left
}

/** Resolves once calls can be judged. */
export const serveJudges = async (config: WorkerConfig, lost: () => void): Promise<void> => {
  const judges: Judge[] = []
  for (const one of config.judges) judges.push(await judgeOf(one))
  const channel = new Socket({ fd: config.channel, readable: true, writable: true })
  let left: Buffer = Buffer.alloc(0)
  channel.on('data', (bytes: Buffer) => {
    left = takeFrames(Buffer.concat([left, bytes]), (type, body) => {
      if (type !== EVENT) return
      const question = body.readBigUInt64LE()
      const event = Object.freeze(readEvent(body.subarray(8)))
      void judge(judges, event).then((verdict) => channel.write(verdictFrame(question, verdict)))
    })
  })
  channel.on('error', lost)
  channel.on('close', lost)
}
