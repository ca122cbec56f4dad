/** `berth plan`: what `create` would do, without doing it. */

import { posix } from 'node:path'
import { compile } from '../container/compile.ts'
import { readBundle } from '../container/create.ts'
import { containerPaths } from '../container/layout.ts'
import { afterTerminal } from '../container/terminal.ts'
import { describePolicy, explainPlan, planJson } from '../plan/explain.ts'
import { confinementOf } from '../policy/source.ts'
import type { Confinement } from '../policy/types.ts'
import { checkId } from '../spec/id.ts'
import { loadSpec } from '../spec/load.ts'
import type { Verb } from './verb.ts'

/** What stands for the id that the container would be given. */
const EXAMPLE_ID = 'example'

export const verb: Verb = {
  usage: '[BUNDLE]',
  flags: {
    json: { type: 'boolean', describe: 'for programs' },
    policy: { type: 'boolean', describe: 'only the policy, in words' },
    bundle: { type: 'string', alias: 'b', describe: 'directory of the bundle (default: the working directory)' },
    id: { type: 'string', describe: `the container's id (default: ${EXAMPLE_ID})` },
  },
  args: [0, 1],
  run: async (context) => {
    const { step, globals, request, args } = context
    const bundle = args[0] === undefined ? (context.path('bundle') ?? request.cwd) : context.resolve(args[0])
    const { config, facts, node } = await readBundle(
      step,
      { bundle, nodeConfig: globals.nodeConfig },
      globals.systemdCgroup,
    )
    const { spec, warnings } = loadSpec(config, posix.join(bundle, 'config.json'), { runnable: true })
    const id = checkId(context.text('id') ?? EXAMPLE_ID)
    const confinement = await confinementOf(step, spec, node)
    const compiled = compile({
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
    })
    context.notes.push(...warnings, ...compiled.warnings)
    const { create, start, undo, poststop } = compiled
    const plans = Object.entries({ create, start, undo, poststop })
    if (context.flag('json')) {
      const members = plans.map(([name, plan]) => `  "${name}": ${planJson(plan).replaceAll('\n', '\n  ')}`)
      return { stdout: `{\n${members.join(',\n')}\n}\n` }
    }
    const words = [...describePolicy(spec, compiled), ...(confinement ? await rulesOf(confinement) : [])]
    if (context.flag('policy')) return { stdout: words.map((line) => `${line}\n`).join('') }
    const policy = words.map((line) => `  ${line}\n`)
    const parts = plans.filter(([, plan]) => plan.length > 0).map(([name, plan]) => `${name}:\n${explainPlan(plan)}`)
    return { stdout: [`policy:\n${policy.join('')}`, ...parts].join('\n') }
  },
}

const rulesOf = async (confinement: Confinement): Promise<string[]> => {
  const { listRules, valueText } = await import('../policy/rules.ts')
  return listRules(confinement).map((one) => `${one.rule} ${valueText(one)}: ${one.enforced} (${one.from})`)
}
