/** Which policies hold for a container: the node's own, the profile's that it names, and what its annotations say. */

import { posix } from 'node:path'
import type { Results, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { type Plan, READ_FLAGS } from '../plan/ops.ts'
import { point } from '../spec/finding.ts'
import { readWish } from './annotations.ts'
import { askHost, HOST, knownHost } from './asked.ts'
import { checkGranted, checkNarrower } from './ceiling.ts'
import { loadNode, loadPolicy } from './document.ts'
import { checkHttpPolicies } from './http-policy.ts'
import { lookUpHosts } from './lookup.ts'
import { hostsOf } from './network.ts'
import { checkEnforceable } from './protections.ts'
import { type Circumstances, type GivenPolicy, MAX_POLICY, type NodeFile, PREFIX } from './source.ts'
import type { Confinement, NodeConfig, Policy } from './types.ts'

const PROFILES = 'policies'

/** Requests leave by the node's network, whatever that of the container reaches: what comes with a container can't ask for that by itself. */
const notGranted = (path: string, pointer: string): BerthError =>
  new BerthError(
    'invalid',
    `annotations: http: requests leave by the node's network, so that its administrator has to allow some: in "${path}" or in a policy that io.berth.policy names; an annotation can only narrow it`,
    { pointer },
  )

/** A module is run, and told what the container does: that is the administrator's to decide, not everyone's who may run one. */
const callersOwn = ({ bytes, path }: GivenPolicy): Policy => {
  const policy = loadPolicy(bytes, path)
  if (policy.module === undefined) return policy
  throw new BerthError('invalid', `${path}: module is the node's to say: in its own file or a policy beside it`, {
    pointer: '/module',
  })
}

/** Throws BerthError for a policy that can't be read, that would widen another, or that the host can't enforce. */
export const resolvePolicies = async (
  step: RunStep,
  annotations: Readonly<Record<string, string>>,
  source: NodeFile,
  { given, facts }: Circumstances = {},
): Promise<Confinement | undefined> => {
  const node: NodeConfig = source.bytes === undefined ? {} : loadNode(source.bytes, source.path)
  const { profile: name, policies: written } = readWish(annotations)
  const own = given === undefined ? [] : [{ policy: callersOwn(given), pointer: '', from: given.path }]
  const wishes = [...written.map((wish) => ({ ...wish, from: 'annotations' })), ...own]
  if (name === undefined && wishes.length === 0 && node.policy === undefined) return undefined
  const directory = node.policies ?? posix.join(posix.dirname(source.path), PROFILES)
  const file = posix.join(directory, `${name}.json`)
  const known = facts && knownHost(facts)
  const plan: Plan = [
    ...(name === undefined ? [] : [{ op: 'read', path: file, max: MAX_POLICY, flags: READ_FLAGS.missingOk } as const]),
    ...(known ? [] : HOST),
  ]
  const results = plan.length === 0 ? undefined : await step('policy', plan)
  const profile = name === undefined ? undefined : readProfile(name, file, results?.bytes(0))
  const host = known ?? askHost(results as Results, plan.length - HOST.length, facts)
  const ceilings = [...named(node.policy, source.path), ...named(profile, `policy "${name}"`)]
  const narrows = ceilings.some(({ http }) => http !== undefined)
  for (const { policy, pointer } of wishes) {
    if (narrows) checkGranted(ceilings, policy, pointer)
    else if (pointer !== '' && policy.http !== undefined) throw notGranted(source.path, pointer)
    if (node.policy) checkNarrower(node.policy, policy, source.path, pointer)
    if (profile) checkNarrower(profile, policy, `the policy "${name}"`, pointer)
  }
  const policies = [
    ...ceilings,
    ...wishes.flatMap(({ policy, from }) => named(narrows ? { ...policy, narrows } : policy, from)),
  ]
  const { landlock, network: lacking, supervises } = host
  const network = policies.some((policy) => policy.network ?? policy.http ?? policy.module)
    ? { network: lacking, supervises }
    : {}
  const confinement = { policies, landlock, ...network }
  checkHttpPolicies(policies)
  checkEnforceable({ ...confinement, ...unknownAddresses(policies) })
  const addresses = await lookUpHosts(step, policies, landlock)
  return addresses === undefined ? confinement : { ...confinement, addresses }
}

/** Of hosts that are yet to be looked up: what stands in for programs knows no names, whatever these stand for. */
export const unknownAddresses = (policies: readonly Policy[]): Pick<Confinement, 'addresses'> =>
  policies.some(({ network }) => network && hostsOf(network).length > 0) ? { addresses: {} } : {}

const named = (policy: Policy | undefined, from: string): Policy[] =>
  policy === undefined || Object.keys(policy).length === 0 ? [] : [{ ...policy, from }]

const readProfile = (name: string, file: string, bytes: Uint8Array | undefined): Policy => {
  if (bytes !== undefined) return loadPolicy(bytes, file)
  throw new BerthError(
    'not-found',
    `annotations: ${PREFIX}policy: there is no policy "${name}" on this node (${file})`,
    {
      pointer: point('/annotations', `${PREFIX}policy`),
    },
  )
}
