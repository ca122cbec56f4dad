/** Properties that the process itself can tell of, read back from the kernel by what runs in the container. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { nothingLeft, snapshot } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

/** Fields of /proc/PID/stat, counted as proc_pid_stat(5) does. */
const stat = (text: string, field: number): string => text.slice(text.lastIndexOf(')') + 2).split(' ')[field - 3] ?? ''
const status = (text: string, name: string): string =>
  new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? ''
const scheduling = (text: string) => ({
  policy: stat(text, 41),
  nice: stat(text, 19),
  priority: stat(text, 40),
})
const allCaps = (config: Config) => {
  for (const set of ['bounding', 'effective', 'permitted'])
    config.process.capabilities[set] = ['CAP_SYS_NICE', 'CAP_SYS_PTRACE', 'CAP_SYS_ADMIN']
}

/** cgroup v1 gives groups no real-time budget unless they are told, and none where the group above has none. */
const budget = '/sys/fs/cgroup/cpu/cpu.rt_runtime_us'
const noRealTime =
  existsSync(budget) && readFileSync(budget, 'utf8').trim() === '0' && 'no real-time budget in this cgroup'
const giveRealTime = (config: Config) => {
  if (!existsSync(budget)) return
  config.linux.cgroupsPath = `/props-${process.pid}`
  config.linux.resources.cpu = { realtimeRuntime: 10_000 }
}

interface Case {
  readonly skip?: string | false
  readonly name: string
  readonly args: readonly string[]
  readonly change: (config: Config) => void
  readonly check: (stdout: string) => void
}

const statCase = (scheduler: Config, expected: ReturnType<typeof scheduling>): Case => ({
  name: `process.scheduler ${scheduler.policy}${scheduler.flags ? ` ${scheduler.flags}` : ''}`,
  args: ['/bin/cat', '/proc/self/stat'],
  change: (config) => {
    config.process.scheduler = scheduler
    if (scheduler.priority !== undefined) giveRealTime(config)
  },
  check: (out) => assert.deepEqual(scheduling(out), expected),
  skip: scheduler.priority !== undefined && noRealTime,
})

const policyCase = (memoryPolicy: Config, expected: RegExp): Case => ({
  name: `linux.memoryPolicy ${memoryPolicy.mode}${memoryPolicy.flags ? ` ${memoryPolicy.flags}` : ''}`,
  args: ['/bin/cat', '/proc/self/numa_maps'],
  change: (config) => {
    config.linux.memoryPolicy = memoryPolicy
  },
  check: (out) => assert.match(out, expected),
})

const cases: readonly Case[] = [
  statCase({ policy: 'SCHED_OTHER', nice: 5 }, { policy: '0', nice: '5', priority: '0' }),
  statCase({ policy: 'SCHED_OTHER', nice: -5 }, { policy: '0', nice: '-5', priority: '0' }),
  statCase({ policy: 'SCHED_BATCH', nice: 3 }, { policy: '3', nice: '3', priority: '0' }),
  statCase({ policy: 'SCHED_IDLE' }, { policy: '5', nice: '0', priority: '0' }),
  statCase({ policy: 'SCHED_FIFO', priority: 7 }, { policy: '1', nice: '0', priority: '7' }),
  statCase(
    { policy: 'SCHED_RR', priority: 99, flags: ['SCHED_FLAG_RESET_ON_FORK'] },
    { policy: '2', nice: '0', priority: '99' },
  ),
  statCase(
    { policy: 'SCHED_DEADLINE', runtime: 10_000_000, deadline: 30_000_000, period: 30_000_000 },
    { policy: '6', nice: '0', priority: '0' },
  ),
  statCase(
    { policy: 'SCHED_OTHER', flags: ['SCHED_FLAG_KEEP_POLICY', 'SCHED_FLAG_KEEP_PARAMS'] },
    { policy: '0', nice: '0', priority: '0' },
  ),
  policyCase({ mode: 'MPOL_BIND', nodes: '0' }, / bind:0 /),
  policyCase({ mode: 'MPOL_BIND', nodes: '0', flags: ['MPOL_F_STATIC_NODES'] }, / bind=static:0 /),
  policyCase({ mode: 'MPOL_BIND', nodes: '0', flags: ['MPOL_F_NUMA_BALANCING'] }, / bind=balancing:0 /),
  policyCase({ mode: 'MPOL_INTERLEAVE', nodes: '0', flags: ['MPOL_F_RELATIVE_NODES'] }, / interleave=relative:0 /),
  policyCase({ mode: 'MPOL_PREFERRED', nodes: '0' }, / prefer:0 /),
  policyCase({ mode: 'MPOL_PREFERRED' }, / local /),
  policyCase({ mode: 'MPOL_PREFERRED_MANY', nodes: '0' }, / prefer \(many\):0 /),
  policyCase({ mode: 'MPOL_LOCAL' }, / local /),
  policyCase({ mode: 'MPOL_DEFAULT' }, / default /),
  {
    name: 'linux.personality',
    args: ['/bin/uname', '-m'],
    change: (config) => {
      config.linux.personality = { domain: 'LINUX32' }
    },
    check: (out) => assert.match(out, /^(i686|armv8l)\n/),
  },
  {
    name: 'process.ioPriority',
    args: ['/bin/sh', '-c', 'ionice -p $$'],
    change: (config) => {
      config.process.ioPriority = { class: 'IOPRIO_CLASS_BE', priority: 6 }
    },
    check: (out) => assert.equal(out, 'best-effort: prio 6\n'),
  },
  {
    name: 'process.oomScoreAdj',
    args: ['/bin/cat', '/proc/self/oom_score_adj'],
    change: (config) => {
      config.process.oomScoreAdj = 999
    },
    check: (out) => assert.equal(out, '999\n'),
  },
  {
    name: 'process.user',
    args: ['/bin/sh', '-c', 'umask; cat /proc/self/status'],
    change: (config) => {
      config.process.user = { uid: 7, gid: 8, umask: 0o27, additionalGids: [1, 4000000000] }
    },
    check: (out) => {
      assert.match(out, /^0027\n/)
      assert.equal(status(out, 'Groups'), '1 4000000000')
      assert.equal(status(out, 'Uid').split('\t')[0], '7')
    },
  },
  {
    name: 'hostname and domainname',
    args: ['/bin/sh', '-c', 'cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname'],
    change: (config) => {
      config.hostname = 'h'
      config.domainname = 'd'
    },
    check: (out) => assert.equal(out, 'h\nd\n'),
  },
  {
    name: 'process.rlimits',
    args: ['/bin/cat', '/proc/self/limits'],
    change: (config) => {
      // 18446744073709551615 stays as the host has it: raising a hard limit takes CAP_SYS_RESOURCE
      config.process.rlimits = Object.entries(LIMITS).map(([name, [, value]]) => ({
        type: `RLIMIT_${name}`,
        soft: value,
        hard: value,
      }))
    },
    check: (out) => {
      for (const [line, value] of Object.values(LIMITS))
        assert.match(out, new RegExp(`^${line} +${value} +${value} `, 'm'))
    },
  },
]

/** Every name, with its line in /proc/PID/limits. */
const LIMITS: Readonly<Record<string, readonly [string, number]>> = {
  CPU: ['Max cpu time', 1000],
  FSIZE: ['Max file size', 100000],
  DATA: ['Max data size', 100000000],
  STACK: ['Max stack size', 1000000],
  CORE: ['Max core file size', 0],
  RSS: ['Max resident set', 100000000],
  NPROC: ['Max processes', 500],
  NOFILE: ['Max open files', 99],
  MEMLOCK: ['Max locked memory', 4096],
  AS: ['Max address space', 1000000000],
  LOCKS: ['Max file locks', 5],
  SIGPENDING: ['Max pending signals', 6],
  MSGQUEUE: ['Max msgqueue size', 7],
  NICE: ['Max nice priority', 0],
  RTPRIO: ['Max realtime priority', 0],
  RTTIME: ['Max realtime timeout', 8],
}

describe('properties', { skip: notHere }, () => {
  let before: Set<string>
  const id = `props-${process.pid}`
  beforeEach(() => {
    before = snapshot()
  })
  afterEach(async () => {
    await berth(['delete', '--force', id])
    await nothingLeft(before)
  })

  for (const { name, skip = false, args, change, check } of cases)
    it(name, { skip }, async () => {
      using bundle = new Bundle(args, (config) => {
        allCaps(config)
        config.process.rlimits = []
        change(config)
      })
      chmodSync(join(bundle.dir, 'rootfs'), 0o755)
      const done = await berth(['run', '--bundle', bundle.dir, id])
      assert.equal(done.stderr, '')
      check(done.stdout)
    })

  const refusals: readonly (readonly [string, (config: Config) => void, RegExp])[] = [
    [
      'process.apparmorProfile',
      (config) => (config.process.apparmorProfile = 'x'),
      /process\.apparmorProfile: AppArmor is not enabled/,
    ],
    [
      'process.selinuxLabel',
      (config) => (config.process.selinuxLabel = 'x'),
      /process\.selinuxLabel: SELinux is not enabled/,
    ],
    [
      'linux.intelRdt',
      (config) => (config.linux.intelRdt = { closID: 'x' }),
      /linux\.intelRdt: no resctrl file system is mounted/,
    ],
    [
      'linux.memoryPolicy',
      (config) => (config.linux.memoryPolicy = { mode: 'MPOL_BIND', nodes: '63' }),
      /linux\.memoryPolicy: .*invalid argument \(EINVAL in set_mempolicy\)/,
    ],
  ]
  for (const [name, change, message] of refusals)
    it(`${name}: what this host lacks is refused by name`, async () => {
      using bundle = new Bundle(['/bin/true'], change)
      const done = await berth(['run', '--bundle', bundle.dir, id])
      assert.equal(done.code, 1)
      assert.match(done.stderr, message)
    })

  it('process.execCPUAffinity: initial holds outside of the cgroup, final inside, for exec alone', {
    skip: availableParallelism() < 2 && 'needs two CPUs',
  }, async () => {
    const cpus = (text: string) => status(text, 'Cpus_allowed_list')
    using bundle = new Bundle(['/bin/sh', '-c', 'cat /proc/self/status; sleep 1000'], (config) => {
      config.process.execCPUAffinity = { initial: '0', final: '1' }
      // initial may lie outside of what the cgroup has
      config.linux.resources.cpu = { cpus: '1' }
    })
    const run = await berth(['run', '--detach', '--bundle', bundle.dir, id])
    assert.equal(run.stderr, '')
    const exec = await berth(['exec', id, '/bin/cat', '/proc/self/status'])
    assert.deepEqual([exec.stderr, cpus(exec.stdout)], ['', '1'])
    const init = await berth(['exec', id, '/bin/cat', '/proc/1/status'])
    assert.equal(cpus(init.stdout), '1')
  })
})
