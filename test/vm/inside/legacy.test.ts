/** linux.resources where every v1 controller is: what is in the files, under the names that the specification gives. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { until } from '../../harness/host.ts'
import { berth } from '../../harness/run.ts'
import { CGROUPS, cleanly, id, start } from './container.ts'

const MiB = 1 << 20
const at = (controller: string) => `${CGROUPS}/${controller}/berth-${id}`
const file = (controller: string, name: string) => readFileSync(`${at(controller)}/${name}`, 'utf8').trim()

describe('limits on cgroup v1', () => {
  cleanly()

  it('are in the files, each exactly', async () => {
    await start('sleep 1000', (config) => {
      Object.assign(config.linux.resources, {
        memory: { limit: 64 * MiB, swap: 96 * MiB, reservation: 32 * MiB, swappiness: 10, disableOOMKiller: true },
        cpu: { shares: 512, quota: 50000, period: 100000, burst: 20000, cpus: '0', mems: '0' },
        pids: { limit: 50 },
        hugepageLimits: [{ pageSize: '2MB', limit: 4 * MiB }],
        network: { classID: 1048577, priorities: [{ name: 'lo', priority: 5 }] },
      })
    })
    const expected: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      memory: {
        'memory.limit_in_bytes': `${64 * MiB}`,
        'memory.memsw.limit_in_bytes': `${96 * MiB}`,
        'memory.soft_limit_in_bytes': `${32 * MiB}`,
        'memory.swappiness': '10',
      },
      'cpu,cpuacct': { 'cpu.shares': '512', 'cpu.cfs_quota_us': '50000', 'cpu.cfs_burst_us': '20000' },
      cpuset: { 'cpuset.cpus': '0', 'cpuset.mems': '0' },
      pids: { 'pids.max': '50' },
      hugetlb: { 'hugetlb.2MB.limit_in_bytes': `${4 * MiB}`, 'hugetlb.2MB.rsvd.limit_in_bytes': `${4 * MiB}` },
      'net_cls,net_prio': { 'net_cls.classid': '1048577' },
    }
    for (const [controller, files] of Object.entries(expected))
      for (const [name, value] of Object.entries(files)) assert.equal(file(controller, name), value, name)
    assert.match(file('memory', 'memory.oom_control'), /^oom_kill_disable 1$/m)
    assert.match(file('net_cls,net_prio', 'net_prio.ifpriomap'), /^lo 5$/m)
    assert.match(file('devices', 'devices.list'), /^c 1:3 rwm$/m)
  })

  it('a container that forks without end is removed, without cgroup.kill', async () => {
    await start('f() { f & f & sleep 1000; }; f', (config) => {
      Object.assign(config.linux.resources, { pids: { limit: 60 }, cpu: { quota: 20000 } })
    })
    await until('many', () => Number(file('pids', 'pids.current')) > 30)
    assert.equal((await berth(['delete', '--force', id])).code, 0)
    assert.ok(!existsSync(at('pids')))
  })
})
