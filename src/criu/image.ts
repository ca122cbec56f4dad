/** What lies beside CRIU's images: what they have from outside of the container, and so has to be there again at a restore. */

import { posix } from 'node:path'
import { readOp } from '../container/inspect.ts'
import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { type Op, READ_FLAGS, WRITE_FLAGS } from '../plan/ops.ts'
import { parseJson } from '../spec/json.ts'
import { type CriuOptions, readOptions } from './options.ts'

/** As runc has it: what the first three descriptors of the init were. */
const DESCRIPTORS = 'descriptors.json'
/** Ours; images of other runtimes have none. */
const OUTSIDE = 'berth.json'
const INVENTORY = 'inventory.img'

const VERSION = 1
const MAX = 1 << 20

/** What a restore has to know of the dump. */
export interface Outside {
  /** Mount points of what is the host's. */
  readonly mounts: readonly string[]
  /** Types of namespaces that had been joined. */
  readonly namespaces: readonly string[]
  /** What the dump was told. */
  readonly options: CriuOptions
}

export interface Image {
  /** Absolute. */
  readonly dir: string
  /** Names for a pipe or file, as CRIU has them, where one is to be given; else what had been there. */
  readonly descriptors: readonly string[]
  /** undefined: an image that another runtime has made. */
  readonly outside: Outside | undefined
}

const file = (dir: string, name: string, document: unknown): Op => ({
  op: 'write',
  path: posix.join(dir, name),
  data: [JSON.stringify(document)],
  flags: WRITE_FLAGS.create | WRITE_FLAGS.truncate,
  mode: 0o600,
})

export const writeImage = ({ dir, descriptors, outside }: Image): Op[] => [
  file(dir, DESCRIPTORS, descriptors),
  ...(outside === undefined ? [] : [file(dir, OUTSIDE, { version: VERSION, ...outside })]),
]

export const readImage = async (step: RunStep, dir: string): Promise<Image> => {
  const read = (name: string): Op => readOp(posix.join(dir, name), MAX)
  const results = await step('image', [
    read(DESCRIPTORS),
    read(OUTSIDE),
    { op: 'stat', path: posix.join(dir, INVENTORY), flags: READ_FLAGS.missingOk },
  ])
  if (results.bytes(2) === undefined)
    throw new BerthError('not-found', `"${dir}" holds no checkpoint: there is no ${INVENTORY}`, { subject: dir })
  const [descriptors, outside] = [results.bytes(0), results.bytes(1)]
  return {
    dir,
    descriptors: descriptors === undefined ? [] : texts(parse(descriptors, dir, DESCRIPTORS), dir, DESCRIPTORS),
    outside: outside === undefined ? undefined : checkOutside(parse(outside, dir, OUTSIDE), dir),
  }
}

const parse = (bytes: Uint8Array, dir: string, name: string): unknown =>
  parseJson(bytes, { file: posix.join(dir, name) })

const malformed = (dir: string, name: string, what: string) =>
  new BerthError('invalid', `${posix.join(dir, name)}: ${what}`, { subject: dir })

const texts = (value: unknown, dir: string, name: string): readonly string[] => {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw malformed(dir, name, 'not a list of strings')
}

const checkOutside = (value: unknown, dir: string): Outside => {
  const { version, mounts, namespaces, options } = (value ?? {}) as Readonly<Record<string, unknown>>
  if (version !== VERSION) throw malformed(dir, OUTSIDE, `of version ${version}, not ${VERSION}`)
  return {
    mounts: texts(mounts, dir, OUTSIDE),
    namespaces: texts(namespaces, dir, OUTSIDE),
    options: readOptions((options ?? {}) as Readonly<Record<string, unknown>>),
  }
}
