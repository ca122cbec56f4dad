/** `berth plan`: what `create` would do, without doing it. */

import { describePolicy, explainPlan, planJson } from '../plan/explain.ts'
import type { Confinement } from '../policy/types.ts'
import { checkId } from '../spec/id.ts'
import { compileExample, EXAMPLE_ID, readExample } from './example.ts'
import type { Verb } from './verb.ts'

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
    const { request, args } = context
    const bundle = args[0] === undefined ? (context.path('bundle') ?? request.cwd) : context.resolve(args[0])
    const id = checkId(context.text('id') ?? EXAMPLE_ID)
    const example = await readExample(context, bundle)
    const { spec, warnings, confinement } = example
    const compiled = compileExample(context, example, id)
    context.notes.push(...warnings, ...compiled.warnings)
    context.warnings.push(...compiled.gaps)
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
