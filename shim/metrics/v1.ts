/** io.containerd.cgroups.v1.Metrics from the files of cgroup v1. */

import { containerd } from '../proto/messages.gen.js'
import { long } from '../time.ts'
import { numbers, pairs, single } from './parse.ts'

const { v1 } = containerd.metrics

export const V1_TYPE = 'io.containerd.cgroups.v1.Metrics'

/** cpuacct.stat counts in USER_HZ, which is 100 on every architecture that berth runs on. */
const TICK_NS = 10_000_000n

const HUGE_PAGES = ['64KB', '2MB', '32MB', '1GB']

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

/** A file of a scheduler, and the one of the throttling layer that counts the same where the scheduler does not. */
const BLKIO = {
  ioServiceBytesRecursive: ['blkio.io_service_bytes_recursive', 'blkio.throttle.io_service_bytes_recursive'],
  ioServicedRecursive: ['blkio.io_serviced_recursive', 'blkio.throttle.io_serviced_recursive'],
  ioQueuedRecursive: ['blkio.io_queued_recursive'],
  ioServiceTimeRecursive: ['blkio.io_service_time_recursive'],
  ioWaitTimeRecursive: ['blkio.io_wait_time_recursive'],
  ioMergedRecursive: ['blkio.io_merged_recursive'],
  ioTimeRecursive: ['blkio.time_recursive'],
  sectorsRecursive: ['blkio.sectors_recursive'],
} as const

/** The files to read, as controller and name. */
export const V1_FILES: readonly (readonly [controller: string, file: string])[] = [
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
export const encodeV1 = (file: (name: string) => string | undefined): Uint8Array => {
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
      Object.entries(BLKIO).map(([field, names]) => [field, names.map(file).map(blkioEntries).find(hasAny) ?? []]),
    ),
    memoryOomControl: {
      oomKillDisable: of(oom, 'oom_kill_disable'),
      underOom: of(oom, 'under_oom'),
      oomKill: of(oom, 'oom_kill'),
    },
  }).finish()
}

const memory = (file: (name: string) => string | undefined): containerd.metrics.v1.MemoryStat.$Properties => {
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

const hasAny = (entries: readonly unknown[]): boolean => entries.length > 0

/** Lines `major:minor operation number`, or without the operation; the line of the sum has no device. */
const blkioEntries = (text: string | undefined): containerd.metrics.v1.BlkIOEntry.$Properties[] =>
  (text ?? '').split('\n').flatMap((line) => {
    const match = /^(\d+):(\d+) (?:([A-Za-z]+) )?(\d+)$/.exec(line)
    if (match === null) return []
    const [, major = '', minor = '', op = '', value = ''] = match
    return [{ op, device: '', major: long(BigInt(major)), minor: long(BigInt(minor)), value: long(BigInt(value)) }]
  })
