/** What compiling needs to know of the host. It is gathered by operations, in the agent, never by TypeScript itself. */

import { type CgroupLayout, parseLayout } from '../cgroup/layout.ts'
import { parseMountinfo } from '../cgroup/mountinfo.ts'
import type { Results } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { type Plan, READ_FLAGS } from './ops.ts'

export interface HostFacts {
  readonly cgroup: CgroupLayout
  /** Release of the kernel, such as 6.18.44. */
  readonly kernel: string
  /** Number of the last capability that the kernel knows. */
  readonly lastCap: number
  /** Capabilities of the agent. */
  readonly permitted: bigint
  readonly boundingSet: bigint
  readonly apparmor: boolean
  readonly selinux: boolean
  /** The agent is in a user namespace that is not the host's. */
  readonly inUserNamespace: boolean
  /** Files of a cgroup that go to whom it is delegated to (/sys/kernel/cgroup/delegate). */
  readonly delegatedFiles: readonly string[]
  /** Where a resctrl file system is mounted. */
  readonly resctrl: string | undefined
  /** A filter of system calls may keep from the agent what its kernel has. */
  readonly filtered: boolean
  /** /proc/kcore is there. */
  readonly kcore: boolean
  /** systemd is the host's init (sd_booted(3)). */
  readonly systemd: boolean
  /** Who the agent is to the namespace around its own. */
  readonly hostUid: number
  readonly caller: Caller
}

/** Whether the kernel is of this version or newer. */
export const kernelAtLeast = ({ kernel }: HostFacts, major: number, minor: number): boolean => {
  const [, x = '0', y = '0'] = /^(\d+)\.(\d+)/.exec(kernel) ?? []
  return Number(x) > major || (Number(x) === major && Number(y) >= minor)
}

/** Who the agent is. */
export interface Caller {
  readonly uid: number
  readonly gid: number
  /** Where groups can't be set (user_namespaces(7)). */
  readonly setgroupsDenied: boolean
}

/** Without the say of the host's root: an ordinary user, or root of a user namespace. */
export const isRootless = ({ caller, inUserNamespace }: Pick<HostFacts, 'caller' | 'inUserNamespace'>): boolean =>
  caller.uid !== 0 || inUserNamespace

const MAX = 1 << 20
const FILES = [
  { name: 'mountinfo', path: '/proc/self/mountinfo', max: 64 * MAX, flags: 0 },
  { name: 'cgroup', path: '/proc/self/cgroup', max: MAX, flags: READ_FLAGS.missingOk },
  { name: 'kernel', path: '/proc/sys/kernel/osrelease', max: MAX, flags: 0 },
  { name: 'lastCap', path: '/proc/sys/kernel/cap_last_cap', max: MAX, flags: 0 },
  { name: 'status', path: '/proc/self/status', max: MAX, flags: 0 },
  { name: 'controllers', path: '/sys/fs/cgroup/cgroup.controllers', max: MAX, flags: READ_FLAGS.missingOk },
  { name: 'setgroups', path: '/proc/self/setgroups', max: MAX, flags: READ_FLAGS.missingOk },
  { name: 'apparmor', path: '/sys/module/apparmor/parameters/enabled', max: MAX, flags: READ_FLAGS.missingOk },
  { name: 'uidMap', path: '/proc/self/uid_map', max: MAX, flags: READ_FLAGS.missingOk },
  { name: 'delegate', path: '/sys/kernel/cgroup/delegate', max: MAX, flags: READ_FLAGS.missingOk },
] as const
const KCORE = FILES.length
const SYSTEMD = KCORE + 1

/** Reads what `readFacts` needs; put it at the start of a plan, or run it alone. */
export const factsPlan: Plan = [
  ...FILES.map(({ path, max, flags }) => ({ op: 'read', path, max, flags }) as const),
  { op: 'stat', path: '/proc/kcore', flags: READ_FLAGS.missingOk },
  { op: 'stat', path: '/run/systemd/system', flags: READ_FLAGS.missingOk },
]

/** Of a mountinfo what counts here: the rest grows with each container, and none of it is worth parsing again for that. */
const hostMounts = (mountinfo: string): string =>
  (mountinfo.match(/^.* - (?:cgroup2?|resctrl|selinuxfs) .*$/gm) ?? []).join('\n')

const statusField = (status: string, name: string): bigint => {
  const match = new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)
  if (!match) throw new BerthError('internal', `/proc/self/status has no ${name}`)
  return BigInt(`0x${match[1]}`)
}

/** /proc/self/uid_map: an id inside, the same outside, and how many of them. */
const mapOut = (uid: number, map: string): number => {
  for (const line of map.split('\n')) {
    const [inside = 0, outside = 0, count = 0] = line.trim().split(/\s+/).map(Number)
    if (uid >= inside && uid - inside < count) return outside + uid - inside
  }
  return uid
}

/** Where the kernel does not say (before Linux 4.15). */
const DELEGATED = 'cgroup.procs cgroup.subtree_control cgroup.threads'

/** Effective ids are the second of four. */
export const idField = (status: string, name: string): number => {
  const match = new RegExp(`^${name}:\\s*\\d+\\s+(\\d+)`, 'm').exec(status)
  if (!match) throw new BerthError('internal', `/proc/self/status has no ${name}`)
  return Number(match[1])
}

/** The text of one of these files. */
export const factText = (results: Results, name: (typeof FILES)[number]['name'], at = 0): string =>
  results.text(at + FILES.findIndex((candidate) => candidate.name === name)) ?? ''

/** The facts, from the outcome of a plan that has `factsPlan` at `at`. */
export const readFacts = (results: Results, at = 0): HostFacts => {
  const file = (name: (typeof FILES)[number]['name']) => factText(results, name, at)
  const mountinfo = hostMounts(file('mountinfo'))
  const lastCap = Number.parseInt(file('lastCap'), 10)
  if (!Number.isInteger(lastCap)) throw new BerthError('internal', '/proc/sys/kernel/cap_last_cap is not a number')
  return {
    cgroup: parseLayout(mountinfo, file('cgroup'), file('controllers')),
    kernel: file('kernel').trim(),
    lastCap,
    permitted: statusField(file('status'), 'CapPrm'),
    boundingSet: statusField(file('status'), 'CapBnd'),
    apparmor: file('apparmor').trim() === 'Y',
    selinux: parseMountinfo(mountinfo).some((mount) => mount.type === 'selinuxfs'),
    inUserNamespace: file('uidMap') !== '' && !/^\s*0\s+0\s+4294967295\s*$/.test(file('uidMap')),
    delegatedFiles: (file('delegate') || DELEGATED).split(/\s+/).filter((name) => name !== ''),
    resctrl: parseMountinfo(mountinfo).find((mount) => mount.type === 'resctrl')?.mountPoint,
    filtered: !/^Seccomp:\s*0$/m.test(file('status')),
    kcore: results.bytes(at + KCORE) !== undefined,
    systemd: results.bytes(at + SYSTEMD) !== undefined,
    hostUid: mapOut(idField(file('status'), 'Uid'), file('uidMap')),
    caller: {
      uid: idField(file('status'), 'Uid'),
      gid: idField(file('status'), 'Gid'),
      setgroupsDenied: file('setgroups').trim() === 'deny',
    },
  }
}
