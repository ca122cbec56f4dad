/** `exec`: a further process in a container. */

import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { hostArch } from '../host/arch.ts'
import { compileExec, compileLentExec } from '../plan/exec.ts'
import type { HostFacts } from '../plan/facts.ts'
import { lacksPrivilege } from '../plan/namespaces.ts'
import type { Op, Plan } from '../plan/ops.ts'
import { limitProcess } from '../policy/limits.ts'
import type { Capabilities, Process, Spec } from '../spec/types.ts'
import { clonedProcess, cloneIndex, STDIO } from './compile.ts'
import { inUndivided } from './divided.ts'
import type { ContainerState, ProcessId } from './state.ts'
import { exitCode } from './wait.ts'

const EXEC_KEY = 'exec'

/** What the command line says about the process, over what the container's own process says. */
export interface ExecOverrides {
  readonly args: readonly string[]
  readonly tty: boolean
  readonly cwd: string | undefined
  readonly env: readonly string[]
  readonly user: { readonly uid: number; readonly gid?: number } | undefined
  readonly additionalGids: readonly number[]
  readonly caps: readonly string[]
  readonly noNewPrivs: boolean
  readonly apparmor: string | undefined
  readonly processLabel: string | undefined
}

const NO_OVERRIDES: Omit<ExecOverrides, 'args'> = {
  tty: false,
  cwd: undefined,
  env: [],
  user: undefined,
  additionalGids: [],
  caps: [],
  noNewPrivs: false,
  apparmor: undefined,
  processLabel: undefined,
}

export const execProcess = (spec: Spec, overrides: ExecOverrides): Process => {
  const { process } = spec
  if (process === undefined)
    throw new BerthError('invalid', 'the container has no process to take as a model: give --process')
  const { args, tty, cwd, env, user, additionalGids, caps, noNewPrivs, apparmor, processLabel } = overrides
  const { consoleSize: _, ...model } = process
  return {
    ...model,
    args,
    terminal: tty,
    cwd: cwd ?? process.cwd,
    env: mergeEnv([...(process.env ?? []), ...env]),
    user: {
      ...process.user,
      ...user,
      additionalGids: [...(process.user.additionalGids ?? []), ...additionalGids],
    },
    ...(caps.length === 0 ? {} : { capabilities: withCapabilities(process.capabilities ?? {}, caps) }),
    ...(noNewPrivs ? { noNewPrivileges: true } : {}),
    ...(apparmor === undefined ? {} : { apparmorProfile: apparmor }),
    ...(processLabel === undefined ? {} : { selinuxLabel: processLabel }),
  }
}

/** The last of a variable wins: programs would take the first of two. */
export const mergeEnv = (env: readonly string[]): string[] => {
  const byName = new Map<string, string>()
  for (const entry of env) byName.set(entry.split('=', 1)[0] ?? entry, entry)
  return [...byName.values()]
}

/** Inheritable stays as it is (S11), and so ambient, which can't go beyond it, gains only what is inheritable. */
const withCapabilities = (sets: Capabilities, added: readonly string[]): Capabilities => {
  const union = (set: readonly string[] = []) => [...new Set([...set, ...added])]
  const { inheritable = [], ambient = [] } = sets
  return {
    ...sets,
    bounding: union(sets.bounding),
    effective: union(sets.effective),
    permitted: union(sets.permitted),
    ambient: [...new Set([...ambient, ...added.filter((name) => inheritable.includes(name))])],
  }
}

export interface ExecOptions {
  readonly state: ContainerState
  /** Where the container's files are. */
  readonly stateDir: string
  readonly spec: Spec
  readonly facts: HostFacts
  readonly process: Process
  readonly cgroupPaths: readonly string[]
  readonly preserveFds: number
  readonly afterTerminal: Plan
  /** Once it has been executed. */
  readonly announce: Plan
}

/**
 * What `exec ID COMMAND` comes to in a container that is to be made, for a launcher to do without a controller; undefined where that takes one: what
 * can't be done is to be said when it is wanted.
 */
export const lentExec = (
  state: Pick<ContainerState, 'id' | 'bundle' | 'cgroupPaths' | 'confinement'>,
  spec: Spec,
  facts: HostFacts,
): Plan | undefined => {
  const { id, bundle, cgroupPaths, confinement } = state
  if (spec.process === undefined) return undefined
  const process = execProcess(spec, { ...NO_OVERRIDES, args: spec.process.args ?? [] })
  try {
    return compileLentExec({
      id,
      bundle,
      key: EXEC_KEY,
      process: limitProcess(process, confinement),
      confinement,
      spec,
      cgroupPaths,
      facts,
      stdio: STDIO,
      preserveFds: 0,
      afterTerminal: [],
      arch: hostArch(),
    })
  } catch (error) {
    if (error instanceof BerthError) return undefined
    throw error
  }
}

/** Runs the process, which is a child of the launcher. `wait`: and waits for it where that takes no further step. */
export const execInContainer = async (
  step: RunStep,
  options: ExecOptions & { readonly wait: boolean },
): Promise<{ readonly process: ProcessId; readonly exitCode: number | undefined }> => {
  const { state, spec, facts, process, cgroupPaths, preserveFds, afterTerminal, announce } = options
  return await inUndivided(step, facts, state.init.pid, cgroupPaths, async (paths, name) => {
    const plan = compileExec({
      id: state.id,
      bundle: state.bundle,
      stateDir: options.stateDir,
      key: EXEC_KEY,
      process: limitProcess(process, state.confinement),
      confinement: state.confinement,
      init: { pid: state.init.pid, start: state.init.startTime },
      spec,
      cgroupPaths: paths,
      facts,
      stdio: STDIO,
      preserveFds,
      afterTerminal,
      arch: hostArch(),
    })
    const remote: Op = { op: 'remote', socket: '', plan: [...plan, ...announce] }
    // Where another process cloned it, that one comes first.
    const waits = options.wait && !lacksPrivilege(facts)
    const results = await step(name, waits ? [remote, { op: 'await', pid: 0, forward: 1 }] : [remote])
    const cloned = clonedProcess(results.nested(0), cloneIndex(plan, EXEC_KEY))
    if (cloned.reap.length > 0) await step('reap', cloned.reap)
    return { process: cloned.process, exitCode: waits ? exitCode(results.u32(1)) : undefined }
  })
}

/**
 * The cgroups of `exec --cgroup`: `[CONTROLLER:]PATH`, a path below the container's cgroup, for all hierarchies or those of one
 * controller. Checked as text (S14): cgroupfs has no symlinks, so a path without `..` stays below.
 */
export const subCgroups = (paths: readonly string[], wishes: readonly string[], facts: HostFacts): readonly string[] =>
  wishes.reduce<readonly string[]>((current, wish) => {
    const colon = wish.indexOf(':')
    const controller = colon < 0 ? undefined : wish.slice(0, colon)
    const parts = wish
      .slice(colon + 1)
      .split('/')
      .filter((part) => part !== '' && part !== '.')
    if (parts.includes('..')) throw new BerthError('invalid', `--cgroup ${JSON.stringify(wish)}: ".." is not allowed`)
    const mountPoint = controller === undefined ? undefined : mountPointOf(facts, controller)
    if (controller !== undefined && mountPoint === undefined)
      throw new BerthError(
        'invalid',
        `--cgroup ${JSON.stringify(wish)}: no hierarchy has the controller "${controller}"`,
      )
    const concerned = (path: string) => mountPoint === undefined || path.startsWith(`${mountPoint}/`)
    return current.map((path) => (concerned(path) ? [path, ...parts].join('/') : path))
  }, paths)

const mountPointOf = ({ cgroup }: HostFacts, controller: string): string | undefined =>
  cgroup.v1.find((hierarchy) => hierarchy.controllers.includes(controller) || hierarchy.name === controller)?.mountPoint
