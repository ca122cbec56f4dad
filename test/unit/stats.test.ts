import assert from 'node:assert/strict'
import { test } from 'node:test'
import { v1Stats, v2Stats } from '../../src/cgroup/stats.ts'
import { parseDuration } from '../../src/cli/duration.ts'
import { stringifyJson } from '../../src/spec/json.ts'

const file = (files: Readonly<Record<string, string>>) => (name: string) => files[name]

test('v2: figures by the names they have on v1', () => {
  const stats = v2Stats(
    file({
      'cpu.stat': 'usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 1\nnr_throttled 0\nthrottled_usec 7\n',
      'cpu.pressure':
        'some avg10=0.50 avg60=0.00 avg300=1.25 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n',
      'memory.stat': 'file 4096\nanon 8192\n',
      'memory.current': '12288\n',
      'memory.max': '18446744073709551614\n',
      'memory.peak': '16384\n',
      'memory.swap.current': '1\n',
      'memory.swap.max': 'max\n',
      'pids.current': '2\n',
      'pids.max': 'max\n',
      'io.stat': '8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n7:1 \n',
      'hugetlb.2MB.current': '0\n',
      'hugetlb.2MB.events': 'max 6\n',
    }),
  )
  assert.equal(
    stringifyJson(stats),
    [
      '{"cpu":{"usage":{"total":5000,"kernel":2000,"user":3000},"throttling":{"periods":1,"throttledTime":7000},',
      '"psi":{"some":{"avg10":0.5,"avg60":0,"avg300":1.25,"total":9},"full":{"avg10":0,"avg60":0,"avg300":0,"total":0}}},',
      '"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,',
      '"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},',
      '"memory":{"cache":4096,"usage":{"limit":18446744073709551614,"usage":12288,"max":16384,"failcnt":0},',
      '"swap":{"limit":18446744073709551615,"usage":12289,"failcnt":0},"kernel":{"limit":0,"failcnt":0},',
      '"kernelTCP":{"limit":0,"failcnt":0},"raw":{"anon":8192,"file":4096}},"pids":{"current":2},',
      '"blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":1},{"major":8,"op":"Write","value":2}],',
      '"ioServicedRecursive":[{"major":8,"op":"Read","value":3},{"major":8,"op":"Write","value":4}]},',
      '"hugetlb":{"2MB":{"failcnt":6}},"intel_rdt":{},"network_interfaces":null}',
    ].join(''),
  )
})

test('v1: processors apart, lists of CPUs, devices of the layer that counts', () => {
  const { cpu, cpuset, blkio, hugetlb } = v1Stats(
    file({
      'cpuacct.usage': '9\n',
      'cpuacct.usage_percpu': '4 5 \n',
      'cpuacct.usage_all': 'cpu user system\n0 1 2\n1 3 4\n',
      'cpuacct.stat': 'user 2\nsystem 3\n',
      'cpuset.cpus': '0-2,4\n',
      'cpuset.mems': '\n',
      'cpuset.sched_relax_domain_level': '-1\n',
      'blkio.throttle.io_serviced_recursive': '8:16 Read 5\n8:16 Total 5\nTotal 5\n',
      'hugetlb.1GB.usage_in_bytes': '1\n',
      'hugetlb.64KB.usage_in_bytes': '0\n',
    }),
  )
  assert.equal(
    stringifyJson(cpu),
    '{"usage":{"total":9,"percpu":[4,5],"percpu_kernel":[2,4],"percpu_user":[1,3],"kernel":30000000,"user":20000000},"throttling":{}}',
  )
  assert.match(
    stringifyJson(cpuset),
    /^{"cpus":\[0,1,2,4\],"cpu_exclusive":0,"mem_hardwall".*"sched_relax_domain_level":-1}$/,
  )
  assert.equal(
    stringifyJson(blkio),
    '{"ioServicedRecursive":[{"major":8,"minor":16,"op":"Read","value":5},{"major":8,"minor":16,"op":"Total","value":5}]}',
  )
  assert.equal(stringifyJson(hugetlb), '{"1GB":{"usage":1,"failcnt":0},"64KB":{"failcnt":0}}')
})

test('lengths of time, as Go writes them', () => {
  const good: readonly (readonly [string, bigint])[] = [
    ['5s', 5_000_000_000n],
    ['1m30s', 90_000_000_000n],
    ['1.5h', 5_400_000_000_000n],
    ['100ms', 100_000_000n],
    ['2us3ns', 2_003n],
  ]
  for (const [text, value] of good) assert.equal(parseDuration('interval', text), value, text)
  for (const bad of ['5', '', 's', '0s', '-1s', '1 s', '0.5ns', '999999999999h'])
    assert.throws(() => parseDuration('interval', bad), /--interval/, bad)
})
