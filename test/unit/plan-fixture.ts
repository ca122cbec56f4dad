import type { CgroupLayout } from '../../src/cgroup/layout.ts'
import { parseLayout } from '../../src/cgroup/layout.ts'
import type { CreateInput } from '../../src/plan/create.ts'
import type { HostFacts } from '../../src/plan/facts.ts'
import type { Op, Plan } from '../../src/plan/ops.ts'
import { defaultSpec } from '../../src/spec/default.ts'
import type { Spec } from '../../src/spec/types.ts'

const v1Mount = (id: number, name: string, options = name) =>
  `${id} 31 0:${id} / /sys/fs/cgroup/${name} rw,relatime - cgroup cgroup rw,${options}`

const TMPFS = '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755'
export const MOUNTINFO = {
  hybrid: [
    TMPFS,
    v1Mount(32, 'cpu,cpuacct'),
    v1Mount(34, 'cpuset'),
    v1Mount(35, 'memory'),
    v1Mount(36, 'devices'),
    v1Mount(37, 'freezer'),
    v1Mount(39, 'pids'),
    v1Mount(40, 'systemd', 'xattr,name=systemd'),
    '41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw',
  ].join('\n'),
  legacy: [TMPFS, v1Mount(35, 'memory'), v1Mount(36, 'devices'), v1Mount(39, 'pids')].join('\n'),
  unified: '31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate',
}

export const OWN = '9:name=systemd:/init.scope\n4:memory:/user\n2:cpu,cpuacct:/a:b\n0::/init.scope\n'
const V2 = 'cpuset cpu io memory hugetlb pids rdma\n'

export const layout = (mode: keyof typeof MOUNTINFO): CgroupLayout =>
  parseLayout(MOUNTINFO[mode], OWN, mode === 'unified' ? V2 : '')

export const ALL = (1n << 41n) - 1n

export const facts = (change: Partial<HostFacts> = {}): HostFacts => ({
  cgroup: layout('hybrid'),
  kernel: '6.18.0',
  lastCap: 40,
  permitted: ALL,
  boundingSet: ALL,
  apparmor: false,
  selinux: false,
  inUserNamespace: false,
  delegatedFiles: ['cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads', 'memory.oom.group'],
  resctrl: undefined,
  filtered: false,
  kcore: true,
  systemd: true,
  hostUid: 0,
  caller: { uid: 0, gid: 0, setgroupsDenied: false },
  ...change,
})

/** What `spec` writes, without a terminal. */
export const plainSpec = (change: Partial<Spec> = {}): Spec => {
  const spec = defaultSpec()
  return { ...spec, process: { ...spec.process, user: { uid: 0, gid: 0 }, cwd: '/', terminal: false }, ...change }
}

export const input = (spec: Spec, change: Partial<CreateInput> = {}): CreateInput => ({
  id: 'c1',
  bundle: '/bundle',
  spec,
  facts: facts(),
  stateDir: '/run/berth-c1',
  key: 'init',
  stdio: [0, 1, 2],
  preserveFds: 0,
  noPivot: false,
  noNewKeyring: false,
  systemdCgroup: false,
  afterTerminal: [],
  arch: 'x86_64',
  ...change,
})

/** The plan of the cloned process. */
export const inside = (plan: Plan): Plan => {
  const clone = plan.find((op) => op.op === 'clone')
  if (clone?.op !== 'clone') throw new Error('no clone in the plan')
  return clone.plan
}

export const names = (plan: Plan): string[] => plan.map(({ op }) => op)

export const all = <N extends Op['op']>(plan: Plan, name: N): Extract<Op, { op: N }>[] =>
  plan.filter((op): op is Extract<Op, { op: N }> => op.op === name)

export const one = <N extends Op['op']>(plan: Plan, name: N): Extract<Op, { op: N }> => {
  const found = all(plan, name)
  if (found.length !== 1 || !found[0]) throw new Error(`${found.length} operations ${name}`)
  return found[0]
}

/** Cgroup files that a plan writes, as `file=value`. */
export const writes = (plan: Plan): string[] =>
  all(plan, 'write').map(({ path, data }) => `${path.slice(path.lastIndexOf('/') + 1)}=${data.join('')}`)
