/** The plans of a container that exists, from the configuration it was created with. */

import type { Results, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import type { Compiled } from '../plan/create.ts'
import { factsPlan, type HostFacts, readFacts } from '../plan/facts.ts'
import type { Plan } from '../plan/ops.ts'
import { loadSpec } from '../spec/load.ts'
import type { Spec } from '../spec/types.ts'
import { compile } from './compile.ts'
import { need, readOp } from './inspect.ts'
import { type ContainerPaths, containerPaths, MAX_CONFIG } from './layout.ts'
import type { ContainerState } from './state.ts'

export interface Recompiled {
  readonly spec: Spec
  readonly facts: HostFacts
  /** Compiled when it is asked for: an exec has no use for it. */
  readonly compiled: Compiled
}

/** A container that there must be, with its plans. */
export const needCompiled = async (step: RunStep, root: string, id: string) => {
  const paths = containerPaths(root, id)
  let read: { readonly results: Results; readonly at: number } | undefined
  const container = await need(step, root, id, {
    also: sourcesPlan(paths),
    alsoRead: (results, at) => {
      read = { results, at }
    },
  })
  return {
    ...container,
    recompiled: (): Recompiled => {
      if (read === undefined) throw new BerthError('internal', `container "${id}" was not read`)
      return compileAgain(read.results, read.at, paths, container.state)
    },
  }
}

export const recompile = async (step: RunStep, paths: ContainerPaths, state: ContainerState): Promise<Recompiled> =>
  compileAgain(await step('plans', sourcesPlan(paths)), 0, paths, state)

const sourcesPlan = ({ config }: ContainerPaths): Plan => [...factsPlan, readOp(config, MAX_CONFIG)]

const compileAgain = (results: Results, at: number, paths: ContainerPaths, state: ContainerState): Recompiled => {
  const config = results.bytes(at + factsPlan.length)
  if (config === undefined) throw new BerthError('not-found', `container "${state.id}" has lost its config.json`)
  const { spec } = loadSpec(config, paths.config)
  const facts = readFacts(results, at)
  const { id, bundle, options, confinement } = state
  return {
    spec,
    facts,
    get compiled() {
      return compile({ id, bundle, spec, facts, stateDir: paths.dir, flags: options, confinement })
    },
  }
}
