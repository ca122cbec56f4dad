/** A host that is made up: what operations give there. Files that are written can be read. */
import { encodeOutcome } from '../../src/plan/encode.ts'
import type { Op, Plan, Template } from '../../src/plan/ops.ts'

const v1 = (id: number, names: string) =>
  `${id} 31 0:${id} / /sys/fs/cgroup/${names} rw,relatime - cgroup cgroup rw,${names}`
const KINDS = {
  hybrid: {
    mountinfo: [
      '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755',
      ...['cpu', 'cpuacct', 'cpuset', 'memory', 'devices', 'freezer', 'blkio', 'pids', 'hugetlb'].map((name, at) =>
        v1(32 + at, name),
      ),
      '41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw',
    ],
    cgroup: ['4:memory:/', '3:pids:/', '2:cpu:/', '0::/'],
  },
  unified: {
    mountinfo: ['31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate'],
    cgroup: ['0::/'],
  },
} as const
export const HOSTS = Object.keys(KINDS) as (keyof typeof KINDS)[]

const PROCESS_STAT = /^\/proc\/(self|\d+)\/stat$/
const START = 5000
const PROCESS = `100 (x) S ${'0 '.repeat(18)}${START} ${'0 '.repeat(30)}\n`
const DIRECTORY = 0o40700
const ALL = '000001ffffffffff'
const CONTROLLERS = 'cpuset cpu io memory hugetlb pids rdma\n'

const filesOf = (kind: keyof typeof KINDS): [string, string][] => [
  ['/proc/self/mountinfo', `${KINDS[kind].mountinfo.join('\n')}\n`],
  ['/proc/self/cgroup', `${KINDS[kind].cgroup.join('\n')}\n`],
  ['/proc/sys/kernel/osrelease', '6.12.0\n'],
  ['/proc/sys/kernel/cap_last_cap', '40\n'],
  ['/proc/self/status', `Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapPrm:\t${ALL}\nCapEff:\t${ALL}\nCapBnd:\t${ALL}\n`],
  ['/proc/self/setgroups', 'allow\n'],
  ['/proc/self/uid_map', '         0          0 4294967295\n'],
  ['/proc/sys/kernel/random/boot_id', '5b3f5b0e-0000-4000-8000-000000000000\n'],
  ['/sys/kernel/cgroup/delegate', 'cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n'],
  ...(kind === 'unified' ? [['/sys/fs/cgroup/cgroup.controllers', CONTROLLERS] as [string, string]] : []),
]

const bytesOf = (values: readonly (number | bigint)[]): Uint8Array => {
  const out = Buffer.alloc(values.reduce<number>((size, value) => size + (typeof value === 'bigint' ? 8 : 4), 0))
  values.reduce<number>(
    (at, value) => (typeof value === 'bigint' ? out.writeBigUInt64LE(value, at) : out.writeUInt32LE(value, at)),
    0,
  )
  return out
}

export class Host {
  readonly files: Map<string, string | Uint8Array>
  #now = 1_700_000_000_000_000_000n
  #pid = 100

  constructor(kind: keyof typeof KINDS) {
    this.files = new Map(filesOf(kind))
  }

  /** The outcome of a plan, encoded. */
  run(plan: Plan): Uint8Array {
    const results = new Map<number, Uint8Array>()
    for (const [index, op] of plan.entries()) {
      const result = this.#one(op)
      if (result !== undefined) results.set(index, result)
    }
    return encodeOutcome({ error: undefined, results })
  }

  #has(path: string): boolean {
    return [...this.files.keys()].some((file) => file === path || file.startsWith(`${path}/`))
  }

  #one(op: Op): Uint8Array | undefined {
    switch (op.op) {
      case 'read': {
        const found = this.files.get(op.path) ?? (PROCESS_STAT.test(op.path) ? PROCESS : undefined)
        return found === undefined ? undefined : Buffer.from(found)
      }
      case 'write':
        this.files.set(op.path, filled(op.data))
        return undefined
      case 'rmtree':
        for (const path of this.files.keys()) if (path.startsWith(`${op.path}/`)) this.files.delete(path)
        return undefined
      case 'stat':
        return this.#has(op.path) ? bytesOf([DIRECTORY, 0, 0, 0, 1n, 1n, 0n, 0n]) : undefined
      case 'held':
        return bytesOf([0])
      case 'list':
        return new Uint8Array()
      case 'clock':
        return bytesOf([this.#now++])
      case 'clone':
        return bytesOf([this.#pid++, BigInt(START), 0])
      case 'await':
        return bytesOf([0])
      case 'watch-oom':
        return bytesOf([0n])
      case 'remote':
        return this.run(op.plan)
      default:
        return undefined
    }
  }
}

/** Whatever else a hole is for, a number will do. */
const filled = (template: Template): Uint8Array =>
  Buffer.concat(
    template.map((part) => {
      if (typeof part === 'string' || part instanceof Uint8Array) return Buffer.from(part as string)
      return Buffer.from(String(/startTime/i.test(part.hole) ? START : 100))
    }),
  )
