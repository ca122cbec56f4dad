/** What a client, or a node's administrator in a table of containerd's configuration, asks of the runtime beside config.json. */

import { isSystemdPath } from '../../src/cgroup/path.ts'
import type { RunStep } from '../../src/controller/types.ts'
import { BerthError } from '../../src/errors.ts'
import { didYouMean } from '../../src/policy/nearest.ts'
import type { google } from '../proto/messages.gen.js'
import { containerd } from '../proto/messages.gen.js'
import type { TaskOptions } from './record.ts'

type Any = google.protobuf.Any.$Properties

/** A task's options, and what is asked for the shim. */
export interface Options extends TaskOptions {
  /** The cgroup that the shim itself is to be in. */
  readonly shimCgroup?: string
}

const RUNC = 'containerd.runc.v1.Options'
const RUNTIME = 'runtimeoptions.v1.Options'
const EMPTY = new Uint8Array(0)

/** Options of any other type mean nothing to this runtime, and are no error. A path in systemd's form means that driver, whoever says it. */
export const readOptions = async (
  options: Any | null | undefined,
  cgroupsPath: string | undefined,
  step: RunStep,
): Promise<Options> => {
  const value = options?.value ?? EMPTY
  const read =
    options?.typeUrl === RUNC ? ofRunc(value) : options?.typeUrl === RUNTIME ? await ofHandler(value, step) : {}
  return isSystemdPath(cgroupsPath) ? { ...read, systemdCgroup: true } : read
}

/** Whatever of these is for runc alone (its name, its directories) is there for runc's shim, under whose name this one may stand. */
const ofRunc = (value: Uint8Array): Options => {
  const runc = containerd.options.RuncOptions.decode(value)
  return {
    ...(runc.noPivotRoot ? { noPivot: true } : {}),
    ...(runc.noNewKeyring ? { noNewKeyring: true } : {}),
    ...(runc.systemdCgroup ? { systemdCgroup: true } : {}),
    ...(runc.ioUid === 0 ? {} : { ioUid: runc.ioUid }),
    ...(runc.ioGid === 0 ? {} : { ioGid: runc.ioGid }),
    ...(runc.criuPath === '' ? {} : { criuPath: runc.criuPath }),
    ...(runc.criuWorkPath === '' ? {} : { criuWorkPath: runc.criuWorkPath }),
    ...(runc.shimCgroup === '' ? {} : { shimCgroup: runc.shimCgroup }),
  }
}

const FILE_MAX = 1 << 20

/** The options table of a CRI handler, as TOML, or the file that it names. */
const ofHandler = async (value: Uint8Array, step: RunStep): Promise<Options> => {
  const { configPath, configBody } = containerd.options.RuntimeOptions.decode(value)
  if (configPath === '') return parseOptions(new TextDecoder().decode(configBody), "the handler's options")
  if (!configPath.startsWith('/')) throw new BerthError('invalid', `ConfigPath "${configPath}" is no absolute path`)
  const read = await step('options', [{ op: 'read', path: configPath, max: FILE_MAX, flags: 0 }])
  return parseOptions(read.text(0) ?? '', configPath)
}

const MAX_ID = 0xfffffffe

const flag = (name: keyof Options) => (value: unknown) => {
  if (typeof value !== 'boolean') return 'true or false'
  return value ? { [name]: true } : {}
}
const id = (name: keyof Options, what: string) => (value: unknown) =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_ID ? { [name]: value } : what
const path = (name: keyof Options) => (value: unknown) => {
  if (value === '') return {}
  return typeof value === 'string' && value.startsWith('/') ? { [name]: value } : 'an absolute path'
}
const cgroup = (name: keyof Options) => (value: unknown) => {
  if (value === '') return {}
  const plain = typeof value === 'string' && value.startsWith('/') && !value.split('/').includes('..')
  return plain ? { [name]: value } : 'the absolute path of a cgroup'
}

/** Keys, named as in the table of runc's options. What each makes of its value: options, or what the value should have been. */
const KEYS: Readonly<Record<string, (value: unknown) => Options | string>> = {
  SystemdCgroup: flag('systemdCgroup'),
  NoPivotRoot: flag('noPivot'),
  NoNewKeyring: flag('noNewKeyring'),
  IoUid: id('ioUid', 'a user id'),
  IoGid: id('ioGid', 'a group id'),
  ShimCgroup: cgroup('shimCgroup'),
  CriuPath: path('criuPath'),
  CriuWorkPath: path('criuWorkPath'),
  /** containerd's own: of what type a file's contents are. */
  TypeUrl: () => ({}),
}
/** Keys of that table that are for runc and its shim. */
const OTHERS = ['BinaryName', 'Root', 'CriuImagePath', 'TaskApiAddress']

/** `where` is what an error calls the document. */
export const parseOptions = async (text: string, where: string): Promise<Options> => {
  if (text.trim() === '') return {}
  const { parse } = await import('smol-toml')
  let table: object
  try {
    table = parse(text)
  } catch (error) {
    const [first] = (error as Error).message.split('\n')
    throw new BerthError('invalid', `${where}: ${first}`, { cause: error })
  }
  return Object.assign({}, ...Object.entries(table).map(([key, value]) => option(key, value, where)))
}

const option = (key: string, value: unknown, where: string): Options => {
  const read = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined
  if (read === undefined) {
    const why = OTHERS.includes(key)
      ? `"${key}" is for runc and means nothing to this runtime: remove it`
      : `unknown key "${key}"${didYouMean(key, Object.keys(KEYS))}`
    throw new BerthError('invalid', `${where}: ${why}`)
  }
  const options = read(value)
  if (typeof options === 'string') throw new BerthError('invalid', `${where}: ${key} has to be ${options}`)
  return options
}

/** What a checkpoint is told; nothing where a client says nothing. containerd 1.x calls the type by an older name as well. */
export const checkpointOptions = (options: Any | null | undefined) =>
  containerd.options.CheckpointOptions.decode(
    options?.typeUrl?.endsWith('.CheckpointOptions') ? (options.value ?? EMPTY) : EMPTY,
  )
