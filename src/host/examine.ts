/** Findings → what this host can enforce, what is missing, who needs it, and how to get it. Pure. */

import { errnoName } from '../controller/errno.ts'
import { capabilityBit } from '../spec/capabilities.ts'
import type { Findings, ProbeName } from './findings.ts'
import { CALLS, FLOOR, PARTS } from './kernel.ts'

export interface Check {
  readonly area: string
  readonly name: string
  readonly ok: boolean
  /** Without it not even the configuration that `berth spec` writes can be created. */
  readonly required: boolean
  /** What was found. */
  readonly found: string
  /** Properties of config.json, as messages name them, or features of berth. */
  readonly needs: readonly string[]
  /** How to get it. */
  readonly fix: string
}

type Draft = Omit<Check, 'area' | 'required' | 'found' | 'needs' | 'fix'> & Partial<Check>

const SECCOMP_HINT = 'a kernel that has it; or a seccomp filter around berth that lets it through'

const newer = (release: string, than: string): boolean => {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10))
  const [floor = 0, floorMinor = 0] = than.split('.').map(Number)
  return major > floor || (major === floor && minor >= floorMinor)
}

/** A probe that gives nothing but yes or no. */
const tried = (
  { probes }: Findings,
  probe: ProbeName,
  name: string,
  needs: readonly string[],
  more: Partial<Check> = {},
): Draft => {
  const { errno } = probes[probe]
  return { name, ok: errno === 0, found: errno === 0 ? '' : errnoName(errno), needs, fix: SECCOMP_HINT, ...more }
}

const kernel = (findings: Findings): Draft[] => {
  const required = { required: true }
  const mounts = ['root', 'mounts']
  const since = (call: string) => ({
    fix: `Linux ${CALLS[call]?.since}; or a seccomp filter around berth that lets ${call} through`,
  })
  return [
    {
      name: 'version',
      ok: newer(findings.facts.kernel, FLOOR),
      found: findings.facts.kernel,
      needs: ['everything'],
      fix: `Linux ${FLOOR} or newer: older ones are not tested`,
    },
    tried(findings, 'openat2', 'openat2', ['every path'], { ...required, ...since('openat2') }),
    tried(findings, 'mountTree', 'open_tree', mounts, { ...required, ...since('open_tree') }),
    tried(findings, 'mountNew', 'fsopen, fsmount, move_mount', mounts, { ...required, ...since('fsopen') }),
    tried(findings, 'mountAttributes', 'mount_setattr', mounts, { ...required, ...since('mount_setattr') }),
    tried(findings, 'closeRange', 'close_range', ['every container'], { ...required, ...since('close_range') }),
    tried(findings, 'execveat', 'execveat', ['every container'], { ...required, ...since('execveat') }),
    tried(findings, 'pidfdOpen', 'pidfd_open', ['kill', 'exec', 'delete'], { ...required, ...since('pidfd_open') }),
    tried(findings, 'pidfdSignal', 'pidfd_send_signal', ['kill', 'delete'], {
      ...required,
      ...since('pidfd_send_signal'),
    }),
    tried(findings, 'clone3', 'clone3', ['nothing: clone does too'], since('clone3')),
    tried(findings, 'cloneIntoCgroup', 'CLONE_INTO_CGROUP', ['create: faster with cgroup v2'], { fix: 'Linux 5.7' }),
    tried(findings, 'memfd', 'memfd_create', ['hooks'], since('memfd_create')),
    tried(findings, 'pidfdExit', 'PIDFD_INFO_EXIT', ['exit status of what another process reaped'], {
      fix: 'Linux 6.15',
    }),
    tried(findings, 'mountIdmap', 'idmapped mounts', ['mounts[].uidMappings', 'mounts[].gidMappings'], {
      fix: 'Linux 5.12, and CAP_SYS_ADMIN',
    }),
    tried(findings, 'memoryPolicy', 'NUMA memory policy', ['linux.memoryPolicy'], { fix: 'a kernel with CONFIG_NUMA' }),
    resctrl(findings),
  ]
}

const resctrl = ({ files }: Findings): Draft => ({
  name: 'resctrl',
  ok: /\bresctrl$/m.test(files.fileSystems ?? ''),
  needs: ['linux.intelRdt'],
  fix: 'a processor with RDT, a kernel with CONFIG_X86_CPU_RESCTRL, and /sys/fs/resctrl mounted',
})

const NAMESPACES = ['pid', 'network', 'mount', 'ipc', 'uts', 'cgroup', 'user', 'time'] as const

const namespaces = (findings: Findings): Draft[] => [
  ...NAMESPACES.map((type) =>
    tried(findings, type, type, ['linux.namespaces'], {
      required: type !== 'user' && type !== 'time',
      fix:
        type === 'user' ? userFix(findings) : `a kernel with ${type} namespaces, and CAP_SYS_ADMIN or user namespaces`,
    }),
  ),
  ...subordinate(findings),
]

/** Why an unprivileged user gets none. */
const userFix = ({ files, uid }: Findings): string => {
  if (files.maxUserNamespaces?.trim() === '0') return 'sysctl user.max_user_namespaces above 0'
  if (uid !== 0 && files.unprivilegedUserns?.trim() === '0') return 'sysctl kernel.unprivileged_userns_clone=1'
  if (uid !== 0 && files.apparmorUserns?.trim() === '1')
    return 'an AppArmor profile with `userns` for berth, or sysctl kernel.apparmor_restrict_unprivileged_userns=0'
  return 'a kernel with CONFIG_USER_NS; or a seccomp filter around berth that lets unshare(CLONE_NEWUSER) through'
}

/** Ids of an ordinary user's own. */
const subordinate = ({ uid, files, programs }: Findings): Draft[] => {
  if (uid === 0) return []
  const user = (files.passwd ?? '')
    .split('\n')
    .find((line) => line.split(':')[2] === String(uid))
    ?.split(':')[0]
  const has = (text: string | undefined) =>
    (text ?? '').split('\n').some((line) => [user, String(uid)].includes(line.split(':')[0]))
  const needs = ['linux.uidMappings of more than one id']
  return [
    {
      name: 'subordinate ids',
      ok: has(files.subuid) && has(files.subgid),
      needs,
      fix: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${user ?? uid}`,
    },
    {
      name: 'newuidmap, newgidmap',
      ok: programs.newuidmap !== undefined && programs.newgidmap !== undefined,
      needs,
      fix: 'the package uidmap (or shadow-utils)',
    },
  ]
}

/** Controllers, with what of linux.resources each is for. On cgroup v2 some have no controller, or another name. */
const CONTROLLERS: readonly (readonly [v1: string, v2: string | undefined, properties: readonly string[]])[] = [
  ['memory', 'memory', ['memory']],
  ['cpu', 'cpu', ['cpu']],
  ['cpuset', 'cpuset', ['cpu.cpus', 'cpu.mems']],
  ['pids', 'pids', ['pids']],
  ['blkio', 'io', ['blockIO']],
  ['hugetlb', 'hugetlb', ['hugepageLimits']],
  ['rdma', 'rdma', ['rdma']],
  ['net_cls', undefined, ['network.classID']],
  ['net_prio', undefined, ['network.priorities']],
]

const cgroups = (findings: Findings): Draft[] => {
  const { mode, v1, v2, v2Controllers } = findings.facts.cgroup
  const unified = mode === 'unified'
  const there = new Set(unified ? v2Controllers : v1.flatMap(({ controllers }) => controllers))
  const hierarchies = v1.length > 0 || v2 !== undefined
  const checks: Draft[] = [
    {
      name: 'hierarchy',
      ok: hierarchies,
      required: true,
      found: hierarchies
        ? { legacy: 'version 1', hybrid: 'hybrid: version 1, and 2 without controllers', unified: 'version 2' }[mode]
        : '',
      needs: ['linux.cgroupsPath'],
      fix: 'mount -t cgroup2 cgroup2 /sys/fs/cgroup',
    },
    unified
      ? tried(findings, 'deviceFilter', 'devices (BPF)', ['linux.resources.devices'], {
          required: true,
          fix: 'a kernel with CONFIG_CGROUP_BPF, and CAP_BPF or CAP_SYS_ADMIN',
        })
      : controller('devices', there, ['devices'], mode, true),
    ...(v2 === undefined
      ? []
      : [
          {
            name: 'cgroup.kill',
            ok: newer(findings.facts.kernel, PARTS['cgroup.kill']?.since ?? FLOOR),
            needs: ['nothing: processes are killed one by one'],
            fix: `Linux ${PARTS['cgroup.kill']?.since}`,
          },
        ]),
    // cgroup v2 freezes without a controller
    ...(unified ? [] : [controller('freezer', there, [], mode, false, ['pause', 'resume'])]),
  ]
  for (const [old, name, properties] of CONTROLLERS) {
    const controllerName = unified ? name : old
    if (controllerName !== undefined) checks.push(controller(controllerName, there, properties, mode))
  }
  return checks
}

const controller = (
  name: string,
  there: ReadonlySet<string>,
  properties: readonly string[],
  mode: string,
  required = false,
  verbs: readonly string[] = [],
): Draft => ({
  name: `controller ${name}`,
  ok: there.has(name),
  required,
  needs: [...properties.map((property) => `linux.resources.${property}`), ...verbs],
  fix:
    mode === 'unified'
      ? `a kernel with it, and +${name} in cgroup.subtree_control of the cgroups above`
      : `a kernel with it, and its hierarchy mounted: mount -t cgroup -o ${name} ${name} /sys/fs/cgroup/${name}`,
})

/** What a supervisor enforces: canSupervise. */
const SUPERVISED = 'policies: module, and network where there is no BPF'

const security = (findings: Findings): Draft[] => {
  const { facts, probes, uid } = findings
  const holds = (name: string) => ((facts.permitted >> BigInt(capabilityBit(name) ?? 0)) & 1n) === 1n
  return [
    tried(findings, 'seccomp', 'seccomp filters', ['linux.seccomp'], { fix: 'a kernel with CONFIG_SECCOMP_FILTER' }),
    tried(findings, 'seccompNotify', 'seccomp notification', ['linux.seccomp.listenerPath', 'policies: module'], {
      fix: 'Linux 5.0',
    }),
    tried(
      findings,
      'seccompWaitKillable',
      'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV',
      ['linux.seccomp.flags', SUPERVISED],
      {
        fix: 'Linux 5.19',
      },
    ),
    tried(findings, 'landlock', 'Landlock', ['policies: files, tcp, scopes'], {
      ...(probes.landlock.errno === 0 ? { found: `ABI ${probes.landlock.value}` } : {}),
      fix: 'Linux 5.13 with CONFIG_SECURITY_LANDLOCK, and landlock in the boot option lsm=',
    }),
    tried(
      findings,
      'networkFilter',
      'network rules (BPF)',
      ['policies: http, hosts by name (a supervisor keeps other network rules)'],
      {
        fix: 'a kernel with CONFIG_CGROUP_BPF, a cgroup2 mount, and CAP_BPF and CAP_NET_ADMIN',
      },
    ),
    {
      name: 'AppArmor',
      ok: facts.apparmor,
      needs: ['process.apparmorProfile'],
      fix: 'a kernel with it, and apparmor in the boot option lsm=',
    },
    {
      name: 'SELinux',
      ok: facts.selinux,
      needs: ['process.selinuxLabel', 'linux.mountLabel'],
      fix: 'a kernel with it, and /sys/fs/selinux mounted',
    },
    ...(uid === 0
      ? [
          {
            name: 'CAP_SYS_RESOURCE',
            ok: holds('CAP_SYS_RESOURCE'),
            needs: ['process.rlimits above the hard limits', 'process.oomScoreAdj below the own'],
            fix: 'start berth with it',
          },
        ]
      : []),
  ]
}

const host = (findings: Findings): Draft[] => {
  const { probes, programs, lists, runDir, controllers, own, uid } = findings
  const listening = controllers.filter(({ listens }) => listens)
  const { stat } = runDir
  return [
    {
      name: 'systemd',
      ok: probes.systemd.errno === 0 || probes.systemdBus.errno === 0,
      found: probes.systemd.errno === 0 ? 'directly' : probes.systemdBus.errno === 0 ? 'over D-Bus' : '',
      needs: ['--systemd-cgroup', 'linux.cgroupsPath as slice:prefix:name'],
      fix: 'a host that runs systemd, and its socket where berth runs',
    },
    {
      name: 'huge pages',
      ok: lists.hugePages.length > 0,
      found: lists.hugePages.map((name) => name.replace('hugepages-', '')).join(' '),
      needs: ['linux.resources.hugepageLimits'],
      fix: 'a kernel with CONFIG_HUGETLBFS',
    },
    {
      name: 'criu',
      ok: programs.criu !== undefined,
      found: programs.criu ?? '',
      needs: ['checkpoint', 'restore'],
      fix: 'the package criu',
    },
    {
      name: 'run directory',
      ok: stat === undefined || (stat.uid === uid && (stat.mode & 0o022) === 0),
      required: true,
      found:
        stat === undefined
          ? `${runDir.path}, not made yet`
          : `${runDir.path}, owner ${stat.uid}, mode 0${stat.mode.toString(8)}`,
      needs: ['everything'],
      fix: `chown ${uid} ${runDir.path}; chmod 0700 ${runDir.path}`,
    },
    {
      name: 'controller',
      ok: listening.length > 0,
      found: [
        `build ${own.build}, Node ${own.node}`,
        ...listening.map(({ socket }) => `${socket} (log: ${socket.replace(/\.sock$/, '.log')})`),
      ].join('; '),
      needs: ['nothing: it is started on demand'],
      fix: 'any command but those with --no-controller',
    },
  ]
}

const AREAS: Readonly<Record<string, (findings: Findings) => readonly Draft[]>> = {
  kernel,
  namespaces,
  cgroups,
  security,
  host,
}

export const examine = (findings: Findings): Check[] =>
  Object.entries(AREAS).flatMap(([area, look]) =>
    look(findings).map((draft) => ({ area, required: false, found: '', needs: [], fix: '', ...draft })),
  )

/** Whether everything is there that berth needs at least. */
export const sound = (checks: readonly Check[]): boolean => checks.every(({ ok, required }) => ok || !required)
