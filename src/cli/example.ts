/** A bundle as `create` would take it, for verbs that tell of it and make nothing. */

import { posix } from 'node:path'
import { compile } from '../container/compile.ts'
import { readBundle, secretsOf } from '../container/create.ts'
import { containerPaths } from '../container/layout.ts'
import { afterTerminal } from '../container/terminal.ts'
import type { Compiled } from '../plan/create.ts'
import type { HostFacts } from '../plan/facts.ts'
import { confinementOf } from '../policy/source.ts'
import type { Confinement } from '../policy/types.ts'
import { loadSpec } from '../spec/load.ts'
import type { Spec } from '../spec/types.ts'
import type { Context } from './verb.ts'

/** What stands for the id that the container would be given. */
export const EXAMPLE_ID = 'example'

export interface Example {
  readonly bundle: string
  readonly spec: Spec
  readonly warnings: readonly string[]
  readonly facts: HostFacts
  readonly confinement: Confinement | undefined
}

export const readExample = async ({ step, globals }: Context, bundle: string): Promise<Example> => {
  const { config, facts, node } = await readBundle(
    step,
    { bundle, nodeConfig: globals.nodeConfig },
    globals.systemdCgroup,
  )
  const { spec, warnings } = loadSpec(config, posix.join(bundle, 'config.json'), { runnable: true })
  return { bundle, spec, warnings, facts, confinement: await confinementOf(step, spec, node) }
}

/** Throws BerthError where `create` would refuse it. */
export const compileExample = (
  { globals, request }: Context,
  { bundle, spec, facts, confinement }: Example,
  id: string,
): Compiled =>
  compile({
    id,
    bundle,
    spec,
    facts,
    stateDir: containerPaths(globals.root, id).dir,
    flags: { noPivot: false, noNewKeyring: false, systemdCgroup: globals.systemdCgroup, preserveFds: 0 },
    // The terminal would be served by the command itself, as with `run`.
    afterTerminal: afterTerminal({
      terminal: spec.process?.terminal ?? false,
      detach: false,
      consoleSocket: undefined,
    }),
    confinement,
    secrets: secretsOf(confinement, request),
  })
