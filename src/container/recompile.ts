/** The plans of a container that exists, from the configuration it was created with. */

import type { Results, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import type { Compiled } from '../plan/create.ts'
import { factsPlan, type HostFacts, readFacts } from '../plan/facts.ts'
import { loadSpec } from '../spec/load.ts'
import type { Spec } from '../spec/types.ts'
import { compile } from './compile.ts'
import { readOp } from './inspect.ts'
import { type ContainerPaths, MAX_CONFIG } from './layout.ts'
import type { ContainerState } from './state.ts'

export interface Recompiled {
  readonly spec: Spec
  readonly facts: HostFacts
  readonly compiled: Compiled
}

export const recompile = async (step: RunStep, paths: ContainerPaths, state: ContainerState): Promise<Recompiled> => {
  const results: Results = await step('plans', [...factsPlan, readOp(paths.config, MAX_CONFIG)])
  const config = results.bytes(factsPlan.length)
  if (config === undefined) throw new BerthError('not-found', `container "${state.id}" has lost its config.json`)
  const { spec } = loadSpec(config, paths.config)
  const facts = readFacts(results)
  const { id, bundle, options, confinement } = state
  const compiled = compile({ id, bundle, spec, facts, stateDir: paths.dir, flags: options, confinement })
  return { spec, facts, compiled }
}
