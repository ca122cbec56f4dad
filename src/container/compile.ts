/** Compiles a container of the command line, at its creation and again whenever one of its plans is needed. */

import type { Results } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { hostArch } from '../host/arch.ts'
import { type Compiled, compileCreate } from '../plan/create.ts'
import type { HostFacts } from '../plan/facts.ts'
import type { Plan } from '../plan/ops.ts'
import { compileRestore, type RestoreSource } from '../plan/restore.ts'
import type { HostRoot } from '../plan/root.ts'
import { limitSpec } from '../policy/limits.ts'
import type { Confinement } from '../policy/types.ts'
import type { Spec } from '../spec/types.ts'
import { INIT_KEY } from './layout.ts'
import type { CreateFlags, ProcessId } from './state.ts'

/** The slots that hold the command's own stdio in the process behind `remote`. */
export const STDIO = [0, 1, 2] as const

export interface CompileInput {
  readonly id: string
  readonly bundle: string
  readonly spec: Spec
  readonly facts: HostFacts
  /** The container's state directory. */
  readonly stateDir: string
  readonly flags: CreateFlags
  readonly afterTerminal?: Plan
  readonly confinement?: Confinement | undefined
  /** Its processes come from a checkpoint. */
  readonly restore?: RestoreSource | undefined
  readonly hostRoot?: HostRoot | undefined
  /** The environment that credentials of HTTP rules may come from. */
  readonly secrets?: Readonly<Record<string, string>>
}

export const compile = ({ afterTerminal = [], ...input }: CompileInput): Compiled => {
  const { id, bundle, facts, stateDir, flags, confinement, restore, hostRoot, secrets = {} } = input
  const common = {
    id,
    bundle,
    spec: limitSpec(input.spec, confinement),
    confinement,
    hostRoot,
    secrets,
    facts,
    stateDir,
    key: INIT_KEY,
    stdio: STDIO,
    preserveFds: flags.preserveFds,
    noPivot: flags.noPivot,
    noNewKeyring: flags.noNewKeyring,
    systemdCgroup: flags.systemdCgroup,
    afterTerminal,
    arch: hostArch(),
  }
  return restore === undefined ? compileCreate(common) : compileRestore({ ...common, restore })
}

/** The process that a plan clones or adopts under a key: which operation's result tells its pid. */
export const cloneIndex = (plan: Plan, key: string): number => {
  const index = plan.findIndex((op) => (op.op === 'clone' || op.op === 'adopt') && op.key === key)
  if (index < 0) throw new BerthError('internal', `the plan makes no process "${key}"`)
  return index
}

/** A clone's result, and the process between that has to be reaped by the launcher, its parent (`clone` in src/plan/ops.ts). */
export const clonedProcess = (
  results: Results,
  index: number,
): { readonly process: ProcessId; readonly reap: Plan } => {
  const between = results.u32(index, 12)
  return {
    process: { pid: results.u32(index), startTime: results.u64(index, 4) },
    reap: between === 0 ? [] : [{ op: 'await', pid: between, forward: 0 }],
  }
}
