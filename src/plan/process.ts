/** What the process of a container is: limits, labels, identity, and at last the program. The same for an init and an exec. */

import { BerthError } from '../errors.ts'
import type { Confinement } from '../policy/types.ts'
import type { Process, Seccomp, Spec } from '../spec/types.ts'
import { capabilitySets, mayMount } from './capabilities.ts'
import { type HostFacts, kernelAtLeast } from './facts.ts'
import { planLandlock } from './landlock.ts'
import type { Namespaces } from './namespaces.ts'
import { planFamilies } from './network.ts'
import { CHDIR_FLAGS, type Op } from './ops.ts'
import { DEFAULT_PATH } from './path.ts'
import { planRlimits } from './rlimits.ts'
import { deniesSetgroups } from './rootless.ts'
import { planMemoryPolicy, planPersonality, planScheduling } from './scheduling.ts'
import { checkSurvivable, compileSeccomp } from './seccomp.ts'
import { planJudged } from './supervisor.ts'
import { planSyscallPolicy } from './syscall-policy.ts'
import { planTcp } from './tcp.ts'

export type Arch = 'x86_64' | 'aarch64'

/** What podman asks crun with for the caller's supplementary groups (`--group-add keep-groups`). */
export const KEEP_GROUPS = 'run.oci.keep_original_groups'
/** One for each policy and one more, in a process that has all its other descriptors in their places by then. */
const LANDLOCK_SLOTS = 50
const DEFAULT_UMASK = 0o022

export interface ProcessContext {
  readonly process: Process
  /** The container's. */
  readonly spec: Spec
  readonly namespaces: Namespaces
  readonly facts: HostFacts
  readonly arch: Arch
  readonly preserveFds: number
  readonly confinement?: Confinement | undefined
}

/** Written through a procfs that shows the process; an exec does it before it joins a user namespace (trap 2). */
export const planOomScore = (process: Process): Op[] =>
  process.oomScoreAdj === undefined
    ? []
    : [{ op: 'oom-score', value: BigInt(process.oomScoreAdj), pointer: '/process/oomScoreAdj' }]

/** The same by who makes the process. */
export const planOwnOomScore = (process: Process): Op[] =>
  planOomScore(process).flatMap((op) => (op.op === 'oom-score' ? [{ ...op, op: 'own-oom-score' }] : []))

/** Labels for the next execve. One that the host can't enforce is an error: nothing is silently weaker. */
const planLabels = (process: Process, facts: HostFacts): Op[] => {
  const ops: Op[] = []
  const need = (there: boolean, what: string, property: string) => {
    if (!there)
      throw new BerthError('unsupported', `process.${property}: ${what} is not enabled on this host`, {
        pointer: `/process/${property}`,
      })
  }
  if (process.apparmorProfile) {
    need(facts.apparmor, 'AppArmor', 'apparmorProfile')
    const value = `exec ${process.apparmorProfile}`
    ops.push({ op: 'lsm-exec', attr: 'apparmor/exec', value, pointer: '/process/apparmorProfile' })
  }
  if (process.selinuxLabel) {
    need(facts.selinux, 'SELinux', 'selinuxLabel')
    ops.push({ op: 'lsm-exec', attr: 'exec', value: process.selinuxLabel, pointer: '/process/selinuxLabel' })
  }
  return ops
}

/** The filter, refused where the init would not survive it (trap 21). */
const planSeccomp = (seccomp: Seccomp | undefined, arch: Arch, noNewPrivileges: boolean, facts: HostFacts) => {
  if (!seccomp) return { ops: [], notifies: false, warnings: [] }
  const pointer = '/linux/seccomp'
  const { program, flags, notifies, warnings } = compileSeccomp(seccomp, { arch })
  const killable = seccomp.flags?.indexOf('SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV') ?? -1
  if (notifies && killable >= 0 && !kernelAtLeast(facts, 5, 19))
    throw new BerthError(
      'unsupported',
      `linux.seccomp.flags: WAIT_KILLABLE_RECV needs Linux 5.19, this is ${facts.kernel}`,
      {
        pointer: `${pointer}/flags/${killable}`,
      },
    )
  const { blocked } = checkSurvivable(program, arch, { noNewPrivileges })
  if (blocked.length > 0)
    throw new BerthError(
      'invalid',
      `linux.seccomp: refuses ${blocked.join(', ')}, which a container needs to be started`,
      {
        pointer,
      },
    )
  return { ops: [{ op: 'seccomp', program, flags, pointer } as const], notifies, warnings }
}

export interface Identity {
  readonly ops: readonly Op[]
  /** Its filter has a listener, to be handed over (listener.ts). */
  readonly notifies: boolean
  readonly warnings: readonly string[]
}

/**
 * From the limits to the program found, in an order that the kernel dictates:
 * - limits and labels while nothing is given up yet;
 * - the bounding set before the user, who may lack CAP_SETPCAP;
 * - the working directory before the user too: it may be one that only root can enter, and its check comes with it;
 * - the program as the user, who must be allowed to execute it; after `close-fds` nothing needs a descriptor;
 * - rules of a policy while every path can be reached, its domain when nothing but the program is to be looked at: it has a say in
 *   whether that may be executed, and forbids mounts (trap 20);
 * - the filter as the very last; without no_new_privs it takes CAP_SYS_ADMIN, so then before the capabilities (the change of user
 *   keeps them permitted), and nothing else comes behind it: old profiles know few of the system calls of today.
 */
export const planIdentity = (context: ProcessContext): Identity => {
  const { process, spec, namespaces, facts } = context
  const { user } = process
  const name = process.args?.[0]
  const { warnings, ...sets } = capabilitySets(process.capabilities, facts, namespaces.has('user'))
  const noNewPrivileges = process.noNewPrivileges === true
  const filter = planSeccomp(spec.linux?.seccomp, context.arch, noNewPrivileges, facts)
  const keepsGroups = spec.annotations?.[KEEP_GROUPS] === '1'
  if (keepsGroups && user.additionalGids?.length)
    throw new BerthError(
      'invalid',
      `process.user.additionalGids: the annotation ${KEEP_GROUPS} keeps the caller's groups, so that there can be no others`,
      { pointer: '/process/user/additionalGids' },
    )
  const setgroups = !keepsGroups && !deniesSetgroups(spec, namespaces, facts)
  if (!setgroups && user.additionalGids?.length)
    throw new BerthError(
      'unsupported',
      'process.user.additionalGids: groups can not be set in a user namespace whose gid map holds the own group only: map a range of /etc/subgid, or leave them out',
      {
        pointer: '/process/user/additionalGids',
      },
    )
  const domains = planLandlock(context.confinement, LANDLOCK_SLOTS, mayMount(sets))
  const judged = planJudged(context)
  const families = [
    ...planFamilies(context.confinement, context.arch),
    ...planTcp(context.confinement, context.arch),
    ...planSyscallPolicy(context.confinement, context.arch, {
      noNewPrivileges,
      later: filter.ops.length + judged.length > 0,
    }),
    ...judged,
  ]
  const program: readonly Op[] = [
    ...domains.enter,
    ...(name === undefined
      ? []
      : [{ op: 'find-exec', name, path: pathOf(process), pointer: '/process/args' } as const]),
    { op: 'close-fds', preserve: context.preserveFds, pointer: '/process' },
  ]
  const ops: Op[] = [
    ...planScheduling(process),
    ...planMemoryPolicy(spec, facts),
    ...planPersonality(spec),
    ...planLabels(process, facts),
    { op: 'umask', mask: user.umask ?? DEFAULT_UMASK, pointer: '/process/user/umask' },
    { op: 'chown-stdio', uid: user.uid, pointer: '/process/user' },
    { op: 'chdir', path: process.cwd, flags: 0, pointer: '/process/cwd' },
    ...planRlimits(process.rlimits),
    ...domains.make,
    { op: 'caps-bounding', bounding: sets.bounding, pointer: '/process/capabilities' },
    {
      op: 'user',
      uid: user.uid,
      gid: user.gid,
      groups: user.additionalGids ?? [],
      setgroups: setgroups ? 1 : 0,
      home: lacksHome(process) ? 1 : 0,
      pointer: '/process/user',
    },
    ...(noNewPrivileges
      ? ([
          { op: 'caps', ...sets, pointer: '/process/capabilities' },
          { op: 'no-new-privs', pointer: '/process/noNewPrivileges' },
          ...program,
          ...families,
          ...filter.ops,
        ] as const)
      : ([...program, ...families, ...filter.ops, { op: 'caps', ...sets, pointer: '/process/capabilities' }] as const)),
  ]
  return { ops, notifies: filter.notifies, warnings: [...warnings, ...filter.warnings] }
}

export const variable = (process: Process, name: string): string | undefined =>
  process.env?.findLast((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1)

const pathOf = (process: Process): string => variable(process, 'PATH') ?? DEFAULT_PATH

/** Shells expect a HOME: one that is missing or empty is the user's, as the container knows its users. */
const lacksHome = (process: Process): boolean => !variable(process, 'HOME')

/** The program itself. */
export const planExec = (process: Process): Op => {
  const { args = [], env = [] } = process
  const given = lacksHome(process) ? env.filter((entry) => !entry.startsWith('HOME=')) : env
  return { op: 'exec', argv: args, env: given, pointer: '/process/args' }
}

/** Makes the working directory where the image lacks it; once the root is read-only it would be too late. */
export const makeWorkingDirectory = (process: Process): Op[] =>
  process.cwd === '/' ? [] : [{ op: 'chdir', path: process.cwd, flags: CHDIR_FLAGS.make, pointer: '/process/cwd' }]
