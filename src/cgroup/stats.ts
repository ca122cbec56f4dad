/** The figures of `events`: runc's names, and what it leaves out where it is 0 or empty. */

import { BLKIO, type BlkioEntry, blkioEntries } from './blkio.ts'
import { parseCpuList } from './cpu-list.ts'
import { type FigureFile, type Figures, HUGE_PAGES, numbers, pairs, single, TICK_NS } from './figures.ts'

const MEMORY_ENTRIES = { usage: 'memory', swap: 'memory.memsw', kernel: 'memory.kmem', kernelTCP: 'memory.kmem.tcp' }
const MEMORY_FIGURES = ['limit_in_bytes', 'usage_in_bytes', 'max_usage_in_bytes', 'failcnt']

/** Names in the answer that are not those of the table. */
const BLKIO_NAMES: Readonly<Record<string, string>> = { ioQueuedRecursive: 'ioQueueRecursive' }

const CPUSET = {
  cpu_exclusive: 'cpuset.cpu_exclusive',
  mem_hardwall: 'cpuset.mem_hardwall',
  mem_exclusive: 'cpuset.mem_exclusive',
  memory_migrate: 'cpuset.memory_migrate',
  memory_spread_page: 'cpuset.memory_spread_page',
  memory_spread_slab: 'cpuset.memory_spread_slab',
  memory_pressure: 'cpuset.memory_pressure',
  sched_load_balance: 'cpuset.sched_load_balance',
  sched_relax_domain_level: 'cpuset.sched_relax_domain_level',
}
const CPUSET_LISTS = { cpus: 'cpuset.cpus', mems: 'cpuset.mems' }

const of = (controller: string, files: readonly string[]): FigureFile[] => files.map((file) => [controller, file])

export const V1_STATS: readonly FigureFile[] = [
  ...of('cpuacct', ['cpuacct.usage', 'cpuacct.usage_percpu', 'cpuacct.usage_all', 'cpuacct.stat']),
  ...of('cpu', ['cpu.stat']),
  ...of('cpuset', [...Object.values(CPUSET), ...Object.values(CPUSET_LISTS)]),
  ...of('memory', ['memory.stat']),
  ...Object.values(MEMORY_ENTRIES).flatMap((prefix) =>
    of(
      'memory',
      MEMORY_FIGURES.map((name) => `${prefix}.${name}`),
    ),
  ),
  ...of('pids', ['pids.current', 'pids.max']),
  ...of('blkio', Object.values(BLKIO).flat()),
  ...HUGE_PAGES.flatMap((size) =>
    of(
      'hugetlb',
      ['usage_in_bytes', 'max_usage_in_bytes', 'failcnt'].map((name) => `hugetlb.${size}.${name}`),
    ),
  ),
]

export const V2_STATS: readonly FigureFile[] = of('', [
  ...['cpu.stat', 'cpu.pressure', 'io.stat', 'io.pressure', 'pids.current', 'pids.max'],
  ...['memory.stat', 'memory.current', 'memory.max', 'memory.peak', 'memory.pressure'],
  ...['memory.swap.current', 'memory.swap.max', 'memory.swap.peak'],
  ...HUGE_PAGES.flatMap((size) => [`hugetlb.${size}.current`, `hugetlb.${size}.events`]),
])

/** Members that are 0 or empty are left out. */
const sparse = <T extends Readonly<Record<string, bigint | string | readonly unknown[] | object | undefined>>>(
  members: T,
): Partial<T> =>
  Object.fromEntries(
    Object.entries(members).filter(
      ([, value]) => value !== undefined && value !== 0n && value !== '' && !(Array.isArray(value) && !value.length),
    ),
  ) as Partial<T>

const entry = (limit: bigint, usage: bigint, max: bigint, failcnt: bigint) => ({
  limit,
  ...sparse({ usage, max }),
  failcnt,
})
const NO_ENTRY = entry(0n, 0n, 0n, 0n)

/** As a map of Go's is written: by its keys' order. */
const sorted = <V>(map: ReadonlyMap<string, V>): Record<string, V> =>
  Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)))

/** No limit is told as none. */
const pids = (file: Figures) =>
  sparse({
    current: single(file('pids.current')),
    limit: file('pids.max')?.trim() === 'max' ? 0n : single(file('pids.max')),
  })

const blkio = (entries: readonly BlkioEntry[]) =>
  entries.map(({ major, minor, op, value }) => sparse({ major, minor, op, value }))

interface Parts {
  readonly cpu: object
  readonly cpuset: object
  readonly memory: object
  readonly blkio: object
  readonly hugetlb: object
}

/** In runc's order. It knows no interfaces of a container's either. */
const stats = ({ cpu, cpuset, memory, blkio, hugetlb }: Parts, file: Figures) => ({
  cpu,
  cpuset,
  memory,
  pids: pids(file),
  blkio,
  hugetlb,
  intel_rdt: {},
  network_interfaces: null,
})

export const v1Stats = (file: Figures) => {
  const ticks = pairs(file('cpuacct.stat'))
  const throttling = pairs(file('cpu.stat'))
  const memory = pairs(file('memory.stat'))
  // `cpu user system`, a line each below a heading
  const each = (file('cpuacct.usage_all') ?? '').split('\n').slice(1).map(numbers)
  const column = (index: number) => each.flatMap((line) => line[index] ?? [])
  const memoryEntry = (prefix: string) => {
    const [limit = 0n, usage = 0n, max = 0n, failcnt = 0n] = MEMORY_FIGURES.map((name) =>
      single(file(`${prefix}.${name}`)),
    )
    return entry(limit, usage, max, failcnt)
  }
  return stats(
    {
      cpu: {
        usage: {
          ...sparse({
            total: single(file('cpuacct.usage')),
            percpu: numbers(file('cpuacct.usage_percpu')),
            percpu_kernel: column(2),
            percpu_user: column(1),
          }),
          kernel: (ticks.get('system') ?? 0n) * TICK_NS,
          user: (ticks.get('user') ?? 0n) * TICK_NS,
        },
        throttling: sparse({
          periods: throttling.get('nr_periods'),
          throttledPeriods: throttling.get('nr_throttled'),
          throttledTime: throttling.get('throttled_time'),
        }),
      },
      cpuset: cpuset(file),
      memory: {
        ...sparse({ cache: memory.get('cache') }),
        ...Object.fromEntries(Object.entries(MEMORY_ENTRIES).map(([name, prefix]) => [name, memoryEntry(prefix)])),
        ...(memory.size > 0 ? { raw: sorted(memory) } : {}),
      },
      blkio: sparse(
        Object.fromEntries(
          Object.keys(BLKIO).map((field) => [
            BLKIO_NAMES[field] ?? field,
            blkio(blkioEntries(file, field as keyof typeof BLKIO)),
          ]),
        ),
      ),
      hugetlb: hugetlb(file, 'usage_in_bytes', (size) => ({
        ...sparse({
          usage: single(file(`hugetlb.${size}.usage_in_bytes`)),
          max: single(file(`hugetlb.${size}.max_usage_in_bytes`)),
        }),
        failcnt: single(file(`hugetlb.${size}.failcnt`)),
      })),
    },
    file,
  )
}

/** On v2 the numbers are 0, as runc has it. */
const cpuset = (file: Figures) => {
  const number = (name: string) => BigInt(/^-?\d+$/.exec(file(name)?.trim() ?? '')?.[0] ?? 0)
  const list = (name: string) => parseCpuList(file(name)?.trim() ?? '') ?? []
  const { cpus, mems } = CPUSET_LISTS
  const { cpu_exclusive, ...rest } = CPUSET
  return {
    ...sparse({ cpus: list(cpus) }),
    cpu_exclusive: number(cpu_exclusive),
    ...sparse({ mems: list(mems) }),
    ...Object.fromEntries(Object.entries(rest).map(([name, path]) => [name, number(path)])),
  }
}

const hugetlb = (file: Figures, probe: string, figures: (size: string) => object) =>
  Object.fromEntries(
    HUGE_PAGES.filter((size) => file(`hugetlb.${size}.${probe}`) !== undefined)
      .sort()
      .map((size) => [size, figures(size)]),
  )

const USEC_NS = 1000n

export const v2Stats = (file: Figures) => {
  const cpu = pairs(file('cpu.stat'))
  const ns = (name: string) => (cpu.get(name) ?? 0n) * USEC_NS
  const memory = pairs(file('memory.stat'))
  const io = ioEntries(file('io.stat'))
  return stats(
    {
      cpu: {
        usage: { ...sparse({ total: ns('usage_usec') }), kernel: ns('system_usec'), user: ns('user_usec') },
        throttling: sparse({
          periods: cpu.get('nr_periods'),
          throttledPeriods: cpu.get('nr_throttled'),
          throttledTime: ns('throttled_usec'),
        }),
        ...pressure(file('cpu.pressure')),
      },
      cpuset: cpuset(() => undefined),
      memory: {
        ...sparse({ cache: memory.get('file') }),
        ...memoryEntries(file),
        kernel: NO_ENTRY,
        kernelTCP: NO_ENTRY,
        ...(memory.size > 0 ? { raw: sorted(memory) } : {}),
        ...pressure(file('memory.pressure')),
      },
      blkio: {
        ...sparse({
          ioServiceBytesRecursive: blkio([...io('rbytes', 'Read'), ...io('wbytes', 'Write')]),
          ioServicedRecursive: blkio([...io('rios', 'Read'), ...io('wios', 'Write')]),
        }),
        ...pressure(file('io.pressure')),
      },
      hugetlb: hugetlb(file, 'current', (size) => ({
        ...sparse({ usage: single(file(`hugetlb.${size}.current`)) }),
        failcnt: pairs(file(`hugetlb.${size}.events`)).get('max') ?? 0n,
      })),
    },
    file,
  )
}

const MAX_U64 = 0xffffffffffffffffn

/** v2 counts swap alone; the answer is, as on v1, of memory and swap. */
const memoryEntries = (file: Figures) => {
  const [usage, limit, max] = ['current', 'max', 'peak'].map((name) => single(file(`memory.${name}`)))
  const [swapUsage, swapLimit] = ['current', 'max'].map((name) => single(file(`memory.swap.${name}`)))
  const add = (a = 0n, b = 0n) => (a === MAX_U64 || b === MAX_U64 ? MAX_U64 : a + b)
  return {
    usage: entry(limit ?? 0n, usage ?? 0n, max ?? 0n, 0n),
    swap:
      file('memory.swap.current') === undefined
        ? NO_ENTRY
        : entry(add(swapLimit, limit), add(swapUsage, usage), 0n, 0n),
  }
}

/** Lines `major:minor key=number …`. */
const ioEntries = (text: string | undefined) => (key: string, op: string) =>
  (text ?? '').split('\n').flatMap((line): BlkioEntry[] => {
    const match = /^(\d+):(\d+) (.*)$/.exec(line)
    const value = new RegExp(`(?:^| )${key}=(\\d+)`).exec(match?.[3] ?? '')?.[1]
    if (match === null || value === undefined) return []
    return [{ major: BigInt(match[1] ?? 0), minor: BigInt(match[2] ?? 0), op, value: BigInt(value) }]
  })

/** Lines `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`; none where the kernel keeps no account of pressure. */
const pressure = (text: string | undefined) => {
  const psi = Object.fromEntries(
    (text ?? '').split('\n').flatMap((line) => {
      const match = /^(some|full) avg10=([\d.]+) avg60=([\d.]+) avg300=([\d.]+) total=(\d+)$/.exec(line)
      if (match === null) return []
      const [, kind = '', ...values] = match
      const [avg10, avg60, avg300] = values.map(Number)
      return [[kind, { avg10, avg60, avg300, total: BigInt(values[3] ?? 0) }]]
    }),
  )
  return Object.keys(psi).length > 0 ? { psi } : {}
}
