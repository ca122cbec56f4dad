/** `berth update`: runc's flags, or a document of linux.resources. */

import { need, readOp } from '../container/inspect.ts'
import { updateContainer } from '../container/update.ts'
import { BerthError } from '../errors.ts'
import type { Op } from '../plan/ops.ts'
import { checkId } from '../spec/id.ts'
import { type Json, parseJson } from '../spec/json.ts'
import type { Resources } from '../spec/types.ts'
import { parseSize } from './size.ts'
import type { Context, Flags, Verb } from './verb.ts'

const MAX_DOCUMENT = 1 << 20

type Read = (context: Context, flag: string) => bigint | string | undefined

/** A decimal number, -1 included where that means unlimited. */
const integer: Read = (context, flag) => {
  const text = context.text(flag)
  if (text === undefined) return undefined
  if (!/^-?(0|[1-9]\d{0,18})$/.test(text))
    throw new BerthError('usage', `--${flag} ${JSON.stringify(text)}: expected a whole number`)
  return BigInt(text)
}
const size: Read = (context, flag) => {
  const text = context.text(flag)
  return text === undefined ? undefined : parseSize(flag, text)
}
const list: Read = (context, flag) => context.text(flag)

/** Flag → where its value stands in linux.resources. */
const FLAGS: Readonly<
  Record<string, { readonly at: readonly [string, string]; readonly read: Read; describe: string }>
> = {
  'blkio-weight': { at: ['blockIO', 'weight'], read: integer, describe: 'weight of its block I/O, 10 to 1000' },
  'cpu-period': { at: ['cpu', 'period'], read: integer, describe: 'period of the CPU limit in microseconds' },
  'cpu-quota': {
    at: ['cpu', 'quota'],
    read: integer,
    describe: 'CPU time in a period, in microseconds (-1: no limit)',
  },
  'cpu-burst': {
    at: ['cpu', 'burst'],
    read: integer,
    describe: 'CPU time above the quota that may be saved up, in microseconds',
  },
  'cpu-share': { at: ['cpu', 'shares'], read: integer, describe: 'CPU shares, beside those of others' },
  'cpu-rt-period': {
    at: ['cpu', 'realtimePeriod'],
    read: integer,
    describe: 'period of the realtime limit in microseconds',
  },
  'cpu-rt-runtime': {
    at: ['cpu', 'realtimeRuntime'],
    read: integer,
    describe: 'realtime CPU time in a period, in microseconds',
  },
  'cpu-idle': { at: ['cpu', 'idle'], read: integer, describe: '1: runs only where nothing else does' },
  'cpuset-cpus': { at: ['cpu', 'cpus'], read: list, describe: 'CPUs to use (0-2,7)' },
  'cpuset-mems': { at: ['cpu', 'mems'], read: list, describe: 'memory nodes to use' },
  memory: { at: ['memory', 'limit'], read: size, describe: 'limit of memory (512m; -1: no limit)' },
  'memory-reservation': { at: ['memory', 'reservation'], read: size, describe: 'soft limit of memory' },
  'memory-swap': { at: ['memory', 'swap'], read: size, describe: 'limit of memory plus swap (-1: no limit)' },
  'kernel-memory': { at: ['memory', 'kernel'], read: size, describe: 'accepted for compatibility' },
  'kernel-memory-tcp': { at: ['memory', 'kernelTCP'], read: size, describe: 'accepted for compatibility' },
  'pids-limit': { at: ['pids', 'limit'], read: integer, describe: 'processes at a time (-1: no limit)' },
}

const RDT_FLAGS = ['l3-cache-schema', 'mem-bw-schema'] as const

const flags: Flags = {
  resources: {
    type: 'string',
    alias: 'r',
    describe: 'a JSON file of linux.resources (-: standard input); other flags are ignored then',
  },
  ...Object.fromEntries(RDT_FLAGS.map((name) => [name, { type: 'string', describe: 'Intel RDT: not supported' }])),
  ...Object.fromEntries(
    Object.entries(FLAGS).map(([name, { describe }]) => [name, { type: 'string', describe } as const]),
  ),
}

export const verb: Verb = {
  usage: 'ID',
  flags,
  args: [1, 1],
  run: async (context) => {
    const { step, globals, first } = context
    for (const name of RDT_FLAGS)
      if (context.text(name) !== undefined)
        throw new BerthError('unsupported', `--${name}: linux.intelRdt is set by create, and update does not change it`)
    const changes = context.text('resources') === undefined ? fromFlags(context) : await fromDocument(context)
    const container = await need(step, globals.root, checkId(first))
    if (Object.keys(changes).length > 0) context.notes.push(...(await updateContainer(step, container, changes)))
    return {}
  },
}

const fromFlags = (context: Context): Resources => {
  const changes: Record<string, Record<string, bigint | string>> = {}
  for (const [flag, { at, read }] of Object.entries(FLAGS)) {
    const [group, name] = at
    const value = read(context, flag)
    if (value !== undefined && value !== '') changes[group] = { ...changes[group], [name]: value }
  }
  return unlimited(changes as Resources)
}

/** Values that are 0 or empty are those that were left out: writers in Go have no other way. */
const fromDocument = async (context: Context): Promise<Resources> => {
  const given = context.text('resources') ?? ''
  const name = given === '-' ? 'standard input' : context.resolve(given)
  const read: Op = given === '-' ? { op: 'read-stdin', max: MAX_DOCUMENT } : readOp(name, MAX_DOCUMENT)
  const bytes = (await context.step('resources', [read])).bytes(0)
  if (bytes === undefined) throw new BerthError('not-found', `--resources: ${name} does not exist`)
  const document = parseJson(bytes, { file: name, dropNulls: true, refuseNul: true })
  if (!isObject(document)) throw new BerthError('invalid', `${name}: must be an object of limits`)
  const changes: Record<string, Json> = {}
  for (const [group, values] of Object.entries(document)) {
    const kept = isObject(values) ? withoutEmpty(values) : values
    if (Array.isArray(kept) ? kept.length > 0 : !isObject(kept) || Object.keys(kept).length > 0) changes[group] = kept
  }
  return unlimited(changes as unknown as Resources)
}

const withoutEmpty = (values: { readonly [key: string]: Json }) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== 0 && value !== 0n && value !== ''))

const isObject = (value: Json): value is { [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** No limit of memory is none of memory plus swap either, unless that is given (runc). */
const unlimited = (changes: Resources): Resources => {
  const { memory } = changes
  if (memory?.limit === undefined || BigInt(memory.limit) >= 0n || memory.swap !== undefined) return changes
  return { ...changes, memory: { ...memory, swap: -1n } }
}
