/** io.containerd.cgroups.v1.Metrics from the files of cgroup v1. */

import { BLKIO, type BlkioEntry, blkioEntries } from '../../src/cgroup/blkio.ts'
import { type FigureFile, type Figures, HUGE_PAGES, numbers, pairs, single, TICK_NS } from '../../src/cgroup/figures.ts'
import { containerd } from '../proto/metrics.gen.js'
import { long } from '../time.ts'

const { v1 } = containerd.metrics

export const TYPE = 'io.containerd.cgroups.v1.Metrics'

const MEMORY_ENTRIES = { usage: 'memory', swap: 'memory.memsw', kernel: 'memory.kmem', kernelTcp: 'memory.kmem.tcp' }

/** Where memory.stat has the same name, but for the case. */
const MEMORY_FIELDS = {
  cache: 'cache',
  rss: 'rss',
  rssHuge: 'rss_huge',
  mappedFile: 'mapped_file',
  dirty: 'dirty',
  writeback: 'writeback',
  pgPgIn: 'pgpgin',
  pgPgOut: 'pgpgout',
  pgFault: 'pgfault',
  pgMajFault: 'pgmajfault',
  inactiveAnon: 'inactive_anon',
  activeAnon: 'active_anon',
  inactiveFile: 'inactive_file',
  activeFile: 'active_file',
  unevictable: 'unevictable',
} as const

/** The files to read, as controller and name. */
export const FILES: readonly FigureFile[] = [
  ...['pids.current', 'pids.max'].map((file) => ['pids', file] as const),
  ...['cpuacct.usage', 'cpuacct.usage_percpu', 'cpuacct.stat'].map((file) => ['cpuacct', file] as const),
  ['cpu', 'cpu.stat'],
  ...['memory.stat', 'memory.oom_control'].map((file) => ['memory', file] as const),
  ...Object.values(MEMORY_ENTRIES).flatMap((prefix) =>
    ['limit_in_bytes', 'usage_in_bytes', 'max_usage_in_bytes', 'failcnt'].map(
      (name) => ['memory', `${prefix}.${name}`] as const,
    ),
  ),
  ...Object.values(BLKIO).flatMap((names) => names.map((file) => ['blkio', file] as const)),
  ...HUGE_PAGES.flatMap((size) =>
    ['usage_in_bytes', 'max_usage_in_bytes', 'failcnt'].map((name) => ['hugetlb', `hugetlb.${size}.${name}`] as const),
  ),
]

/** Every message that clients look into is there, whatever could be read: they do not check. */
export const encode = (file: Figures): Uint8Array => {
  const one = (name: string) => long(single(file(name)))
  const ticks = pairs(file('cpuacct.stat'))
  const cpu = pairs(file('cpu.stat'))
  const oom = pairs(file('memory.oom_control'))
  const of = (from: Map<string, bigint>, name: string, factor = 1n) => long((from.get(name) ?? 0n) * factor)
  return v1.Metrics.encode({
    hugetlb: HUGE_PAGES.filter((size) => file(`hugetlb.${size}.usage_in_bytes`) !== undefined).map((pagesize) => ({
      usage: one(`hugetlb.${pagesize}.usage_in_bytes`),
      max: one(`hugetlb.${pagesize}.max_usage_in_bytes`),
      failcnt: one(`hugetlb.${pagesize}.failcnt`),
      pagesize,
    })),
    // A limit of 0 is how "none" is written here.
    pids: { current: one('pids.current'), limit: file('pids.max')?.trim() === 'max' ? long(0n) : one('pids.max') },
    cpu: {
      usage: {
        total: one('cpuacct.usage'),
        kernel: of(ticks, 'system', TICK_NS),
        user: of(ticks, 'user', TICK_NS),
        perCpu: numbers(file('cpuacct.usage_percpu')).map(long),
      },
      throttling: {
        periods: of(cpu, 'nr_periods'),
        throttledPeriods: of(cpu, 'nr_throttled'),
        throttledTime: of(cpu, 'throttled_time'),
      },
    },
    memory: memory(file),
    blkio: Object.fromEntries(
      Object.keys(BLKIO).map((field) => [field, blkioEntries(file, field as keyof typeof BLKIO).map(blkioEntry)]),
    ),
    memoryOomControl: {
      oomKillDisable: of(oom, 'oom_kill_disable'),
      underOom: of(oom, 'under_oom'),
      oomKill: of(oom, 'oom_kill'),
    },
  }).finish()
}

const memory = (file: Figures): containerd.metrics.v1.MemoryStat.$Properties => {
  const stat = pairs(file('memory.stat'))
  const of = (name: string) => long(stat.get(name) ?? 0n)
  const fields: Record<string, unknown> = {
    hierarchicalMemoryLimit: of('hierarchical_memory_limit'),
    hierarchicalSwapLimit: of('hierarchical_memsw_limit'),
  }
  for (const [field, name] of Object.entries(MEMORY_FIELDS)) {
    fields[field] = of(name)
    fields[`total${field.charAt(0).toUpperCase()}${field.slice(1)}`] = of(`total_${name}`)
  }
  for (const [field, prefix] of Object.entries(MEMORY_ENTRIES)) {
    const entry = (name: string) => long(single(file(`${prefix}.${name}`)))
    fields[field] = {
      limit: entry('limit_in_bytes'),
      usage: entry('usage_in_bytes'),
      max: entry('max_usage_in_bytes'),
      failcnt: entry('failcnt'),
    }
  }
  return fields
}

const blkioEntry = ({ major, minor, op, value }: BlkioEntry): containerd.metrics.v1.BlkIOEntry.$Properties => ({
  op,
  device: '',
  major: long(major),
  minor: long(minor),
  value: long(value),
})
