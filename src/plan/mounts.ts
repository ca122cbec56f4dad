/** mounts → mount operations. */

import { posix } from 'node:path'
import { isV2 } from '../cgroup/layout.ts'
import type { CgroupDir } from '../cgroup/path.ts'
import { BerthError } from '../errors.ts'
import type { Mount, Spec } from '../spec/types.ts'
import { type HostFacts, isRootless } from './facts.ts'
import { MOUNT_ATTR_RDONLY, MS_I_VERSION, MS_RDONLY, type ParsedOptions, parseMountOptions } from './mount-options.ts'
import { MountSources, where } from './mount-sources.ts'
import type { Namespaces } from './namespaces.ts'
import { MOUNT_FLAGS, NO_SLOT, type Op, type Plan } from './ops.ts'

export interface MountContext {
  readonly bundle: string
  readonly spec: Spec
  /** The container's cgroups. */
  readonly cgroups: readonly CgroupDir[]
  readonly namespaces: Namespaces
  readonly facts: HostFacts
  /** MS_* of the host's mounts as the container sees them. */
  readonly propagation: bigint
}

interface MountOps {
  readonly ops: Plan
  /** tmpfs mounts that become read-only only when all that lies on them has been made. */
  readonly lateReadonly: readonly { readonly path: string; readonly pointer: string }[]
}

export interface MountPlan extends MountOps {
  /** Outside, before the process is cloned, and after it. */
  readonly open: Plan
  readonly close: Plan
  readonly warnings: readonly string[]
}

/** What may be bound over single files of procfs (lxcfs and the like); anything else there could fake what is written to it later. */
const IN_PROC = new Set(
  [
    'cpuinfo',
    'diskstats',
    'meminfo',
    'stat',
    'swaps',
    'uptime',
    'loadavg',
    'slabinfo',
    'net/dev',
    'sys/kernel/ns_last_pid',
    'sys/crypto/fips_enabled',
  ].map((name) => `/proc/${name}`),
)

/** An absolute path inside the container; a relative one is taken as below / (deprecated, but it occurs). */
export const cleanDestination = (destination: string): string => posix.resolve('/', destination)

/** S4: labels and sysctls are written through procfs, so that nothing else may pose as it. */
const procRefusal = (type: string, target: string, source: string): string | undefined => {
  if (target.startsWith('/proc/') && !IN_PROC.has(target)) return 'is inside /proc'
  return target === '/proc' && type !== 'proc' && source !== '/proc' ? 'can only be a procfs' : undefined
}

/** The label is data of the file systems that take it; quoted, as a label may contain a comma. */
const withLabel = (type: string, data: string, { spec, facts }: MountContext): string => {
  const label = spec.linux?.mountLabel
  if (!label || !facts.selinux || ['proc', 'sysfs', 'mqueue', 'cgroup', 'cgroup2'].includes(type)) return data
  const context = `context="${label}"`
  return data === '' ? context : `${data},${context}`
}

/** The cgroups that a mount of them shows: those with controllers or a name. */
export const shownCgroups = (dirs: readonly CgroupDir[]): CgroupDir[] =>
  dirs.filter(({ hierarchy }) => !isV2(hierarchy))

const cgroupMount = (context: MountContext, target: string, options: ParsedOptions, pointer: string): Op => {
  const shown = shownCgroups(context.cgroups)
  return {
    op: 'mount-cgroups',
    target,
    names: shown.map(({ hierarchy }) => hierarchy.label),
    dirs: shown.map(({ dir }) => dir),
    links: shown.flatMap(({ hierarchy: { controllers, label } }) =>
      controllers.filter((name) => name !== label).map((name) => `${name}=${label}`),
    ),
    readonly: options.readonly ? 1 : 0,
    pointer,
  }
}

/**
 * What may not be mountable: file systems that show a namespace or cgroups that do not belong to the container. The host's then shows the
 * same, unless it is a pid or ipc namespace of others, which the host's would show another than.
 */
const mayFallBack = (type: string, namespaces: Namespaces): boolean =>
  (type === 'sysfs' && !namespaces.isNew('network')) ||
  (type === 'proc' && !namespaces.has('pid')) ||
  (type === 'mqueue' && !namespaces.has('ipc')) ||
  type === 'cgroup2'

/** A symlink of the image may lead a destination elsewhere: into /proc only what names it. */
const onProc = (target: string): number =>
  target === '/proc' || target.startsWith('/proc/') ? 0 : MOUNT_FLAGS.notOnProc

const mountFlags = (type: string, target: string, options: ParsedOptions, namespaces: Namespaces): number => {
  let flags = MOUNT_FLAGS.makeTarget | onProc(target)
  if (options.recursive) flags |= MOUNT_FLAGS.recursive
  if (options.copyUp && type === 'tmpfs') flags |= MOUNT_FLAGS.copyUp
  if (type === 'proc' || type === 'sysfs' || target === '/proc' || target === '/sys') flags |= MOUNT_FLAGS.noSymlink
  if (mayFallBack(type, namespaces)) flags |= MOUNT_FLAGS.bindFallback
  return flags
}

/** What the file system is told, and what holds for the mount alone: with `bind` only the latter (mount(8)). */
const remount = (mount: Mount, options: ParsedOptions, bind: boolean, target: string, pointer: string): Op => ({
  op: 'mount-in',
  type: bind ? 'bind' : (mount.type ?? 'none'),
  source: mount.source ?? '',
  target,
  options: bind ? '' : options.data,
  sbFlags: options.sbFlags,
  attrSet: options.attrSet,
  attrClear: options.attrClear,
  recAttrSet: options.recAttrSet,
  recAttrClear: options.recAttrClear,
  propagation: options.propagation,
  flags: MOUNT_FLAGS.remount | onProc(target),
  from: NO_SLOT,
  userns: NO_SLOT,
  pointer,
})

/**
 * S12: a read-only bind of the host's /sys brings /sys/fs/cgroup along, where a user may have been given cgroups: the whole tree is
 * read-only then.
 */
const showsHostCgroups = (
  { facts }: MountContext,
  source: string,
  { bind, recursive, attrSet }: ParsedOptions,
): boolean =>
  isRootless(facts) &&
  bind &&
  recursive &&
  (attrSet & MOUNT_ATTR_RDONLY) !== 0n &&
  '/sys/fs/cgroup/'.startsWith(source === '/' ? source : `${source}/`)

const planMount = (mount: Mount, context: MountContext, sources: MountSources, pointer: string): MountOps => {
  const options = parseMountOptions(mount.options ?? [])
  const bind = mount.type === 'bind' || options.bind
  const target = cleanDestination(mount.destination)
  const error = (kind: 'invalid' | 'unsupported', why: string) =>
    new BerthError(kind, `${where(pointer)}: destination "${target}" ${why}`, { pointer })
  if (target === '/') throw error('invalid', 'is the root itself')
  const unified = context.facts.cgroup.mode === 'unified'
  if (options.remount) return { ops: [remount(mount, options, bind, target, pointer)], lateReadonly: [] }
  const type = bind ? 'bind' : mount.type === 'cgroup' && unified ? 'cgroup2' : (mount.type ?? 'none')
  if (type === 'none') throw error('invalid', 'has neither a type nor an option bind or rbind')
  if (bind && !mount.source) throw error('invalid', 'is a bind mount without a source')
  const source = bind ? posix.resolve(context.bundle, mount.source ?? '') : (mount.source ?? type)
  const refused = procRefusal(type, target, source)
  if (refused) throw error('invalid', refused)
  const userns = sources.userns(mount, options, pointer)
  if (type === 'cgroup' && userns !== NO_SLOT) throw error('unsupported', 'is of cgroup v1, which can not map ids')
  if (type === 'cgroup') return { ops: [cgroupMount(context, target, options, pointer)], lateReadonly: [] }

  // What lies on a tmpfs (mount points, devices) can't be made once it is read-only.
  const late = type === 'tmpfs' && options.readonly
  const op: Op = {
    op: 'mount-in',
    type,
    source,
    target,
    options: bind ? '' : withLabel(type, options.data, context),
    sbFlags: bind ? 0n : late ? options.sbFlags & ~MS_RDONLY : options.sbFlags,
    attrSet: late ? options.attrSet & ~MOUNT_ATTR_RDONLY : options.attrSet,
    // A new mount has nothing that could be taken away.
    attrClear: bind ? options.attrClear : 0n,
    recAttrSet: options.recAttrSet | (showsHostCgroups(context, source, options) ? MOUNT_ATTR_RDONLY : 0n),
    recAttrClear: options.recAttrClear,
    propagation: options.propagation,
    flags: mountFlags(type, target, options, context.namespaces),
    from: bind ? sources.bind(source, options, userns, pointer) : NO_SLOT,
    userns: bind ? NO_SLOT : userns,
    pointer,
  }
  return { ops: [op], lateReadonly: late ? [{ path: target, pointer }] : [] }
}

/** fsconfig(2) has no such flag: the file systems that count versions of inodes (NFS asks for them) do so unasked. */
const NO_VERSIONS = 'option iversion left out: the file system decides that itself'
const wantsVersions = (op: Op): boolean => op.op === 'mount-in' && (op.sbFlags & MS_I_VERSION) !== 0n

/** The mounts in the order of the configuration. */
export const planMounts = (context: MountContext): MountPlan => {
  const { spec, facts, namespaces, propagation } = context
  const { uidMappings, gidMappings, mountLabel } = spec.linux ?? {}
  const sources = new MountSources({ facts, namespaces, propagation, uidMappings, gidMappings })
  const plans = (spec.mounts ?? []).map((mount, index) => planMount(mount, context, sources, `/mounts/${index}`))
  return {
    ops: plans.flatMap(({ ops }) => ops),
    lateReadonly: plans.flatMap(({ lateReadonly }) => lateReadonly),
    open: sources.open,
    close: sources.close,
    warnings: [
      // Nothing could tell a labelled mount from another there.
      ...(mountLabel && !facts.selinux ? ['linux.mountLabel: left out, as SELinux is not enabled on this host'] : []),
      ...plans.flatMap(({ ops }, index) => (ops.some(wantsVersions) ? [`mounts[${index}]: ${NO_VERSIONS}`] : [])),
    ],
  }
}
