/** `create`: from a bundle to a parked container, or to nothing at all. */

import { posix } from 'node:path'
import { delegated, delegationPlan } from '../cgroup/delegation.ts'
import { isV2 } from '../cgroup/layout.ts'
import { ERRNO } from '../controller/errno.ts'
import type { CommandAnswer, CommandRequest, Results, RunStep } from '../controller/types.ts'
import { explained } from '../criu/log.ts'
import { BerthError } from '../errors.ts'
import type { Compiled } from '../plan/create.ts'
import { encodePlan } from '../plan/encode.ts'
import { factsPlan, type HostFacts, isRootless, readFacts } from '../plan/facts.ts'
import { environmentOf } from '../plan/http.ts'
import { meanwhile } from '../plan/lifecycle.ts'
import { Namespaces } from '../plan/namespaces.ts'
import { DIR_FLAGS, OP_FLAGS, type Op, type Plan, READ_FLAGS, type Template, WRITE_FLAGS } from '../plan/ops.ts'
import { logOf, type RestoreSource } from '../plan/restore.ts'
import { confinementOf, ENFORCED, type GivenPolicy, MAX_POLICY, type NodeFile, nodeOp } from '../policy/source.ts'
import type { Confinement } from '../policy/types.ts'
import { checkId } from '../spec/id.ts'
import { loadSpec } from '../spec/load.ts'
import type { Spec } from '../spec/types.ts'
import { advise } from './advice.ts'
import { type Announcement, announcePid, announcePidfd } from './announce.ts'
import { clonedProcess, cloneIndex, compile } from './compile.ts'
import { removeCreated, runPoststop } from './delete.ts'
import { lentExec } from './exec.ts'
import type { CommandWish } from './host-root.ts'
import { BOOT_ID, readOp } from './inspect.ts'
import { type ContainerPaths, containerPaths, INIT_KEY, MAX_CONFIG } from './layout.ts'
import { notifyDir, withNotify } from './notify.ts'
import { preparedDelete, preparedPlan } from './prepared.ts'
import { type ContainerState, type CreateFlags, type ProcessId, stateTemplate } from './state.ts'
import { parseStat } from './status.ts'
import { afterTerminal } from './terminal.ts'
import { rfc3339 } from './time.ts'
import type { Traces } from './timing.ts'

const O_PATH_DIRECTORY = 0o10200000
const ROOTFS_SLOT = 59
const S_ISVTX = 0o1000
const WRITABLE_BY_OTHERS = 0o022
const DONE: CommandAnswer = { exitCode: 0, stdout: '', stderr: '' }

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
  /** How long what takes is recorded. */
  readonly timed?: boolean
  /** A policy of the caller's, one more that holds. */
  readonly policy?: string | undefined
  /** Instead of a bundle: a command, with the host's tree for its root. */
  readonly command?: CommandWish
  /** What watches it: a configuration to go by, and what is to be there before. */
  readonly watch?: (spec: Spec, paths: ContainerPaths, facts: HostFacts) => Watched
  /** Whether nothing is left to be said once it is there, with these warnings. */
  readonly silent?: (warnings: readonly string[]) => boolean
  /** Its processes come from a checkpoint; told once the node's file is known. */
  readonly restore?: (node: NodeFile) => Promise<RestoreSource>
}

export interface Watched {
  readonly spec: Spec
  /** Before its process is made, by who makes it; and how to end that. */
  readonly make: Plan
  readonly remove: Plan
}

export interface Created {
  readonly paths: ContainerPaths
  readonly state: ContainerState
  readonly compiled: Compiled
  readonly spec: Spec
  readonly warnings: readonly string[]
  /** What gets round its policies, and what of them is less safe than it may seem. */
  readonly gaps: readonly string[]
  readonly traces: Traces | undefined
  /** Ends it, whatever it does. `answer`: what the command comes to with that, where it has nothing else to say. */
  readonly remove: (answer?: CommandAnswer) => Promise<string[]>
}

export const createContainer = async (
  request: CommandRequest,
  step: RunStep<CommandAnswer>,
  options: CreateOptions,
): Promise<Created> => {
  const { root, bundle, flags, timed = false } = options
  const id = checkId(options.id)
  const paths = containerPaths(root, id)

  if (timed) await step('trace', [{ op: 'trace' }])
  // Everything that can be told beforehand is told before the host sees anything.
  const {
    facts,
    node,
    results,
    next,
    config: read,
  } = await readBundle(step, options, flags.systemdCgroup, [
    { op: 'clock' },
    BOOT_ID,
    { op: 'stat', path: paths.dir, flags: READ_FLAGS.missingOk },
    { op: 'stat', path: root, flags: READ_FLAGS.missingOk },
    ...(options.policy === undefined ? [] : [readOp(options.policy, MAX_POLICY)]),
  ])
  const given = givenPolicy(options.policy, results.bytes(next + 4))
  const source = { config: read, results, facts, node, given, paths }
  const { config, spec: written, warnings, confinement, hostRoot } = await configuration(request, step, options, source)
  const watched = options.watch?.(written, paths, facts)
  const spec = withNotify(forCaller(watched?.spec ?? written, request), request, paths)
  const { terminal = false } = spec.process ?? {}
  const { detach, consoleSocket, announcement } = options
  const restore = await options.restore?.(node)
  const compiled = compile({
    id,
    bundle,
    spec,
    facts,
    stateDir: paths.dir,
    flags,
    afterTerminal: afterTerminal({ terminal, detach, consoleSocket }),
    confinement,
    restore,
    hostRoot: hostRoot?.hostRoot,
    secrets: secretsOf(confinement, request),
  })
  const gaps = [...(await credentialGapsOf(confinement, options, written)), ...compiled.gaps]
  const described = {
    id,
    bundle,
    ociVersion: spec.ociVersion,
    bootId: results.text(next + 1)?.trim() ?? '',
    sharedPid: !new Namespaces(spec).isNew('pid'),
    created: rfc3339(results.u64(next)),
    annotations: { ...spec.annotations, ...(await enforced(confinement)) },
    rootfs: compiled.rootfs,
    cgroupPaths: compiled.cgroupPaths,
    uid: request.uid,
    options: flags,
    ...(confinement ? { confinement } : {}),
    ...(hostRoot ? { layers: hostRoot.layers } : {}),
  }
  if (results.bytes(next + 3) !== undefined)
    checkRoot(root, results.u32(next + 3), results.u32(next + 3, 4), request.uid)
  if (results.bytes(next + 2) !== undefined) throw alreadyExists(id)
  if (compiled.inspect) compiled.inspect.judge(await step('inspect', compiled.inspect.plan))
  const undo = encodePlan([...compiled.undo, ...(watched?.remove ?? []), ...(hostRoot?.remove ?? [])])

  // Then no step follows `park`: no pidfd is announced, no process between is reaped (a restore's, or one that has joined a user namespace), and
  // there are no traces and no words.
  const isLast =
    announcement.pidfdSocket === undefined &&
    restore === undefined &&
    !new Namespaces(spec).isJoined('user') &&
    options.silent?.([...warnings, ...compiled.warnings, ...gaps]) === true
  const { start, create } = compiled
  const claim = claimPlan(compiled, root, paths)
  try {
    const prepared = preparedPlan({
      id,
      paths,
      state: described,
      spec,
      start,
      exec: lentExec(described, written, facts),
      build: request.build ?? '',
      cgroups: facts.cgroup,
    })
    const { init, monitor, traced } = await park(
      step,
      [
        ...claim,
        // On disk before the first thing that the host can see (trap 10).
        keepOp(paths.undo, [undo]),
        ...notifyDir(request, paths),
      ],
      [
        ...(hostRoot?.make ?? []),
        ...(watched?.make ?? []),
        ...meanwhile(create, [
          ...keep(paths, config, preparedDelete(paths, compiled)),
          ...prepared,
          ...watchOom(compiled),
        ]),
        // Nothing of it is known before the process is.
        keepOp(paths.state, stateTemplate(described)),
        { op: 'stay', socket: paths.socket, exitFile: paths.exit, key: INIT_KEY },
        ...announcePid(announcement),
      ],
      { ...options, whenDone: isLast ? DONE : undefined },
    )
    const state: ContainerState = { ...described, init, monitor }
    const told = announcePidfd(announcement, 'standard', init)
    if (told.length > 0) await step('announce', told)
    const launcher = timed ? (await step('traced', [{ op: 'traced' }])).bytes(0) : undefined
    return {
      paths,
      state,
      compiled,
      spec,
      warnings: [...warnings, ...compiled.warnings],
      gaps,
      traces: launcher && traced ? { launcher, monitor: traced } : undefined,
      remove: (answer) => removeCreated(step, { paths, state }, compiled, answer),
    }
  } catch (error) {
    if (error instanceof BerthError && error.at !== undefined && error.at < claim.length)
      throw notClaimed(error, { rootfs: compiled.rootfs, root, id })
    const why = restore === undefined ? advise(step, error) : explained(step, error, 'restore', logOf(restore))
    const reported = await undone(step, paths, await why)
    // A hook may have made what those after the end take away again (runtime.md, lifecycle).
    await runPoststop(step, compiled.poststop)
    throw reported
  }
}

/** Whole or not at all: a torn plan could remove nothing. */
const keepOp = (path: string, data: Template): Op => ({
  op: 'write',
  path,
  data,
  flags: WRITE_FLAGS.create | WRITE_FLAGS.atomic,
  mode: 0o600,
})

/** The configuration as used, and what deletes the container once it has ended. */
const keep = (paths: ContainerPaths, config: Uint8Array, remove: Plan | undefined): Plan => [
  { op: 'write', path: paths.config, data: [config], flags: WRITE_FLAGS.create | WRITE_FLAGS.excl, mode: 0o600 },
  ...(remove === undefined ? [] : [keepOp(paths.delete, [encodePlan(remove)])]),
]

const enforced = async (confinement: Confinement | undefined): Promise<Readonly<Record<string, string>>> => {
  if (confinement === undefined) return {}
  const { enforcedText } = await import('../policy/protections.ts')
  return { [ENFORCED]: enforcedText(confinement) }
}

const credentialGapsOf = async (
  confinement: Confinement | undefined,
  { bundle, command }: CreateOptions,
  spec: Spec,
): Promise<readonly string[]> => {
  if (!confinement?.policies.some(({ http }) => http?.credentials?.length)) return []
  const { bundleReader, credentialGaps, hostReader } = await import('../policy/credentials.ts')
  return credentialGaps(confinement, command === undefined ? bundleReader(spec, bundle) : hostReader('the command'))
}

/** What credentials of the caller's environment are. */
export const secretsOf = (
  confinement: Confinement | undefined,
  { env }: CommandRequest,
): Readonly<Record<string, string>> =>
  Object.fromEntries(
    environmentOf(confinement).map((name) => {
      const value = Object.hasOwn(env, name) ? env[name] : undefined
      if (!value) throw new BerthError('invalid', `policy: http.credentials: ${name} is not in berth's environment`)
      return [name, value]
    }),
  )

const givenPolicy = (path: string | undefined, bytes: Uint8Array | undefined): GivenPolicy | undefined => {
  if (path === undefined) return undefined
  if (bytes === undefined) throw new BerthError('not-found', `--policy: "${path}" does not exist`, { subject: path })
  return { path, bytes }
}

/** What is to be made, and under which policies: a bundle's, whose annotations have a say; or a command's, whose network goes by the policy that is given. */
const configuration = async (
  request: CommandRequest,
  step: RunStep,
  { bundle, command }: CreateOptions,
  source: {
    readonly config: Uint8Array
    readonly results: Results
    readonly facts: HostFacts
    readonly node: NodeFile
    readonly given: GivenPolicy | undefined
    readonly paths: ContainerPaths
  },
) => {
  const { node, given, facts, paths } = source
  if (command === undefined) {
    const { config } = source
    const { spec, warnings } = loadSpec(config, posix.join(bundle, 'config.json'), { runnable: true })
    const confinement = await confinementOf(step, spec, node, { given, facts })
    return { config, spec, warnings, confinement, hostRoot: undefined }
  }
  const { planHostRoot } = await import('./host-root.ts')
  const confinement = await confinementOf(step, {}, node, { given, facts })
  const host = { ...source, stateDir: paths.dir }
  const hostRoot = await planHostRoot(step, request, command, host, { confinement, given })
  const { config } = hostRoot
  const { spec, warnings } = loadSpec(config, 'the command', { runnable: true })
  return { config, spec, warnings, confinement, hostRoot }
}

/** config.json of a bundle, the node's own file, and what compiling needs to know of the host; with the results of `more` from `next` on. */
export const readBundle = async (
  step: RunStep,
  { bundle, nodeConfig, command }: Pick<CreateOptions, 'bundle' | 'nodeConfig' | 'command'>,
  systemd: boolean,
  more: Plan = [],
) => {
  const at = factsPlan.length
  const file = posix.join(bundle, 'config.json')
  const results = await step('config', [...factsPlan, readOp(file, MAX_CONFIG), nodeOp(nodeConfig), ...more])
  const node: NodeFile = { path: nodeConfig, bytes: results.bytes(at + 1) }
  const config = command === undefined ? results.bytes(at) : new Uint8Array()
  if (config === undefined)
    throw new BerthError('not-found', `bundle "${bundle}" has no config.json`, { subject: bundle })
  const facts = readFacts(results)
  // A user's own systemd has been given its cgroups, and gives them on.
  return { config, node, facts: systemd ? facts : await withDelegation(step, facts), results, next: at + 2 }
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

/**
 * The last look before anything is made: the root has to be a directory, the cgroups free. Then the directory is the claim to the id: who makes
 * it has it.
 */
const claimPlan = ({ rootfs, check }: Compiled, root: string, paths: ContainerPaths): Plan => [
  { op: 'open', path: rootfs, oflags: O_PATH_DIRECTORY, mode: 0, slot: ROOTFS_SLOT },
  { op: 'close', slot: ROOTFS_SLOT },
  ...check,
  { op: 'mkdir', path: root, mode: 0o700, flags: DIR_FLAGS.parents | DIR_FLAGS.existOk },
  { op: 'mkdir', path: paths.dir, mode: 0o700, flags: 0 },
]

/** So that its monitor can tell an end for want of memory from others. */
const watchOom = ({ cgroups }: Compiled): Plan =>
  cgroups
    .filter(({ hierarchy }) => hierarchy.controllers.includes('memory') || isV2(hierarchy))
    .map(({ dir }): Op => ({ op: 'watch-oom', name: INIT_KEY, path: dir, opFlags: OP_FLAGS.tolerate }))

/** Nothing has been made, or somebody else has made it. */
const notClaimed = (
  error: BerthError,
  { rootfs, root, id }: { readonly rootfs: string; readonly root: string; readonly id: string },
): BerthError => {
  if (error.op === 'open') return noRootfs(rootfs, error)
  return error.op === 'mkdir' && error.errno === ERRNO.EEXIST && error.subject !== root ? alreadyExists(id) : error
}

const noRootfs = (rootfs: string, error: BerthError): BerthError => {
  const pointer = '/root/path'
  const why = new Map<number, string>([
    [ERRNO.ENOENT, 'does not exist'],
    [ERRNO.ENOTDIR, 'is not a directory'],
  ]).get(error.errno ?? 0)
  return new BerthError(
    'invalid',
    `config.json: ${pointer}: root file system "${rootfs}" ${why ?? `can't be opened: ${error.message}`}`,
    { pointer },
  )
}

/** Builds the sandbox up to the parked init, or restores what it was, in a process that stays as its monitor. */
const park = async (
  step: RunStep<CommandAnswer>,
  before: Plan,
  create: Plan,
  {
    detach,
    timed = false,
    whenDone,
  }: Pick<CreateOptions, 'detach' | 'timed'> & { readonly whenDone: CommandAnswer | undefined },
) => {
  // First of all the process says who it is: `delete` waits for it to be gone.
  const self: Op = { op: 'read', path: '/proc/self/stat', max: 4096, flags: 0 }
  const plan: Plan = timed ? [self, { op: 'trace' }, ...create, { op: 'traced' }] : [self, ...create]
  // What CRIU leaves behind is to be ours, as what is cloned is.
  const outside: Plan = plan.some(({ op }) => op === 'adopt') ? [...before, { op: 'subreaper' }] : before
  // A signal that came between this and the wait for its process would end who is to pass it on, and leave the container.
  const after: Plan = detach ? [] : [{ op: 'hold-signals' }]
  const results = await step('create', [...outside, { op: 'remote', socket: '', plan }, ...after], whenDone)
  const inside = results.nested(outside.length)
  const { process, reap } = clonedProcess(inside, cloneIndex(plan, INIT_KEY))
  if (reap.length > 0) await step('reap', reap)
  const traced = timed ? inside.bytes(plan.length - 1) : undefined
  return { init: process, monitor: selfOf(inside.text(0) ?? ''), traced }
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
