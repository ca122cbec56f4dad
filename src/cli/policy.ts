/** `berth policy check`: what a policy comes to on this host. */

import { readOp } from '../container/inspect.ts'
import { BerthError } from '../errors.ts'
import { hostArch } from '../host/arch.ts'
import { READ_FLAGS } from '../plan/ops.ts'
import { planSyscallPolicy } from '../plan/syscall-policy.ts'
import { askHost, HOST } from '../policy/asked.ts'
import { bundleReader, credentialGaps, hostReader } from '../policy/credentials.ts'
import { loadPolicy } from '../policy/document.ts'
import { checkHttpPolicies } from '../policy/http-policy.ts'
import { lookUpHosts } from '../policy/lookup.ts'
import { unenforceable } from '../policy/protections.ts'
import { resolvePolicies, unknownAddresses } from '../policy/resolve.ts'
import { listGaps, listRules, valueText } from '../policy/rules.ts'
import { MAX_POLICY } from '../policy/source.ts'
import type { Confinement } from '../policy/types.ts'
import { NODE_PROPERTIES } from '../policy/validate.gen.js'
import { parseJson } from '../spec/json.ts'
import { compileExample, EXAMPLE_ID, readExample } from './example.ts'
import { table } from './table.ts'
import type { Context, Verb } from './verb.ts'

const S_IFMT = 0o170000
const S_IFDIR = 0o040000

const NOTHING: Confinement = { policies: [], landlock: 0 }

export const verb: Verb = {
  usage: 'check FILE|BUNDLE',
  flags: { json: { type: 'boolean', describe: 'for programs' } },
  args: [2, 2],
  run: async (context) => {
    const { step, first, args } = context
    if (first !== 'check')
      throw new BerthError('usage', `policy: unknown command ${JSON.stringify(first)}: expected check`)
    const path = context.resolve(args[1] ?? '')
    const found = await step('look', [{ op: 'stat', path, flags: READ_FLAGS.missingOk }])
    if (found.bytes(0) === undefined) throw new BerthError('not-found', `"${path}" does not exist`, { subject: path })
    const isBundle = (found.u32(0) & S_IFMT) === S_IFDIR
    const { confinement, refused, gaps } = isBundle ? await ofBundle(context, path) : await ofFile(context, path)
    const { landlock } = confinement
    const [rules, missing] = [listRules(confinement), listGaps(confinement)]
    const problems = [...unenforceable(confinement), ...refused]
    const stdout = context.flag('json')
      ? `${JSON.stringify({ landlock, rules, missing, problems, gaps }, null, 2)}\n`
      : renderRules(rules, [...missing, ...problems, ...gaps])
    return { stdout, exitCode: problems.length === 0 ? 0 : 1 }
  },
}

interface Outcome {
  readonly confinement: Confinement
  /** Why `create` would refuse it. */
  readonly refused: readonly string[]
  /** What gets round it, or is less safe than it may seem. */
  readonly gaps: readonly string[]
}

/** What `create` would make of it: with the node's own file and its profiles. */
const ofBundle = async (context: Context, bundle: string): Promise<Outcome> => {
  const example = await readExample(context, bundle)
  const { confinement, spec } = example
  if (confinement === undefined) return { confinement: NOTHING, refused: [], gaps: [] }
  let gaps: readonly string[] = []
  const refused = refusals(() => {
    gaps = compileExample(context, example, EXAMPLE_ID).gaps
  })
  return { confinement, refused, gaps: [...credentialGaps(confinement, bundleReader(spec, bundle)), ...gaps] }
}

const refusals = (work: () => void): readonly string[] => {
  try {
    work()
    return []
  } catch (error) {
    if (!(error instanceof BerthError)) throw error
    return [error.message]
  }
}

/** Of a policy by itself what no container could be started under is known. */
const ofFile = async (context: Context, path: string): Promise<Outcome> => {
  const confinement = await policiesOf(context, path)
  const laxest = { noNewPrivileges: true, later: false }
  return {
    confinement,
    refused: refusals(() => planSyscallPolicy(confinement, hostArch(), laxest)),
    gaps: credentialGaps(confinement, hostReader("a command on the host's root")),
  }
}

const policiesOf = async ({ step }: Context, path: string): Promise<Confinement> => {
  const results = await step('policy', [...HOST, readOp(path, MAX_POLICY)])
  const bytes = results.bytes(HOST.length) ?? new Uint8Array()
  if (isNodeFile(bytes, path)) return (await resolvePolicies(step, {}, { path, bytes })) ?? NOTHING
  const policy = loadPolicy(bytes, path)
  checkHttpPolicies([{ ...policy, from: path }])
  const policies = [{ ...policy, from: path }]
  const host = askHost(results, 0)
  const confinement = { policies, ...host, ...unknownAddresses(policies) }
  if (unenforceable(confinement).length > 0) return confinement
  const addresses = await lookUpHosts(step, policies, host.landlock)
  return addresses === undefined ? confinement : { ...confinement, addresses }
}

/** The node's own file has its policy as a property. */
const isNodeFile = (bytes: Uint8Array, path: string): boolean =>
  Object.keys(parseJson(bytes, { file: path }) ?? {}).some((key) => NODE_PROPERTIES['']?.includes(key))

export const renderRules = (rules: ReturnType<typeof listRules>, gaps: readonly string[]): string => {
  if (rules.length === 0) return 'no policy beyond the configuration\n'
  const rows = rules.map((one) => [one.rule, valueText(one), one.enforced, one.from])
  return table([['RULE', 'VALUE', 'ENFORCED BY', 'FROM'], ...rows]) + gaps.map((gap) => `${gap}\n`).join('')
}
