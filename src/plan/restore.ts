/** config.json + images of CRIU → the plans of a container that goes on where it was dumped. */

import { posix } from 'node:path'
import type { CgroupDir } from '../cgroup/path.ts'
import { hostMounts, isBind, isGiven, JOINABLE, sourceOf } from '../criu/external.ts'
import type { Image } from '../criu/image.ts'
import { both, type RestoreOptions, sharedArguments } from '../criu/options.ts'
import { CRIU_ENV } from '../criu/program.ts'
import { BerthError } from '../errors.ts'
import { httpPolicies } from '../policy/http-policy.ts'
import { judgesOf } from '../policy/judges.ts'
import { leastLimits } from '../policy/limits.ts'
import type { Confinement } from '../policy/types.ts'
import type { Spec } from '../spec/types.ts'
import { planCgroups } from './cgroups.ts'
import type { Compiled, CreateInput } from './create.ts'
import { type HostFacts, isRootless } from './facts.ts'
import { planHooks } from './hooks.ts'
import { planLandlock } from './landlock.ts'
import { poststopPlan } from './lifecycle.ts'
import { hasLookups } from './lookups.ts'
import { PROPAGATION } from './mount-options.ts'
import { cleanDestination } from './mounts.ts'
import { CLONE_FLAGS, Namespaces } from './namespaces.ts'
import { enforcedNetwork } from './network.ts'
import { DIR_FLAGS, KILL_FLAGS, OP_FLAGS, type Op, type Plan, READ_FLAGS, RUN_FLAGS } from './ops.ts'
import { limitsOutput } from './output-limit.ts'

export const RESTORE_LOG = 'restore.log'

export interface RestoreSource {
  /** CRIU's path. */
  readonly criu: string
  readonly image: Image
  /** Absolute; made where it is missing. */
  readonly work: string
  readonly options: RestoreOptions
}

export const logOf = ({ work }: RestoreSource): string => posix.join(work, RESTORE_LOG)

export interface RestoreInput extends CreateInput {
  readonly restore: RestoreSource
}

const MS_BIND = 0x1000n
const MS_REC = 0x4000n
const MNT_DETACH = 2
const SIGCONT = 18
/** Only whether there are domains is asked. */
const ANY_SLOT = 0

/** What CRIU can't give back to a process, or we can't give to CRIU: such a container would come back as another, or weaker, one. */
export const checkRestorable = (spec: Spec, confinement: Confinement | undefined): void => {
  const refuse = (pointer: string, why: string) => new BerthError('unsupported', `checkpoint: ${why}`, { pointer })
  if (planLandlock(confinement, ANY_SLOT, true).enter.length > 0)
    throw refuse('/annotations', 'the container has a policy that Landlock enforces, which no restore could bring back')
  if (httpPolicies(confinement?.policies).length > 0)
    throw refuse('/annotations', 'the container has HTTP rules, and their proxy could not be restored')
  if (judgesOf(confinement).length > 0)
    throw refuse('/annotations', 'calls of the container are judged by a supervisor, which could not be restored')
  if (hasLookups(confinement))
    throw refuse(
      '/annotations',
      'the container has hosts by name in its /etc/hosts, or a worker that looks them up again',
    )
  if (confinement !== undefined && enforcedNetwork(confinement).length > 0)
    throw refuse('/annotations', 'the container has network rules, which CRIU itself could not work under')
  if (leastLimits(confinement?.policies ?? []).maxDuration !== undefined)
    throw refuse('/annotations', 'the container may run for a while only, which no restore could count on')
  if (limitsOutput(confinement))
    throw refuse('/annotations', 'the container may write so much only, which no restore could count on')
  if (spec.process?.terminal)
    throw refuse('/process/terminal', "the container has a terminal, and its other end is not the container's")
  if (!new Namespaces(spec).isNew('mount'))
    throw refuse('/linux/namespaces', 'the container has no mount namespace of its own')
  for (const property of ['intelRdt', 'netDevices'] as const)
    if (spec.linux?.[property] !== undefined)
      throw refuse(`/linux/${property}`, `linux.${property} can not be restored`)
}

/** CRIU wants a root that is a mount point of its own. */
const rootOf = ({ stateDir }: CreateInput): string => `${stateDir}/root`

const openRoot = (target: string, rootfs: string): Op[] => [
  { op: 'mkdir', path: target, mode: 0o700, flags: DIR_FLAGS.existOk, pointer: '/root/path' },
  {
    op: 'mount',
    source: rootfs,
    target,
    type: '',
    flags: MS_BIND | MS_REC | PROPAGATION.private,
    data: '',
    root: '',
    loop: 0,
    pointer: '/root/path',
  },
]

const closeRoot = (target: string, opFlags = 0): Op[] => [
  { op: 'umount', path: target, flags: MNT_DETACH, opFlags, pointer: '/root/path' },
  { op: 'rmdir', path: target, flags: DIR_FLAGS.missingOk, opFlags, pointer: '/root/path' },
]

/** CRIU makes none of what it mounts on, and a root may be fresh from its image. On other mounts they come with what these hold. */
const mountPoints = ({ spec, bundle }: CreateInput, root: string): Op[] => {
  const mounts = (spec.mounts ?? []).map((mount, index) => ({
    ...mount,
    at: cleanDestination(mount.destination),
    index,
  }))
  return mounts
    .filter(({ at }) => !mounts.some((other) => at.startsWith(`${other.at}/`)))
    .map((mount): Op => {
      const source = isBind(mount) ? posix.resolve(bundle, mount.source ?? '') : ''
      return { op: 'mount-point', root, target: mount.at, source, pointer: `/mounts/${mount.index}` }
    })
}

/** Descriptors that CRIU is given, by the names that the image has for them. */
interface Given {
  readonly name: string
  readonly slot: number
}

const givenStdio = ({ restore, stdio }: RestoreInput): Given[] =>
  restore.image.descriptors.slice(0, stdio.length).flatMap((name, index) => {
    const slot = stdio[index]
    return slot !== undefined && isGiven(name) ? [{ name, slot }] : []
  })

/** What was joined when the container was dumped has to be joined again, and nothing else can be. */
const joinedNamespaces = (input: RestoreInput): { readonly open: Plan; readonly given: readonly Given[] } => {
  const namespaces = new Namespaces(input.spec)
  const open: Op[] = []
  const given: Given[] = []
  for (const { type, path, pointer } of namespaces.targets) {
    const joinable = JOINABLE[type]
    if (joinable === undefined) continue
    const slot = namespaces.slot(type)
    open.push({ op: 'open-namespace', path, nstype: CLONE_FLAGS[type], slot, pointer })
    given.push({ name: joinable.key, slot })
  }
  const { outside } = input.restore.image
  for (const type of Object.keys(JOINABLE) as (keyof typeof JOINABLE)[])
    if (outside !== undefined && outside.namespaces.includes(type) !== namespaces.isJoined(type))
      throw new BerthError(
        'invalid',
        `linux.namespaces: the container had ${namespaces.isJoined(type) ? 'no' : 'a'} ${type} namespace by path when it was dumped, so it must have ${namespaces.isJoined(type) ? 'none' : 'one'} now`,
        { pointer: '/linux/namespaces' },
      )
  return { open, given }
}

const mountArguments = (input: RestoreInput, cgroups: readonly CgroupDir[]): string[] => {
  const { spec, bundle, facts, restore } = input
  const hosts = hostMounts(spec, bundle, cgroups, facts.cgroup.mode === 'unified')
  const points = restore.image.outside?.mounts ?? hosts.map(({ at }) => at)
  return points.flatMap((point) => {
    const source = sourceOf(point, hosts)
    if (source === undefined)
      throw new BerthError(
        'invalid',
        `mounts: the container had something of the host's mounted on "${point}" when it was dumped, and this configuration has nothing for it`,
        { pointer: '/mounts' },
      )
    return ['--external', `mnt[${point}]:${source}`]
  })
}

/** Where the container's cgroups are now, each hierarchy by one of its names: v2 has none. */
const cgroupRoots = (cgroups: readonly CgroupDir[], { cgroup }: HostFacts): string[] =>
  cgroups.flatMap(({ hierarchy, dir }) => {
    const name = hierarchy === cgroup.v2 ? '' : (hierarchy.controllers[0] ?? `name=${hierarchy.name}`)
    return ['--cgroup-root', `${name}:${dir.slice(hierarchy.mountPoint.length)}`]
  })

/** Compiles a container that is restored. Its processes bring along what is in force for them; its cgroups and their limits are the configuration's. */
export const compileRestore = (input: RestoreInput): Compiled => {
  const { spec, id, bundle, key, facts, restore, stateDir } = input
  checkRestorable(spec, input.confinement)
  if (isRootless(facts)) throw new BerthError('unsupported', "restore: takes the host's root")
  if (input.systemdCgroup)
    throw new BerthError('unsupported', 'restore: a unit of systemd takes in one process, and a checkpoint has more', {
      pointer: '/linux/cgroupsPath',
    })
  if (!spec.root) throw new BerthError('invalid', 'root: is missing', { pointer: '/root' })
  const rootfs = posix.resolve(bundle, spec.root.path)
  const root = rootOf(input)
  const cgroups = planCgroups({ id, spec, facts, systemd: false })
  const joined = joinedNamespaces(input)
  const given = [...givenStdio(input), ...joined.given].filter(
    ({ name }, index, all) => all.findIndex((other) => other.name === name) === index,
  )
  const hooks = [...planHooks(spec, 'prestart', id, bundle), ...planHooks(spec, 'createRuntime', id, bundle)]
  const pidFile = `${stateDir}/restored`
  const args = [
    restore.criu,
    'restore',
    ...['--images-dir', restore.image.dir],
    ...['--work-dir', restore.work],
    ...['--log-file', RESTORE_LOG, '-v4'],
    ...['--root', root],
    ...['--restore-detached', '--pidfile', pidFile],
    // Hooks find the container's namespaces, and none of its processes at work.
    ...(hooks.length > 0 ? ['--leave-stopped'] : []),
    ...sharedArguments(both(restore.image.outside?.options ?? {}, restore.options)),
    ...cgroupRoots(cgroups.dirs, facts),
    ...(restore.options.lsmProfile === undefined ? [] : ['--lsm-profile', restore.options.lsmProfile]),
    ...(restore.options.lsmMountContext === undefined ? [] : ['--lsm-mount-context', restore.options.lsmMountContext]),
    ...mountArguments(input, cgroups.dirs),
    ...given.flatMap(({ name }, index) => ['--inherit-fd', `fd[${3 + index}]:${name}`]),
  ]
  const born = [...cgroups.born, ...cgroups.entered]
  const [first] = born
  const create: Op[] = [
    ...cgroups.make,
    ...cgroups.limit,
    ...openRoot(root, rootfs),
    ...mountPoints(input, root),
    ...joined.open,
    { op: 'mkdir', path: restore.work, mode: 0o700, flags: DIR_FLAGS.parents | DIR_FLAGS.existOk },
    { op: 'unlink', path: pidFile, flags: READ_FLAGS.missingOk },
    {
      op: 'run',
      path: restore.criu,
      args,
      env: CRIU_ENV,
      cwd: restore.work,
      // In the container's cgroups, so that what it has made is found and ended with these whatever becomes of it.
      cgroups: born,
      slots: given.map(({ slot }) => slot),
      timeoutMs: 0,
      // It mounts cgroups for itself, which would stay where it is killed.
      flags: RUN_FLAGS.ownMounts,
    },
    { op: 'adopt', key, pidFile },
    ...closeRoot(root),
    ...joined.given.map(({ slot }): Op => ({ op: 'close', slot })),
    ...hooks,
    ...(hooks.length > 0 && first !== undefined
      ? [{ op: 'kill-cgroup', path: first, signal: SIGCONT, flags: KILL_FLAGS.missingOk } as const]
      : []),
  ]
  return {
    check: cgroups.check,
    create,
    start: [],
    undo: [...cgroups.remove, ...closeRoot(root, OP_FLAGS.keepGoing)],
    poststop: poststopPlan(spec, id, bundle),
    cgroupPaths: cgroups.dirs.map(({ dir }) => dir),
    cgroups: cgroups.dirs,
    rootfs,
    warnings: cgroups.warnings,
    gaps: [],
  }
}
