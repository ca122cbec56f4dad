/** From a command to what makes a container of it, with the host's tree for its root. */

import { parseMountinfo } from '../cgroup/mountinfo.ts'
import type { CommandRequest, Results, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { commandSpec } from '../layer/command.ts'
import { makeLayer, type Overlay, overlayOf, overlayOptions, removeLayer, rootOf } from '../layer/layer.ts'
import { isBelow, isWithin, type Shown, shownMounts, visibleMounts } from '../layer/mounts.ts'
import { factText, type HostFacts, isRootless } from '../plan/facts.ts'
import { environmentOf } from '../plan/http.ts'
import { MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY } from '../plan/mount-options.ts'
import { OP_FLAGS, type Plan, READ_FLAGS } from '../plan/ops.ts'
import type { HostRoot } from '../plan/root.ts'
import type { GivenPolicy } from '../policy/source.ts'
import { allowsNetwork, type Confinement } from '../policy/types.ts'
import { stringifyJson } from '../spec/json.ts'
import type { Spec } from '../spec/types.ts'

const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const S_IFIFO = 0o010000
const S_IFSOCK = 0o140000

export interface CommandWish {
  readonly args: readonly string[]
  /** Only what lies in this directory is copy-on-write, all else read-only. Absolute. */
  readonly workdir: string | undefined
  /** undefined: as the policy that is given has it. */
  readonly network: 'host' | 'none' | undefined
}

/** What `create` needs beside the configuration. */
export interface HostRootPlan {
  readonly spec: Spec
  readonly config: Uint8Array
  readonly hostRoot: HostRoot
  readonly layers: readonly Overlay[]
  readonly make: Plan
  readonly remove: Plan
}

/**
 * A command has no network but by its caller's policy, which says what of it is to be used. The node's is for all commands, and no rule of it, which
 * can only be meant to confine them, may give them one.
 */
const usesHostNetwork = (confinement: Confinement | undefined, given: GivenPolicy | undefined): boolean =>
  given !== undefined &&
  confinement?.policies.some((policy) => policy.from === given.path && allowsNetwork(policy)) === true

export const planHostRoot = async (
  step: RunStep,
  request: CommandRequest,
  wish: CommandWish,
  host: { readonly results: Results; readonly facts: HostFacts; readonly stateDir: string },
  { confinement, given }: { readonly confinement: Confinement | undefined; readonly given: GivenPolicy | undefined },
): Promise<HostRootPlan> => {
  const { facts, results, stateDir } = host
  const rootless = isRootless(facts)
  const status = factText(results, 'status')
  const shown = await chooseMounts(step, factText(results, 'mountinfo'), wish.workdir, rootless, request.runDir)
  const stacked = shown.filter(({ fate }) => fate !== 'bind')
  const overlays = new Map(
    stacked.map(({ mountPoint }, index) => [mountPoint, overlayOf(stateDir, index, mountPoint)] as const),
  )
  const spec = commandSpec(
    {
      ...wish,
      ...request,
      secrets: environmentOf(confinement),
      terminal: request.ttys[0] && request.ttys[1],
      groups: numbersIn(status, 'Groups', 10),
      umask: numbersIn(status, 'Umask', 8)[0] ?? 0o022,
      rootless,
      hostNetwork: wish.network === undefined ? usesHostNetwork(confinement, given) : wish.network === 'host',
    },
    { shown, overlays },
  )
  const top = overlays.get('/')
  const still = shown.find(({ mountPoint }) => mountPoint === '/')?.fate !== 'layer'
  return {
    spec,
    config: new TextEncoder().encode(stringifyJson(spec)),
    hostRoot: {
      path: rootOf(stateDir),
      options: top === undefined ? '' : overlayOptions(top, rootless).join(','),
      attrs: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (still ? MOUNT_ATTR_RDONLY : 0n),
    },
    layers: stacked.flatMap(({ mountPoint, fate }) => (fate === 'layer' ? [overlays.get(mountPoint) as Overlay] : [])),
    make: makeLayer(stateDir, [...overlays.values()], rootless),
    remove: removeLayer(stateDir),
  }
}

const numbersIn = (status: string, name: string, radix: number): number[] =>
  (new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1] ?? '')
    .split(/\s+/)
    .filter((word) => /^\d+$/.test(word))
    .map((word) => Number.parseInt(word, radix))

/** An ordinary user is shown the whole tree as it is, with an overlay on the one directory that is to take changes. */
const chooseMounts = async (
  step: RunStep,
  mountinfo: string,
  workdir: string | undefined,
  rootless: boolean,
  runDir: string,
): Promise<readonly Shown[]> => {
  if (rootless && workdir === undefined)
    throw new BerthError(
      'unsupported',
      'without root there is no copy-on-write layer of the whole root, as the kernel copies no directory of another user there: give --workdir DIR, a directory of yours',
    )
  const mounts = parseMountinfo(mountinfo)
  const visible = visibleMounts(mounts)
  const paths = [...visible.map(({ mountPoint }) => mountPoint), ...(workdir === undefined ? [] : [workdir])]
  const looked = await step(
    'mounts',
    paths.map((path) => ({ op: 'stat', path, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate })),
  )
  const ofKind = (...kinds: readonly number[]) =>
    new Set(paths.filter((_, at) => looked.bytes(at) !== undefined && kinds.includes(looked.u32(at) & S_IFMT)))
  const directories = ofKind(S_IFDIR)
  if (workdir !== undefined && !directories.has(workdir))
    throw new BerthError('invalid', `--workdir: "${workdir}" is no directory that you can reach`, { subject: workdir })
  const writable = workdir ?? '/'
  const all = shownMounts(mounts, { writable, runDir, directories, doors: ofKind(S_IFSOCK, S_IFIFO) })
  if (workdir === undefined) return all
  const holder = all.findLast(({ mountPoint }) => isWithin(workdir, mountPoint))
  if (
    holder === undefined ||
    isWithin(workdir, runDir) ||
    ['/proc', '/sys', '/dev'].some((path) => isWithin(workdir, path))
  )
    throw new BerthError('invalid', `--workdir: "${workdir}" can not have a layer`, { subject: workdir })
  const own: Shown[] = holder.mountPoint === workdir ? [] : [{ ...holder, mountPoint: workdir, fate: 'layer' }]
  if (!rootless)
    return [
      ...all.filter(({ mountPoint }) => !isBelow(mountPoint, workdir)),
      ...own,
      ...all.filter(({ mountPoint }) => isBelow(mountPoint, workdir)),
    ]
  const within = visible.find(({ mountPoint }) => isBelow(mountPoint, workdir))
  if (within)
    throw new BerthError(
      'unsupported',
      `--workdir: "${within.mountPoint}" is mounted in it, which without root no layer can lie on`,
      { subject: workdir },
    )
  return [
    { mountPoint: '/', fate: 'bind', options: [] },
    { ...holder, mountPoint: workdir, fate: 'layer' },
  ]
}
