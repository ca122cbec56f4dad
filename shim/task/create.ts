/** Create: builds the container and parks its init. */

import { join } from 'node:path'
import { ERRNO } from '../../src/controller/errno.ts'
import type { Results, RunStep } from '../../src/controller/types.ts'
import { BerthError } from '../../src/errors.ts'
import { hostArch } from '../../src/host/arch.ts'
import type { Arch, Compiled, CreateInput } from '../../src/plan/create.ts'
import { encodePlan } from '../../src/plan/encode.ts'
import type { HostFacts } from '../../src/plan/facts.ts'
import { meanwhile } from '../../src/plan/lifecycle.ts'
import { DIR_FLAGS, OP_FLAGS, type Op, type Plan, READ_FLAGS, WRITE_FLAGS } from '../../src/plan/ops.ts'
import { limitsOutput } from '../../src/plan/output-limit.ts'
import { TERMINAL_SLOT } from '../../src/plan/terminal.ts'
import { keepPolicies } from '../../src/policy/kept.ts'
import { NODE_CONFIG, type NodeFile } from '../../src/policy/source.ts'
import type { Confinement } from '../../src/policy/types.ts'
import { checkId } from '../../src/spec/id.ts'
import type { Spec } from '../../src/spec/types.ts'
import { type Logged, undoLoggers } from '../logger.ts'
import { helperPaths, helpersOf, type RootfsPlan, rootfsPlan } from '../mounts.ts'
import { containerd } from '../proto/messages.gen.js'
import { kept, mayHoldFifos, pipeOwner, stdioPlan } from '../stdio.ts'
import { Code, RpcError } from '../ttrpc/status.ts'
import { type Env, type Method, timedStep } from './call.ts'
import { cgroupDirs } from './compile.ts'
import { watchOomOp } from './oom.ts'
import { readOptions } from './options.ts'
import { findTask, keyOf, putTask, type Running, type Stdio, type Task, type TaskOptions } from './record.ts'
import { joinShimCgroup } from './shim-cgroup.ts'
import { createFailed } from './status.ts'

type Request = containerd.task.CreateRequest

const CONFIG_MAX = 16 << 20
// umount2(2)
const MNT_DETACH = 2
/** Init's pidfd, mounted. native/launcher/shim_delete.c reads it, and `pid`. */
const EXIT_FILE = 'pidfd'

/** Where a container's own files are. */
export const taskDir = (env: Env, id: string): string => join(env.stateDir, id)
/** Whose output a logging program is told that it has. */
export const loggedOf = (env: Env, id: string, execId: string): Logged => ({
  taskDir: taskDir(env, id),
  id,
  execId,
  namespace: env.namespace,
})
export const undoFile = (env: Env, id: string): string => join(taskDir(env, id), 'undo')

export const create: Method<Request> = async (env, request, step) => {
  try {
    return await build(env, request, step)
  } catch (error) {
    throw createFailed(error)
  }
}

const build = async (env: Env, request: Request, step: RunStep) => {
  const { id, bundle, checkpoint, stdin, stdout, stderr, terminal } = request
  checkId(id)
  if (!bundle.startsWith('/')) throw new BerthError('invalid', `bundle "${bundle}" is no absolute path`)
  if (findTask(env.record(), id) !== undefined) throw taken()

  const stdio: Stdio = { stdin, stdout, stderr, terminal }
  const wish: Wish = {
    id,
    bundle,
    stdio,
    checkpoint,
    options: (spec, facts) => ownOptions(env, request, spec, facts, step),
    confinement: (spec, node, facts) => env.compiler.confinementOf(step, spec, node, { facts }),
  }
  const { spec, confinement, options, io, compiled, cgroups } = await compileTask(env, wish, step)
  if (compiled.inspect) compiled.inspect.judge(await step('inspect', compiled.inspect.plan))
  // What a checkpoint holds comes at Start, as with runc.
  const made =
    checkpoint === ''
      ? { open: io.open, create: meanwhile(compiled.create, [...watchOomOp(id, cgroups), ...processFiles(env, id)]) }
      : { open: [], create: processFiles(env, id) }
  const rootfs = await planRootfs(env, request, step)
  const keep = keepPolicies(taskDir(env, id), confinement)
  const { process, time, oomKills } = await run(env, request, { ...made, compiled, keep, rootfs }, step)

  const task: Task = {
    bundle,
    status: 'created',
    process,
    stdio,
    options,
    cgroups,
    ...(oomKills > 0n ? { oomKills: Number(oomKills) } : {}),
    execs: {},
    ...(io.pumped ? { pumped: true } : {}),
    ...(io.logged ? { logged: true } : {}),
    ...(checkpoint === '' ? {} : { checkpoint }),
    ...(confinement ? { confined: true } : {}),
    ...(hasOwnPid(spec) ? {} : { sharedPid: true }),
    ...(compiled.start.every(({ op }) => op === 'resume') ? {} : { hooks: true }),
  }
  return (record: Parameters<typeof putTask>[0]) => {
    if (findTask(record, id) !== undefined) throw taken()
    const event = { containerId: id, bundle, rootfs: request.rootfs, io: stdio, checkpoint, pid: process.pid }
    return {
      record: putTask(record, id, task),
      answer: containerd.task.CreateResponse.encode({ pid: process.pid }).finish(),
      events: [env.events.create(time, event)],
    }
  }
}

/** The options of a new task; what they say of the shim itself is done. */
const ownOptions = async (
  env: Env,
  request: Request,
  spec: Spec,
  facts: HostFacts,
  step: RunStep,
): Promise<TaskOptions> => {
  const { shimCgroup, ...options } = await readOptions(request.options, spec.linux?.cgroupsPath, step)
  if (shimCgroup !== undefined) await joinShimCgroup(env.pid, shimCgroup, facts, step)
  return options
}

/** What a container is compiled from. */
interface Wish {
  readonly id: string
  readonly bundle: string
  readonly stdio: Stdio
  /** Directory of images, or ''. */
  readonly checkpoint: string
  readonly options: (spec: Spec, facts: HostFacts) => Promise<TaskOptions>
  readonly confinement: (spec: Spec, node: NodeFile, facts: HostFacts) => Promise<Confinement | undefined>
}

/** Reads the bundle and compiles it. */
export const compileTask = async (env: Env, wish: Wish, step: RunStep) => {
  const { id, bundle, stdio, checkpoint } = wish
  const { spec: written, facts, arch, node } = await readConfig(env, bundle, stdio.terminal, step)
  const confinement = await wish.confinement(written, node, facts)
  const spec = env.compiler.limitSpec(written, confinement)
  const options = await wish.options(spec, facts)
  const io = stdioPlan({
    key: id,
    stdio,
    direct: mayHoldFifos(spec, options) && !limitsOutput(confinement),
    options,
    owner: pipeOwner(spec, spec.process?.user),
    logged: loggedOf(env, id, ''),
    terminalSlot: TERMINAL_SLOT,
  })
  const input: CreateInput = {
    id,
    bundle,
    spec,
    facts,
    stateDir: taskDir(env, id),
    arch,
    key: keyOf(id, ''),
    preserveFds: 0,
    noPivot: options.noPivot ?? false,
    noNewKeyring: options.noNewKeyring ?? false,
    systemdCgroup: options.systemdCgroup ?? false,
    stdio: io.slots,
    afterTerminal: io.afterTerminal,
    outputPumps: kept.outputPumps(keyOf(id, '')),
    confinement,
  }
  const compiled =
    checkpoint === ''
      ? env.compiler.compileCreate(input)
      : await (await import('./restore.ts')).compile(input, checkpoint, options, node, step)
  return { spec, confinement, options, io, compiled, cgroups: cgroupDirs(facts, compiled.cgroupPaths) }
}

const taken = () => new RpcError(Code.unknown, 'OCI runtime create failed: container with given ID already exists')

const hasOwnPid = ({ linux }: Spec): boolean =>
  linux?.namespaces?.some(({ type, path }) => type === 'pid' && path === undefined) ?? false

/** Reads config.json and what compiling needs to know of the host. */
export const readConfig = async (
  env: Env,
  bundle: string,
  terminal: boolean,
  step: RunStep,
): Promise<{ readonly spec: Spec; readonly facts: HostFacts; readonly arch: Arch; readonly node: NodeFile }> => {
  const { factsPlan, loadSpec, nodeOp, readFacts } = env.compiler
  const path = join(bundle, 'config.json')
  const config: Op = { op: 'read', path, max: CONFIG_MAX, flags: 0 }
  const results = await step('config', [...factsPlan, config, nodeOp(NODE_CONFIG)])
  const bytes = results.bytes(factsPlan.length)
  if (bytes === undefined) throw new BerthError('internal', `no result for ${path}`)
  const { spec } = loadSpec(bytes, 'config.json', { runnable: true })
  // Client and configuration agree but for a mistake; then the FIFOs are the client's, so its word counts.
  const own = spec.process === undefined ? {} : { process: { ...spec.process, terminal } }
  return {
    spec: { ...spec, ...own },
    facts: readFacts(results),
    arch: hostArch(),
    node: { path: NODE_CONFIG, bytes: results.bytes(factsPlan.length + 1) },
  }
}

/** The mounts of the root file system; most need no other program, and then nothing of the host has to be known for them. */
const planRootfs = async (env: Env, { id, bundle, rootfs: mounts }: Request, step: RunStep): Promise<RootfsPlan> => {
  const helpers = new Map<string, string>()
  for (const program of helpersOf(mounts)) {
    const paths = helperPaths(program)
    const found = await step(
      program,
      paths.map((path): Op => ({ op: 'stat', path, flags: READ_FLAGS.missingOk })),
    )
    const path = paths.find((_, index) => found.bytes(index) !== undefined)
    if (path !== undefined) helpers.set(program, path)
  }
  return rootfsPlan({ mounts, rootfs: join(bundle, 'rootfs'), dir: taskDir(env, id), helpers })
}

interface Parts {
  readonly compiled: Compiled
  /** Standard input and output. */
  readonly open: Plan
  readonly create: Plan
  readonly keep: Plan
  readonly rootfs: RootfsPlan
}

/** Runs the plan, once more where a dead shim left its state under this id, and takes back what was done where it fails. */
const run = async (env: Env, { id }: Request, parts: Parts, step: RunStep) => {
  const plan = createPlan(env, id, parts)
  const clone = plan.findIndex((op) => op.op === 'clone' && op.key === id)
  const watch = plan.findIndex((op) => op.op === 'watch-oom')
  const attempt = async (name: string) => {
    const { results, time } = await timedStep(step, name, plan)
    const oomKills = results.bytes(watch) === undefined ? 0n : results.u64(watch)
    return { process: processOf(results, clone), time, oomKills }
  }
  // What is kept first, so that a logging program sees the end of its pipes.
  const undo = (name: string) => step(name, [dropOp(id), undoOp(env, id)])
  try {
    return await attempt('create')
  } catch (error) {
    if (!(isStale(error, env, id) && (await undo('stale').then(() => true)))) {
      await undo('undo').catch(() => undefined)
      throw error
    }
  }
  try {
    return await attempt('create again')
  } catch (error) {
    // The first error is what counts.
    await undo('undo').catch(() => undefined)
    throw error
  }
}

/** The process of a clone, or an adoption; none where `index` is negative. */
export const processOf = (results: Results, index: number): Running =>
  index < 0 ? { pid: 0, start: '0' } : { pid: results.u32(index), start: String(results.u64(index, 4)) }

/** What a dead shim left: its undo plan, or processes in the container's cgroup. Where these are somebody else's there is no undo plan. */
const isStale = (error: unknown, env: Env, id: string): boolean =>
  error instanceof BerthError &&
  (error.op === 'vacant' ||
    (error.op === 'write' && error.errno === ERRNO.EEXIST && error.subject === undoFile(env, id)))

/** The undo plan is on disk before the first thing that the host can see (trap 10). */
const createPlan = (env: Env, id: string, { compiled, open, create, keep, rootfs }: Parts): Plan => {
  const dir = taskDir(env, id)
  const undo: Op[] = [
    ...keepGoing(compiled.undo),
    ...keepGoing(compiled.poststop),
    ...keepGoing([
      undoLoggers(dir),
      ...rootfs.undo,
      { op: 'umount', path: join(dir, EXIT_FILE), flags: MNT_DETACH },
      { op: 'rmtree', path: dir, flags: DIR_FLAGS.missingOk },
    ]),
  ]
  return [
    ...compiled.check,
    { op: 'mkdir', path: dir, mode: 0o700, flags: DIR_FLAGS.existOk | DIR_FLAGS.parents },
    {
      op: 'write',
      path: undoFile(env, id),
      data: [encodePlan(undo)],
      flags: WRITE_FLAGS.create | WRITE_FLAGS.excl | WRITE_FLAGS.atomic,
      mode: 0o600,
    },
    ...keep,
    ...rootfs.make,
    ...open,
    ...create,
  ]
}

/** For the `delete` call of a shim that is gone: the pid of the process last made, and how that ends where the monitor died before it. */
export const processFiles = (env: Env, id: string): Op[] => [
  {
    op: 'write',
    path: join(taskDir(env, id), 'pid'),
    data: [{ hole: 'pid' }],
    flags: WRITE_FLAGS.create | WRITE_FLAGS.truncate,
    mode: 0o600,
  },
  // Kernels that can't do it could not tell the status either.
  { op: 'hold-exit', path: join(taskDir(env, id), EXIT_FILE), opFlags: OP_FLAGS.tolerate },
]

/** Each operation, whatever becomes of those before it. */
export const keepGoing = (plan: Plan): Op[] =>
  plan.map((op) => (op.opFlags ? op : { ...op, opFlags: OP_FLAGS.keepGoing }))

/** Removes the container from the host, as was planned at Create; nothing there is no error, so that it may be repeated. */
export const undoOp = (env: Env, id: string): Op => ({
  op: 'stored',
  path: undoFile(env, id),
  flags: READ_FLAGS.missingOk,
})

/** Closes what the monitor keeps for a process, and for init what it keeps for the container. */
export const dropOp = (key: string): Op => ({ op: 'drop', name: key })
