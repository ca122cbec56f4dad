/** `create`: from a bundle to a parked container, or to nothing at all. */

import { posix } from 'node:path'
import { delegated, delegationPlan } from '../cgroup/delegation.ts'
import { ERRNO } from '../controller/errno.ts'
import type { CommandRequest, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import type { Compiled } from '../plan/create.ts'
import { encodePlan } from '../plan/encode.ts'
import { factsPlan, type HostFacts, isRootless, readFacts } from '../plan/facts.ts'
import { Namespaces } from '../plan/namespaces.ts'
import { DIR_FLAGS, type Op, type Plan, READ_FLAGS, WRITE_FLAGS } from '../plan/ops.ts'
import { confinementOf, ENFORCED, type NodeFile, nodeOp } from '../policy/source.ts'
import type { Confinement } from '../policy/types.ts'
import { checkId } from '../spec/id.ts'
import { loadSpec } from '../spec/load.ts'
import type { Spec } from '../spec/types.ts'
import { advise } from './advice.ts'
import { type Announcement, announcePlan } from './announce.ts'
import { clonedProcess, cloneIndex, compile } from './compile.ts'
import { runPoststop } from './delete.ts'
import { BOOT_ID, readOp } from './inspect.ts'
import { type ContainerPaths, containerPaths, INIT_KEY, MAX_CONFIG } from './layout.ts'
import { notifyDir, withNotify } from './notify.ts'
import { type ContainerState, type CreateFlags, encodeState, type ProcessId } from './state.ts'
import { parseStat } from './status.ts'
import { afterTerminal } from './terminal.ts'
import { rfc3339 } from './time.ts'

const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const S_ISVTX = 0o1000
const WRITABLE_BY_OTHERS = 0o022

export interface CreateOptions {
  readonly root: string
  readonly id: string
  /** Absolute, as are the paths below. */
  readonly bundle: string
  readonly announcement: Announcement
  readonly consoleSocket: string | undefined
  /** The command ends before the container does. */
  readonly detach: boolean
  readonly flags: CreateFlags
  /** The node's own file. */
  readonly nodeConfig: string
}

export interface Created {
  readonly paths: ContainerPaths
  readonly state: ContainerState
  readonly compiled: Compiled
  readonly spec: Spec
  readonly warnings: readonly string[]
}

export const createContainer = async (
  request: CommandRequest,
  step: RunStep,
  options: CreateOptions,
): Promise<Created> => {
  const { root, bundle, flags } = options
  const id = checkId(options.id)
  const paths = containerPaths(root, id)

  // Everything that can be told beforehand is told before the host sees anything.
  const { config, facts, node } = await readBundle(step, options, flags.systemdCgroup)
  const { spec: written, warnings } = loadSpec(config, posix.join(bundle, 'config.json'), { runnable: true })
  const spec = withNotify(forCaller(written, request), request, paths)
  const { terminal = false } = spec.process ?? {}
  const { detach, consoleSocket } = options
  const confinement = await confinementOf(step, spec, node)
  const compiled = compile({
    id,
    bundle,
    spec,
    facts,
    stateDir: paths.dir,
    flags,
    afterTerminal: afterTerminal({ terminal, detach, consoleSocket }),
    confinement,
  })
  await checkHost(step, compiled, paths, { id, root, self: request.uid })
  const undo = encodePlan(compiled.undo)

  await reserve(step, root, paths, id)
  try {
    await step('prepare', [
      { op: 'write', path: paths.config, data: [config], flags: WRITE_FLAGS.create | WRITE_FLAGS.excl, mode: 0o600 },
      // whole or not at all: a torn plan could remove nothing
      { op: 'write', path: paths.undo, data: [undo], flags: WRITE_FLAGS.create | WRITE_FLAGS.atomic, mode: 0o600 },
      ...notifyDir(request, paths),
    ])
    const { init, monitor, created, bootId } = await park(step, compiled, paths)
    const state: ContainerState = {
      id,
      bundle,
      ociVersion: spec.ociVersion,
      init,
      monitor,
      bootId,
      sharedPid: !new Namespaces(spec).isNew('pid'),
      created,
      annotations: { ...spec.annotations, ...(await enforced(confinement)) },
      rootfs: compiled.rootfs,
      cgroupPaths: compiled.cgroupPaths,
      uid: request.uid,
      options: flags,
      ...(confinement ? { confinement } : {}),
    }
    await step('record', [
      {
        op: 'write',
        path: paths.state,
        data: [encodeState(state)],
        flags: WRITE_FLAGS.create | WRITE_FLAGS.atomic,
        mode: 0o600,
      },
      ...announcePlan(options.announcement, 'standard', init),
    ])
    return { paths, state, compiled, spec, warnings: [...warnings, ...compiled.warnings] }
  } catch (error) {
    const reported = await undone(step, paths, await advise(step, error))
    // A hook may have made what those after the end take away again (runtime.md, lifecycle).
    await runPoststop(step, compiled.poststop)
    throw reported
  }
}

const enforced = async (confinement: Confinement | undefined): Promise<Readonly<Record<string, string>>> => {
  if (confinement === undefined) return {}
  const { enforcedText } = await import('../policy/protections.ts')
  return { [ENFORCED]: enforcedText(confinement) }
}

/** config.json of a bundle, the node's own file, and what compiling needs to know of the host. */
export const readBundle = async (
  step: RunStep,
  { bundle, nodeConfig }: Pick<CreateOptions, 'bundle' | 'nodeConfig'>,
  systemd: boolean,
) => {
  const at = factsPlan.length
  const file = posix.join(bundle, 'config.json')
  const results = await step('config', [...factsPlan, readOp(file, MAX_CONFIG), nodeOp(nodeConfig)])
  const node: NodeFile = { path: nodeConfig, bytes: results.bytes(at + 1) }
  const config = results.bytes(at)
  if (config === undefined)
    throw new BerthError('not-found', `bundle "${bundle}" has no config.json`, { subject: bundle })
  const facts = readFacts(results)
  // A user's own systemd has been given its cgroups, and gives them on.
  return { config, node, facts: systemd ? facts : await withDelegation(step, facts) }
}

const alreadyExists = (id: string): BerthError =>
  new BerthError('exists', `container "${id}" already exists`, { subject: id })

/** What the caller adds to the configuration: the size of its terminal, and the sockets it was activated with (sd_listen_fds(3)). */
const forCaller = (spec: Spec, { rows, cols, listenFds, env: callers }: CommandRequest): Spec => {
  const { process } = spec
  if (process === undefined) return spec
  const { terminal = false, consoleSize, env = [] } = process
  const { LISTEN_FDNAMES: names } = callers
  const activation = [`LISTEN_FDS=${listenFds}`, 'LISTEN_PID=1', ...(names ? [`LISTEN_FDNAMES=${names}`] : [])]
  const sized = terminal && consoleSize === undefined && rows > 0 && cols > 0
  return {
    ...spec,
    process: {
      ...process,
      ...(sized ? { consoleSize: { height: rows, width: cols } } : {}),
      ...(listenFds > 0 ? { env: [...env, ...activation] } : {}),
    },
  }
}

/** What of the host's cgroups is this user's. */
const withDelegation = async (step: RunStep, facts: HostFacts): Promise<HostFacts> => {
  if (!isRootless(facts)) return facts
  const results = await step('delegation', delegationPlan(facts.cgroup))
  return { ...facts, cgroup: delegated(facts.cgroup, results, facts.caller.uid) }
}

/** Where others could put a container's directory, they could say what is done with it (trap 10); `stored` looks at what is above. */
const checkRoot = (root: string, mode: number, owner: number, self: number): void => {
  const refuse = (why: string) => new BerthError('invalid', `--root: "${root}" ${why}, not trusted`, { subject: root })
  if (owner !== self && owner !== 0) throw refuse(`belongs to uid ${owner}`)
  if ((mode & WRITABLE_BY_OTHERS) !== 0 && (mode & S_ISVTX) === 0) throw refuse('is writable by others')
}

/** The last look before anything is made: the root has to be a directory, the id and the cgroups free. */
const checkHost = async (
  step: RunStep,
  compiled: Compiled,
  paths: ContainerPaths,
  { id, root, self }: { readonly id: string; readonly root: string; readonly self: number },
): Promise<void> => {
  const { rootfs } = compiled
  const results = await step('check', [
    { op: 'stat', path: paths.dir, flags: READ_FLAGS.missingOk },
    { op: 'stat', path: rootfs, flags: READ_FLAGS.missingOk },
    { op: 'stat', path: root, flags: READ_FLAGS.missingOk },
  ])
  if (results.bytes(2) !== undefined) checkRoot(root, results.u32(2), results.u32(2, 4), self)
  const pointer = '/root/path'
  if (results.bytes(0) !== undefined) throw alreadyExists(id)
  if (results.bytes(1) === undefined)
    throw new BerthError('invalid', `config.json: ${pointer}: root file system "${rootfs}" does not exist`, { pointer })
  if ((results.u32(1) & S_IFMT) !== S_IFDIR)
    throw new BerthError('invalid', `config.json: ${pointer}: root file system "${rootfs}" is not a directory`, {
      pointer,
    })
  await step('vacant', compiled.check)
  if (compiled.inspect) compiled.inspect.judge(await step('inspect', compiled.inspect.plan))
}

/** The directory is the claim to the id: who makes it has it. */
const reserve = async (step: RunStep, root: string, paths: ContainerPaths, id: string): Promise<void> => {
  try {
    await step('reserve', [
      { op: 'mkdir', path: root, mode: 0o700, flags: DIR_FLAGS.parents | DIR_FLAGS.existOk },
      { op: 'mkdir', path: paths.dir, mode: 0o700, flags: 0 },
    ])
  } catch (error) {
    if (error instanceof BerthError && error.errno === ERRNO.EEXIST && error.subject !== root) throw alreadyExists(id)
    throw error
  }
}

/** Builds the sandbox up to the parked init, in a process that stays as its monitor. */
const park = async (step: RunStep, compiled: Compiled, paths: ContainerPaths) => {
  // First of all the process says who it is: `delete` waits for it to be gone.
  const self: Op = { op: 'read', path: '/proc/self/stat', max: 4096, flags: 0 }
  const plan: Plan = [
    self,
    ...compiled.create,
    { op: 'stay', socket: paths.socket, exitFile: paths.exit, key: INIT_KEY },
  ]
  const results = await step('create', [{ op: 'remote', socket: '', plan }, { op: 'clock' }, BOOT_ID])
  const inside = results.nested(0)
  const { process, reap } = clonedProcess(inside, cloneIndex(plan, INIT_KEY))
  if (reap.length > 0) await step('reap', reap)
  return {
    init: process,
    monitor: selfOf(inside.text(0) ?? ''),
    created: rfc3339(results.u64(1)),
    bootId: results.text(2)?.trim() ?? '',
  }
}

const selfOf = (stat: string): ProcessId => {
  const startTime = parseStat(stat)?.startTime
  if (startTime === undefined) throw new BerthError('internal', '/proc/self/stat is not as expected')
  return { pid: Number.parseInt(stat, 10), startTime }
}

/** Takes back what a failed creation had done. The error to report; the directory stays where something could not be taken back. */
const undone = async (step: RunStep, paths: ContainerPaths, error: unknown): Promise<unknown> => {
  try {
    await step('undo', [
      { op: 'stored', path: paths.undo, flags: READ_FLAGS.missingOk },
      { op: 'rmtree', path: paths.dir, flags: DIR_FLAGS.missingOk },
    ])
    return error
  } catch (second) {
    if (!(error instanceof BerthError && second instanceof BerthError)) return error
    const { kind, pointer, message } = error
    return new BerthError(kind, `${message}; undoing it failed, try delete --force: ${second.message}`, {
      ...(pointer === undefined ? {} : { pointer }),
      cause: error,
    })
  }
}
