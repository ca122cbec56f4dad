/** Dumps a running container with CRIU: into images that a restore makes the same container from. */

import { posix } from 'node:path'
import { parseMountinfo } from '../cgroup/mountinfo.ts'
import type { CgroupDir } from '../cgroup/path.ts'
import type { Results, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { Namespaces } from '../plan/namespaces.ts'
import { DIR_FLAGS, OP_FLAGS, type Op, type Plan, READ_FLAGS, RUN_FLAGS } from '../plan/ops.ts'
import { checkRestorable } from '../plan/restore.ts'
import type { Confinement } from '../policy/types.ts'
import type { Spec } from '../spec/types.ts'
import { descriptorName, hostMounts, isOutsideFile, JOINABLE, outsideMounts } from './external.ts'
import { type Outside, writeImage } from './image.ts'
import { explained } from './log.ts'
import { type DumpOptions, readOptions, sharedArguments } from './options.ts'
import { CRIU_ENV } from './program.ts'

export const DUMP_LOG = 'dump.log'

export interface DumpInput {
  /** Finds it (program.ts): asked for once the container is known to be one that can be dumped. */
  readonly criu: () => Promise<string>
  readonly spec: Spec
  readonly bundle: string
  readonly rootfs: string
  readonly confinement: Confinement | undefined
  /** Of the init. */
  readonly pid: number
  readonly cgroups: readonly CgroupDir[]
  readonly unified: boolean
  /** The directory with the freezer of its cgroup; undefined where it has none. */
  readonly freezer: string | undefined
  /** Directories, absolute; made where they are missing. */
  readonly images: string
  readonly work: string
  readonly options: DumpOptions
}

const MAX = 16 << 20
const STDIO = [0, 1, 2] as const
const JOINED = Object.entries(JOINABLE)

/** What of the container is to be looked at, and what it comes to. */
const look = ({ pid }: DumpInput): { readonly plan: Plan; readonly read: (results: Results) => Seen } => {
  const proc = `/proc/${pid}`
  const mounts: Op = { op: 'read', path: `${proc}/mountinfo`, max: MAX, flags: 0 }
  const links = JOINED.map(([, { file }]): Op => ({ op: 'readlink', path: `${proc}/ns/${file}`, flags: 0 }))
  const descriptors = STDIO.flatMap((fd): Op[] => [
    { op: 'readlink', path: `${proc}/fd/${fd}`, flags: READ_FLAGS.missingOk },
    { op: 'read', path: `${proc}/fdinfo/${fd}`, max: MAX, flags: READ_FLAGS.missingOk },
    { op: 'stat', path: `${proc}/fd/${fd}`, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate },
  ])
  const read = (results: Results): Seen => {
    const found = parseMountinfo(results.text(0) ?? '')
    const ids = new Set(found.map(({ id }) => id))
    return {
      points: found.map(({ mountPoint }) => mountPoint),
      namespaces: Object.fromEntries(JOINED.map(([type], index) => [type, results.text(1 + index) ?? ''])),
      descriptors: STDIO.map((_, index) => {
        const at = 1 + links.length + 3 * index
        const inode = results.bytes(at + 2) === undefined ? 0n : results.u64(at + 2, 24)
        return descriptorName({ link: results.text(at) ?? '', info: results.text(at + 1) ?? '', inode }, ids)
      }),
    }
  }
  return { plan: [mounts, ...links, ...descriptors], read }
}

interface Seen {
  readonly points: readonly string[]
  /** Type → `net:[INODE]`. */
  readonly namespaces: Readonly<Record<string, string>>
  readonly descriptors: readonly string[]
}

const outsideOf = ({ spec, bundle, cgroups, unified, options }: DumpInput, { points }: Seen): Outside => {
  const namespaces = new Namespaces(spec)
  return {
    mounts: outsideMounts(points, spec, hostMounts(spec, bundle, cgroups, unified)),
    namespaces: JOINED.flatMap(([type]) => (namespaces.isJoined(type as keyof typeof JOINABLE) ? [type] : [])),
    options: readOptions({ ...options }),
  }
}

const external = (resource: string): string[] => ['--external', resource]

/** The whole command line. */
export const dumpArguments = (
  criu: string,
  input: DumpInput,
  { namespaces, descriptors }: Seen,
  outside: Outside,
): string[] => {
  const { pid, rootfs, freezer, images, work, options } = input
  return [
    criu,
    options.preDump ? 'pre-dump' : 'dump',
    ...['--tree', String(pid)],
    ...['--images-dir', images],
    ...['--work-dir', work],
    ...['--log-file', DUMP_LOG, '-v4'],
    ...['--root', rootfs],
    ...(freezer === undefined ? [] : ['--freeze-cgroup', freezer]),
    ...(options.parent === undefined ? [] : ['--prev-images-dir', options.parent]),
    ...(options.parent !== undefined || options.preDump ? ['--track-mem'] : []),
    ...(options.leaveRunning ? ['--leave-running'] : []),
    ...sharedArguments(options),
    ...outside.mounts.flatMap((point) => external(`mnt[${point}]:${point}`)),
    ...JOINED.flatMap(([type, { file, key }]) =>
      outside.namespaces.includes(type)
        ? external(`${file}[${/\[(\d+)\]/.exec(namespaces[type] ?? '')?.[1] ?? ''}]:${key}`)
        : [],
    ),
    ...[...new Set(descriptors.filter(isOutsideFile))].flatMap(external),
  ]
}

/** CRIU looks for sockets in the container's network namespace only, and says no more than that it finds none. */
const hint = ({ descriptors }: Seen): string => {
  const names = ['input', 'output', 'error'].filter((_, index) => descriptors[index]?.startsWith('socket:'))
  return names.length === 0
    ? ''
    : `; its standard ${names.join(' and ')} is a socket: if that is of the host's, use a pipe or a file`
}

/** Writes the images. Where it fails the container runs on as before. */
export const dump = async (step: RunStep, input: DumpInput): Promise<void> => {
  const { spec, confinement, images, work, options } = input
  checkRestorable(spec, confinement)
  const criu = await input.criu()
  const { plan, read } = look(input)
  const seen = read(await step('look', plan))
  const outside = outsideOf(input, seen)
  const args = dumpArguments(criu, input, seen, outside)
  const directory = (path: string): Op => ({
    op: 'mkdir',
    path,
    mode: 0o700,
    flags: DIR_FLAGS.parents | DIR_FLAGS.existOk,
  })
  try {
    await step('dump', [
      directory(images),
      directory(work),
      // However long it takes to write the memory that there is.
      {
        op: 'run',
        path: criu,
        args,
        env: CRIU_ENV,
        cwd: work,
        cgroups: [],
        slots: [],
        timeoutMs: 0,
        flags: RUN_FLAGS.ownMounts,
      },
      ...(options.preDump ? [] : writeImage({ dir: images, descriptors: seen.descriptors, outside })),
    ])
  } catch (error) {
    throw await explained(step, error, options.preDump ? 'pre-dump' : 'dump', posix.join(work, DUMP_LOG), hint(seen))
  }
}

/** Of a container that is neither: there is nothing to dump yet, or any more. */
export const checkDumpable = (id: string, status: string): void => {
  if (status === 'running' || status === 'paused') return
  throw new BerthError('state', `cannot checkpoint a container that is ${status}: "${id}"`, { subject: id })
}
