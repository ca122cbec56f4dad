/** Which policies hold for a container: the node's own, the profile's that it names, and what its annotations say. */

import { posix } from 'node:path'
import { parseMountinfo } from '../cgroup/mountinfo.ts'
import { errnoName } from '../controller/errno.ts'
import type { Results, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { type Op, type Plan, PROBES, READ_FLAGS } from '../plan/ops.ts'
import { point } from '../spec/finding.ts'
import { readWish } from './annotations.ts'
import { checkNarrower } from './ceiling.ts'
import { loadNode, loadPolicy } from './document.ts'
import { checkHttpPolicies } from './http-policy.ts'
import { checkEnforceable } from './protections.ts'
import { type GivenPolicy, MAX_POLICY, type NodeFile, PREFIX } from './source.ts'
import type { Confinement, NodeConfig, Policy } from './types.ts'

/** Result: what `askLandlock` reads. */
export const LANDLOCK: Op = { op: 'probe', what: PROBES.landlock, argument: 0n, path: '' }
/** The kernel's ABI of Landlock, 0 where it has none. */
export const askLandlock = (results: Results, at: number): number =>
  results.u32(at) === 0 ? Number(results.u64(at, 4)) : 0

/** Results: what `askNetwork` reads. */
export const NETWORK: Plan = [
  { op: 'probe', what: PROBES.networkFilter, argument: 0n, path: '' },
  { op: 'read', path: '/proc/self/mountinfo', max: 64 << 20, flags: 0 },
]
/** Why network rules can't be enforced; '' where they can. */
export const askNetwork = (results: Results, at: number): string => {
  if (!parseMountinfo(results.text(at + 1) ?? '').some(({ type }) => type === 'cgroup2'))
    return 'needs a cgroup hierarchy of version 2, and none is mounted'
  const errno = results.u32(at)
  return errno === 0 ? '' : `needs BPF programs of cgroups, which the host refuses (${errnoName(errno)})`
}

const PROFILES = 'policies'

/** Requests leave by the node's network, whatever that of the container reaches: what comes with a container can't ask for that by itself. */
const checkGranted = (http: Policy['http'], path: string, pointer: string): void => {
  if (http !== undefined) return
  throw new BerthError(
    'invalid',
    `annotations: http: requests leave by the node's network, so that its administrator has to allow some: in "${path}" or in a policy that io.berth.policy names; an annotation can only narrow it`,
    { pointer },
  )
}

/** Throws BerthError for a policy that can't be read, that would widen another, or that the host can't enforce. */
export const resolvePolicies = async (
  step: RunStep,
  annotations: Readonly<Record<string, string>>,
  source: NodeFile,
  given?: GivenPolicy,
): Promise<Confinement | undefined> => {
  const node: NodeConfig = source.bytes === undefined ? {} : loadNode(source.bytes, source.path)
  const { profile: name, policies: written } = readWish(annotations)
  const own =
    given === undefined ? [] : [{ policy: loadPolicy(given.bytes, given.path), pointer: '', from: given.path }]
  const wishes = [...written.map((wish) => ({ ...wish, from: 'annotations' })), ...own]
  if (name === undefined && wishes.length === 0 && node.policy === undefined) return undefined
  const directory = node.policies ?? posix.join(posix.dirname(source.path), PROFILES)
  const file = posix.join(directory, `${name}.json`)
  const results = await step('policy', [
    LANDLOCK,
    ...NETWORK,
    ...(name === undefined ? [] : [{ op: 'read', path: file, max: MAX_POLICY, flags: READ_FLAGS.missingOk } as const]),
  ])
  const landlock = askLandlock(results, 0)
  const profile = name === undefined ? undefined : readProfile(name, file, results.bytes(1 + NETWORK.length))
  for (const { policy, pointer } of wishes) {
    if (pointer !== '' && policy.http !== undefined)
      checkGranted(node.policy?.http ?? profile?.http, source.path, pointer)
    if (node.policy) checkNarrower(node.policy, policy, source.path, pointer)
    if (profile) checkNarrower(profile, policy, `the policy "${name}"`, pointer)
  }
  const policies = [
    ...named(node.policy, source.path),
    ...named(profile, `policy "${name}"`),
    ...wishes.flatMap(({ policy, from }) => named(policy, from)),
  ]
  const network = policies.some((policy) => policy.network ?? policy.http) ? { network: askNetwork(results, 1) } : {}
  const confinement = { policies, landlock, ...network }
  checkHttpPolicies(policies)
  checkEnforceable(confinement)
  return confinement
}

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
