/** io.containerd.cgroups.v2.Metrics from the files of the unified hierarchy. */

import { type FigureFile, type Figures, HUGE_PAGES, pairs, single } from '../../src/cgroup/figures.ts'
import { containerd } from '../proto/metrics.gen.js'
import { long } from '../time.ts'

const { v2 } = containerd.metrics

export const TYPE = 'io.containerd.cgroups.v2.Metrics'

export const FILES: readonly FigureFile[] = [
  ...['pids.current', 'pids.max', 'cpu.stat', 'io.stat', 'memory.stat', 'memory.events'],
  ...['memory.current', 'memory.max', 'memory.peak', 'memory.swap.current', 'memory.swap.max', 'memory.swap.peak'],
  ...HUGE_PAGES.flatMap((size) => [`hugetlb.${size}.current`, `hugetlb.${size}.max`]),
].map((file) => ['', file])

/** Fields of MemoryStat that memory.stat has under the same name. */
const MEMORY_FIELDS = [
  ...['anon', 'file', 'kernel_stack', 'slab', 'sock', 'shmem', 'file_mapped', 'file_dirty', 'file_writeback'],
  ...['inactive_anon', 'active_anon', 'inactive_file', 'active_file', 'unevictable', 'slab_reclaimable'],
  ...['slab_unreclaimable', 'pgfault', 'pgmajfault', 'workingset_nodereclaim', 'pgrefill', 'pgscan', 'pgsteal'],
  ...['pgactivate', 'pgdeactivate', 'pglazyfree', 'pglazyfreed', 'thp_fault_alloc', 'thp_collapse_alloc'],
]

const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** Every message that clients look into is there, whatever could be read: they do not check. */
export const encode = (file: Figures): Uint8Array => {
  const one = (name: string) => long(single(file(name)))
  const cpu = pairs(file('cpu.stat'))
  const stat = pairs(file('memory.stat'))
  const events = pairs(file('memory.events'))
  const of = (from: Map<string, bigint>, name: string) => long(from.get(name) ?? 0n)
  /** Since Linux 5.9 these are counted apart for anonymous and file pages. */
  const both = (name: string) =>
    long((stat.get(`${name}_anon`) ?? stat.get(name) ?? 0n) + (stat.get(`${name}_file`) ?? 0n))
  return v2.Metrics.encode({
    pids: { current: one('pids.current'), limit: one('pids.max') },
    cpu: {
      usageUsec: of(cpu, 'usage_usec'),
      userUsec: of(cpu, 'user_usec'),
      systemUsec: of(cpu, 'system_usec'),
      nrPeriods: of(cpu, 'nr_periods'),
      nrThrottled: of(cpu, 'nr_throttled'),
      throttledUsec: of(cpu, 'throttled_usec'),
    },
    memory: {
      ...Object.fromEntries(MEMORY_FIELDS.map((name) => [camel(name), of(stat, name)])),
      anonThp: of(stat, 'anon_thp'),
      workingsetRefault: both('workingset_refault'),
      workingsetActivate: both('workingset_activate'),
      usage: one('memory.current'),
      usageLimit: one('memory.max'),
      maxUsage: one('memory.peak'),
      swapUsage: one('memory.swap.current'),
      swapLimit: one('memory.swap.max'),
      swapMaxUsage: one('memory.swap.peak'),
    },
    io: { usage: ioEntries(file('io.stat')) },
    hugetlb: HUGE_PAGES.filter((size) => file(`hugetlb.${size}.current`) !== undefined).map((pagesize) => ({
      current: one(`hugetlb.${pagesize}.current`),
      max: one(`hugetlb.${pagesize}.max`),
      pagesize,
    })),
    memoryEvents: {
      low: of(events, 'low'),
      high: of(events, 'high'),
      max: of(events, 'max'),
      oom: of(events, 'oom'),
      oomKill: of(events, 'oom_kill'),
    },
  }).finish()
}

/** Lines `major:minor key=number …`. */
const ioEntries = (text: string | undefined): containerd.metrics.v2.IOEntry.$Properties[] =>
  (text ?? '').split('\n').flatMap((line) => {
    const match = /^(\d+):(\d+) (.*)$/.exec(line)
    if (match === null) return []
    const [, major = '', minor = '', rest = ''] = match
    const values = new Map(rest.split(' ').map((word) => word.split('=') as [string, string]))
    const of = (name: string) => long(single(values.get(name)))
    return [
      {
        major: long(BigInt(major)),
        minor: long(BigInt(minor)),
        rbytes: of('rbytes'),
        wbytes: of('wbytes'),
        rios: of('rios'),
        wios: of('wios'),
      },
    ]
  })
