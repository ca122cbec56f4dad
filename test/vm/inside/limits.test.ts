/** linux.resources on cgroup v2: what is in the files, and what the kernel makes of it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Bundle, type Config } from '../../harness/bundle.ts'
import { until } from '../../harness/host.ts'
import { berth } from '../../harness/run.ts'
import { CGROUPS, cleanly, dir, exec, file, id, initPid, refused, run, start } from './container.ts'

const { rdev } = statSync('/dev/vdd')
const disk = { major: Number((BigInt(rdev) >> 8n) & 0xfffn), minor: rdev & 0xff }
const MiB = 1 << 20
const withResources = (resources: object) => (config: Config) => {
  Object.assign(config.linux.resources, resources)
}
const shm = (config: Config) =>
  config.mounts.push({ destination: '/shm', type: 'tmpfs', source: 'tmpfs', options: ['rw'] })

describe('limits on cgroup v2', () => {
  cleanly()

  it('are in the files, each exactly', async () => {
    await start(
      'sleep 1000',
      withResources({
        memory: { limit: 64 * MiB, swap: 96 * MiB, reservation: 32 * MiB },
        cpu: { shares: 2048, quota: 50000, period: 100000, burst: 20000, cpus: '0', mems: '0' },
        pids: { limit: 50 },
        hugepageLimits: [{ pageSize: '2MB', limit: 4 * MiB }],
        blockIO: {
          weight: 500,
          throttleReadBpsDevice: [{ ...disk, rate: 1048576 }],
          throttleWriteIOPSDevice: [{ ...disk, rate: 100 }],
        },
        unified: { 'memory.high': `${60 * MiB}`, 'cgroup.max.depth': '3', 'hugetlb.1GB.max': '0', 'pids.max': '40' },
      }),
    )
    const names = [
      ...['memory.max', 'memory.swap.max', 'memory.low', 'memory.high', 'memory.oom.group', 'cpu.weight', 'cpu.max'],
      ...['cpu.max.burst', 'cpuset.cpus', 'cpuset.mems', 'pids.max', 'hugetlb.2MB.max', 'hugetlb.2MB.rsvd.max'],
      ...['hugetlb.1GB.max', 'io.weight', 'io.max', 'cgroup.max.depth'],
    ]
    assert.deepEqual(Object.fromEntries(names.map((name) => [name, file(name)])), {
      'memory.max': `${64 * MiB}`,
      'memory.swap.max': `${32 * MiB}`,
      'memory.low': `${32 * MiB}`,
      'memory.high': `${60 * MiB}`,
      // left to the kernel: whether one process or all are killed is the container's own affair
      'memory.oom.group': '0',
      'cpu.weight': '174',
      'cpu.max': '50000 100000',
      'cpu.max.burst': '20000',
      'cpuset.cpus': '0',
      'cpuset.mems': '0',
      // unified comes last
      'pids.max': '40',
      'hugetlb.2MB.max': `${4 * MiB}`,
      'hugetlb.2MB.rsvd.max': `${4 * MiB}`,
      'hugetlb.1GB.max': '0',
      'io.weight': 'default 4950',
      'io.max': `${disk.major}:${disk.minor} rbps=1048576 wbps=max riops=max wiops=100`,
      'cgroup.max.depth': '3',
    })
    assert.match(readFileSync(`/proc/${await initPid()}/cgroup`, 'utf8'), /^0::\/berth-c1$/m)
  })

  it('idle leaves no room for shares', async () => {
    await start('sleep 1000', withResources({ cpu: { idle: 1 } }))
    assert.equal(file('cpu.idle'), '1')
  })

  it('memory: who takes more is killed, and that is counted', async () => {
    const done = await run(
      'head -c 64m /dev/zero | tail',
      withResources({ memory: { limit: 16 * MiB, swap: 16 * MiB } }),
    )
    assert.notEqual(done.code, 0)
    using bundle = new Bundle(['/bin/sh', '-c', 'head -c 64m /dev/zero >/shm/x; sleep 1000'], (config) => {
      withResources({ memory: { limit: 16 * MiB, swap: 16 * MiB } })(config)
      shm(config)
    })
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    await until('an OOM kill', () => /^oom_kill [1-9]/m.test(file('memory.events')))
  })

  it('pids: no more than these', async () => {
    const done = await run(
      'for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; echo all',
      withResources({ pids: { limit: 5 } }),
    )
    assert.notEqual(done.stdout, 'all\n')
    assert.match(done.stderr, /fork/)
  })

  it('cpu: a quota throttles', async () => {
    await start('while :; do :; done', withResources({ cpu: { quota: 5000, period: 100000 } }))
    await until('throttled', () => /^nr_throttled [1-9]/m.test(file('cpu.stat')))
  })

  it('io: a disk is read no faster than allowed', async () => {
    const read = async (resources: object): Promise<number> => {
      const start = process.hrtime.bigint()
      const done = await run('dd if=/dev/disk of=/dev/null bs=64k count=16 iflag=direct', (config) => {
        config.linux.devices = [{ path: '/dev/disk', type: 'b', ...disk }]
        withResources({ devices: [{ allow: true, type: 'b', ...disk, access: 'r' }], ...resources })(config)
      })
      assert.equal(done.code, 0, done.stderr)
      return Number(process.hrtime.bigint() - start) / 1e9
    }
    // 1 MiB at 256 KiB in a second; the kernel lets a first slice through.
    assert.ok((await read({ blockIO: { throttleReadBpsDevice: [{ ...disk, rate: 262144 }] } })) > 2.5)
  })

  it('what the kernel or the host lacks is an error that names the property', async () => {
    assert.match(
      await refused(withResources({ rdma: { mlx5_1: { hcaHandles: 3 } } })),
      /rdma\.max.*linux\.resources\.rdma\.mlx5_1|linux\.resources\.rdma.*rdma\.max/s,
    )
    assert.match(await refused(withResources({ unified: { 'memory.nothing': '1' } })), /memory\.nothing/)
    assert.match(await refused(withResources({ unified: { 'nothing.max': '1' } })), /controller "nothing"/)
    assert.match(await refused(withResources({ network: { classID: 1 } })), /linux\.resources\.network/)
    assert.match(await refused(withResources({ cpu: { realtimeRuntime: 1 } })), /realtime/)
    assert.match(await refused(withResources({ hugepageLimits: [{ pageSize: '3MB', limit: 1 }] })), /hugetlb\.3MB\.max/)
    assert.match(await refused(withResources({ memory: { limit: 16 * MiB, swap: 1 } })), /memory\.swap/)
  })
})

describe('a cgroup that is not free', () => {
  cleanly()
  /** A cgroup with a process in it. */
  const occupied = async (path: string, test: (pid: number) => Promise<void>): Promise<void> => {
    mkdirSync(path, { recursive: true })
    const child = spawn('sleep', ['1000'])
    try {
      writeFileSync(`${path}/cgroup.procs`, String(child.pid))
      await test(child.pid ?? 0)
      assert.equal(readFileSync(`${path}/cgroup.procs`, 'utf8').trim(), String(child.pid), 'the stranger lives')
    } finally {
      const gone = new Promise((done) => child.on('exit', done))
      child.kill('SIGKILL')
      await gone
      await until('empty', () => readFileSync(`${path}/cgroup.procs`, 'utf8') === '')
      rmdirSync(path)
    }
  }

  it('with processes of somebody else’s: refused, and they live on', () =>
    occupied(`${CGROUPS}/taken`, async (pid) => {
      const text = await refused((config) => {
        config.linux.cgroupsPath = '/taken'
      })
      assert.match(text, new RegExp(`/taken.*process ${pid} is in it`))
    }))

  it('frozen: refused rather than waiting for ever', async () => {
    mkdirSync(`${CGROUPS}/cold`)
    writeFileSync(`${CGROUPS}/cold/cgroup.freeze`, '1')
    for (const cgroupsPath of ['/cold/c', '/cold'])
      assert.match(
        await refused((config) => {
          config.linux.cgroupsPath = cgroupsPath
        }),
        /frozen/,
      )
    rmdirSync(`${CGROUPS}/cold`)
  })

  it('processes above it: the file and the way out', () =>
    occupied(`${CGROUPS}/busy`, async () => {
      const text = await refused((config) => {
        config.linux.cgroupsPath = '/busy/c'
        withResources({ memory: { limit: 16 * MiB } })(config)
      })
      assert.match(text, /\/busy\/cgroup\.subtree_control.*cgroup\.procs/)
    }))

  it('empty: used as it is', async () => {
    mkdirSync(`${CGROUPS}/ready`)
    const done = await run('cat /proc/self/cgroup', (config) => {
      config.linux.cgroupsPath = '/ready'
      config.linux.namespaces = config.linux.namespaces.filter(({ type }: { type: string }) => type !== 'cgroup')
    })
    assert.equal(done.stdout, '0::/ready\n', done.stderr)
    assert.ok(!existsSync(`${CGROUPS}/ready`))
  })
})

describe('a container and its own cgroups', () => {
  cleanly()
  const mounted = (options: readonly string[]) => (config: Config) => {
    config.mounts = config.mounts.filter(({ destination }: { destination: string }) => destination !== '/sys/fs/cgroup')
    config.mounts.push({ destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options })
    if (!config.linux.namespaces.some(({ type }: { type: string }) => type === 'cgroup'))
      config.linux.namespaces.push({ type: 'cgroup' })
  }

  it('sees its cgroup as the root, and only that', async () => {
    const done = await run(
      'cat /proc/self/cgroup; ls /sys/fs/cgroup/berth 2>&1; cat /sys/fs/cgroup/cgroup.procs',
      mounted(['ro']),
    )
    assert.match(done.stdout, /^0::\/\n.*No such file.*\n1\n/)
  })

  it('can change nothing in a read-only view', async () => {
    const done = await run('mkdir /sys/fs/cgroup/x', mounted(['nosuid', 'ro']))
    assert.match(done.stderr, /Read-only/)
  })

  it('may divide what it has, and is still executed in, listed, and removed whole', async () => {
    await start(
      'cd /sys/fs/cgroup && mkdir inner && echo 1 >inner/cgroup.procs && echo +pids >cgroup.subtree_control && echo done >/tmp/done; sleep 1000',
      (config) => {
        mounted(['rw'])(config)
        config.root.readonly = false
      },
    )
    await until('divided', () => existsSync(`${dir}/inner`) && file('cgroup.subtree_control') === 'pids')
    const done = await exec('cat /proc/self/cgroup')
    assert.deepEqual([done.code, done.stdout, done.stderr], [0, '0::/inner\n', ''])
    const ps = JSON.parse((await berth(['ps', '-f', 'json', id])).stdout)
    assert.deepEqual(ps, [await initPid()])
    assert.equal((await berth(['delete', '--force', id])).code, 0)
    assert.ok(!existsSync(dir))
  })

  it('owns it where a user namespace makes it somebody else’s', async () => {
    await start('sleep 1000', (config) => {
      mounted(['rw'])(config)
      config.linux.namespaces.push({ type: 'user' })
      config.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 1000 }]
      config.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 1000 }]
    })
    const owners = [
      '',
      '/cgroup.procs',
      '/cgroup.subtree_control',
      '/cgroup.threads',
      '/memory.oom.group',
      '/memory.max',
    ]
    assert.deepEqual(
      owners.map((name) => statSync(`${dir}${name}`).uid),
      [100000, 100000, 100000, 100000, 100000, 0],
    )
    assert.equal((await exec('mkdir /sys/fs/cgroup/mine && rmdir /sys/fs/cgroup/mine')).code, 0)
  })

  it('ends whole, however fast it forks', async () => {
    await start('f() { f & f & sleep 1000; }; f', withResources({ pids: { limit: 60 }, cpu: { quota: 20000 } }))
    await until('many', () => Number(file('pids.current')) > 30)
    assert.equal((await berth(['delete', '--force', id])).code, 0)
    assert.ok(!existsSync(dir))
  })
})
