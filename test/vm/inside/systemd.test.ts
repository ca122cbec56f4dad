/** Runs in a virtual machine with systemd as its init: see ../systemd.test.ts. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { after, afterEach, test } from 'node:test'
import { containerd } from '../../../shim/proto/messages.gen.js'
import { Bundle, type Config } from '../../harness/bundle.ts'
import { binary, leftOver, snapshot, until } from '../../harness/host.ts'
import { closeClients, eventsSocket, Image, Task } from '../../harness/life.ts'
import { berth } from '../../harness/run.ts'
import { Daemon } from '../../harness/shim.ts'

const v2 = containerd.task
const unified = existsSync('/sys/fs/cgroup/cgroup.controllers')
/** The hierarchy by which systemd tracks its units. */
const TRACKED = unified ? '/sys/fs/cgroup' : '/sys/fs/cgroup/systemd'
const PRIVATE = '/run/systemd/private'
const BUS = '/run/dbus/system_bus_socket'

const systemctl = (...args: string[]): string => execFileSync('systemctl', args, { encoding: 'utf8' })
const show = (unit: string, property: string): string => systemctl('show', '--value', '-p', property, unit).trim()
const isThere = (unit: string): boolean => show(unit, 'LoadState') !== 'not-found'
const read = (path: string): string => readFileSync(path, 'utf8').trim()

const before = snapshot()
afterEach(async () => {
  for (const id of ['c1', 'c2']) await berth(['delete', '--force', id])
})
after(() =>
  assert.deepEqual(
    leftOver(before).filter((line) => !line.includes('.slice')),
    [],
  ),
)

const ok = async (...args: string[]) => {
  const done = await berth(args)
  assert.equal(done.code, 0, done.stderr)
  return done
}

/** Creates a container with this path and limits; the bundle has to live as long. */
const create = async (change: (config: Config) => void, id = 'c1') => {
  const bundle = new Bundle(['/bin/sleep', '1000'], change)
  await ok('--systemd-cgroup', 'create', '--bundle', bundle.dir, id)
  const { pid } = JSON.parse((await ok('state', id)).stdout) as { pid: number }
  return { pid, [Symbol.dispose]: () => bundle[Symbol.dispose]() }
}

const at = (path: string) => (config: Config) => {
  config.linux.cgroupsPath = path
}

for (const [path, unit, where] of [
  ['machine.slice:libpod:x', 'libpod-x.scope', '/machine.slice/libpod-x.scope'],
  [
    'kubepods-besteffort-pod1_2.slice:cri-containerd:x',
    'cri-containerd-x.scope',
    '/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-x.scope',
  ],
  ['::x', 'x.scope', '/system.slice/x.scope'],
  ['-:p:x', 'p-x.scope', '/p-x.scope'],
  ['t.slice:p:t-x.slice', 't-x.slice', '/t.slice/t-x.slice'],
] as const)
  test(`${path}: the unit has the init, an exec joins it, delete leaves neither unit nor cgroup`, async () => {
    using container = await create(at(path))
    assert.equal(show(unit, 'ActiveState'), 'active')
    assert.equal(show(unit, 'ControlGroup'), where)
    assert.deepEqual(read(`${TRACKED}${where}/cgroup.procs`).split('\n'), [String(container.pid)])
    // every hierarchy has it at the same place
    for (const line of read(`/proc/${container.pid}/cgroup`)
      .split('\n')
      .filter((text) => unified || !text.startsWith('0::') || existsSync('/sys/fs/cgroup/unified')))
      assert.equal(line.split(':')[2], where, line)
    await ok('start', 'c1')
    const inside = (await ok('exec', 'c1', 'cat', '/proc/self/cgroup')).stdout
    assert.match(inside, unified ? new RegExp(`^0::(/|${where.replaceAll('.', '\\.')})$`, 'm') : /systemd/)
    await ok('delete', '--force', 'c1')
    assert.ok(unit.endsWith('.slice') || !isThere(unit), 'the unit is gone')
    assert.ok(!existsSync(`${TRACKED}${where}`))
  })

test('without cgroupsPath it is a scope of system.slice, with what a unit of a container has', async () => {
  using _ = await create(() => {})
  const unit = 'berth-c1.scope'
  assert.equal(show(unit, 'Slice'), 'system.slice')
  assert.equal(show(unit, 'Delegate'), 'yes')
  assert.equal(show(unit, 'CollectMode'), 'inactive-or-failed')
  assert.equal(show(unit, 'Description'), 'berth container c1')
  for (const name of ['CPUAccounting', 'MemoryAccounting', 'TasksAccounting'])
    assert.equal(show(unit, name), 'yes', name)
})

test('limits are in the unit and in the cgroup, and stay at daemon-reload and update', async () => {
  using _ = await create((config) => {
    config.linux.cgroupsPath = 'machine.slice:libpod:x'
    config.linux.resources = {
      memory: { limit: 64 << 20, reservation: 32 << 20 },
      cpu: { shares: 512, quota: 12_345, period: 100_000, cpus: '0', mems: '0' },
      pids: { limit: 50 },
      devices: [
        { allow: false, access: 'rwm' },
        { allow: true, type: 'c', major: 10, minor: 229, access: 'rw' },
      ],
    }
  })
  const unit = 'libpod-x.scope'
  const file = (controller: string, name: string) =>
    read(`${unified ? TRACKED : `/sys/fs/cgroup/${controller}`}/machine.slice/${unit}/${name}`)
  const figures = () =>
    unified
      ? {
          memory: file('memory', 'memory.max'),
          cpus: file('cpuset', 'cpuset.cpus'),
          weight: file('cpu', 'cpu.weight'),
          pids: file('pids', 'pids.max'),
        }
      : {
          memory: file('memory', 'memory.limit_in_bytes'),
          weight: file('cpu', 'cpu.shares'),
          pids: file('pids', 'pids.max'),
          devices: file('devices', 'devices.list').split('\n').sort(),
        }
  const first = figures()
  assert.equal(first.memory, String(64 << 20))
  assert.equal(first.pids, '50')
  assert.equal(show(unit, 'TasksMax'), '50')
  assert.equal(show(unit, unified ? 'MemoryMax' : 'MemoryLimit'), String(64 << 20))
  assert.equal(show(unit, 'CPUQuotaPerSecUSec'), '130ms')
  // what was asked for, not what systemd makes of it
  if (unified) assert.equal(file('cpu', 'cpu.max'), '12345 100000')
  else assert.equal(file('cpu', 'cpu.cfs_quota_us'), '12345')
  systemctl('daemon-reload')
  assert.deepEqual(figures(), first)

  await ok('update', '--pids-limit', '60', '--memory', '96M', 'c1')
  assert.equal(show(unit, 'TasksMax'), '60')
  const second = figures()
  assert.deepEqual([second.memory, second.pids], [String(96 << 20), '60'])
  systemctl('daemon-reload')
  assert.deepEqual(figures(), second)
  assert.deepEqual(second, { ...first, memory: second.memory, pids: second.pids })
})

test('annotations set properties of the unit', async () => {
  using _ = await create((config) => {
    config.annotations = {
      'org.systemd.property.TimeoutStopUSec': 'uint64 3000000',
      'org.systemd.property.Description': "'it is said so'",
      'org.systemd.property.After': "['basic.target']",
      'org.systemd.property.CollectMode': "'inactive'",
    }
  })
  assert.equal(show('berth-c1.scope', 'TimeoutStopUSec'), '3s')
  assert.equal(show('berth-c1.scope', 'Description'), 'it is said so')
  assert.match(show('berth-c1.scope', 'After'), /basic\.target/)
  assert.equal(show('berth-c1.scope', 'CollectMode'), 'inactive')
  await ok('delete', '--force', 'c1')
  assert.ok(!isThere('berth-c1.scope'))
})

/** What a create that fails says; it has to leave nothing. */
const failing = async (change: (config: Config) => void): Promise<string> => {
  using bundle = new Bundle(['/bin/sleep', '1000'], change)
  const { code, stderr } = await berth(['--systemd-cgroup', 'create', '--bundle', bundle.dir, 'c2'])
  assert.equal(code, 1, stderr)
  assert.ok(!isThere('berth-c2.scope'), 'no unit')
  assert.ok(!existsSync('/run/berth/c2'), 'no state')
  return stderr
}

test('a create that fails leaves no unit, whatever failed', async () => {
  const program = await failing((config) => {
    config.process.args = ['/no/such/program']
  })
  assert.match(program, /no such file/)
  const hook = await failing((config) => {
    config.hooks = { createRuntime: [{ path: '/bin/false', args: ['false'] }] }
  })
  assert.match(hook, /hook/)
  const property = await failing((config) => {
    config.annotations = { 'org.systemd.property.NoSuchThing': 'true' }
  })
  assert.match(property, /call systemd "StartTransientUnit berth-c2\.scope": .*NoSuchThing/)
})

test('a name that is taken is refused, and whose it is keeps it', async () => {
  const theirs = spawn('systemd-run', ['--scope', '--unit=berth-c2', 'sleep', '1000'], { stdio: 'ignore' })
  try {
    await until('their unit', () => show('berth-c2.scope', 'ActiveState') === 'active')
    using bundle = new Bundle(['/bin/sleep', '1000'])
    const { code, stderr } = await berth(['--systemd-cgroup', 'create', '--bundle', bundle.dir, 'c2'])
    assert.equal(code, 1)
    assert.match(stderr, /berth-c2\.scope/)
    assert.equal(show('berth-c2.scope', 'ActiveState'), 'active')
  } finally {
    systemctl('stop', 'berth-c2.scope')
    theirs.kill()
  }
})

test('the unit of a container that ends goes by itself, and delete does not miss it', async () => {
  using bundle = new Bundle(['/bin/true'])
  await ok('--systemd-cgroup', 'create', '--bundle', bundle.dir, 'c1')
  await ok('start', 'c1')
  await until('collected', () => !isThere('berth-c1.scope'))
  await ok('delete', 'c1')
})

test('where the manager has no socket of its own it is asked over the bus', async () => {
  renameSync(PRIVATE, `${PRIVATE}.away`)
  try {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    await ok('--systemd-cgroup', 'create', '--bundle', bundle.dir, 'c1')
    renameSync(`${PRIVATE}.away`, PRIVATE)
    assert.equal(show('berth-c1.scope', 'ActiveState'), 'active')
    renameSync(PRIVATE, `${PRIVATE}.away`)
    await ok('delete', '--force', 'c1')
  } finally {
    renameSync(`${PRIVATE}.away`, PRIVATE)
  }
  assert.ok(!isThere('berth-c1.scope'))
})

/** Runs a program as uid 1000, in a cgroup of that user's service manager. */
const AS_USER = `
const [cgroup, program, ...args] = process.argv.slice(1)
require('node:fs').writeFileSync(cgroup + '/cgroup.procs', String(process.pid))
process.setgroups([]); process.setgid(1000); process.setuid(1000)
process.execve(program, [program, ...args], { PATH: process.env.PATH, HOME: '/', XDG_RUNTIME_DIR: '/run/user/1000' })`

test('a user has units of its own service manager', { skip: !unified }, async () => {
  systemctl('start', 'user@1000.service')
  const manager = '/user.slice/user-1000.slice/user@1000.service'
  const cgroup = `${TRACKED}${manager}/caller`
  mkdirSync(cgroup)
  execFileSync('chown', ['-R', '1000:1000', cgroup])
  const run = (...args: string[]) => berth(['-e', AS_USER, cgroup, binary, ...args], {}, process.execPath)
  const unit = (property: string) =>
    execFileSync('systemctl', ['--user', 'show', '--value', '-p', property, 'berth-c1.scope'], {
      encoding: 'utf8',
      uid: 1000,
      env: { ...process.env, XDG_RUNTIME_DIR: '/run/user/1000' },
    }).trim()
  using bundle = new Bundle(['/bin/true'])
  rmSync(`${bundle.dir}/config.json`)
  execFileSync('chown', ['-R', '1000:1000', bundle.dir])
  assert.equal((await run('spec', '--rootless', '--bundle', bundle.dir)).stderr, '')
  const config = JSON.parse(read(`${bundle.dir}/config.json`)) as Config
  config.process.args = ['/bin/sleep', '1000']
  config.process.terminal = false
  config.linux.resources = { pids: { limit: 50 } }
  writeFileSync(`${bundle.dir}/config.json`, JSON.stringify(config))

  assert.equal((await run('--systemd-cgroup', 'run', '-d', '--bundle', bundle.dir, 'c1')).stderr, '')
  assert.equal(unit('ControlGroup'), `${manager}/user.slice/berth-c1.scope`)
  assert.equal(unit('TasksMax'), '50')
  assert.equal(read(`${TRACKED}${manager}/user.slice/berth-c1.scope/pids.max`), '50')
  const inside = await run('exec', 'c1', 'cat', '/proc/self/cgroup')
  assert.match(inside.stdout, /^0::.*$/m, inside.stderr)
  assert.equal((await run('update', '--pids-limit', '60', 'c1')).stderr, '')
  assert.equal(unit('TasksMax'), '60')
  assert.equal((await run('delete', '--force', 'c1')).stderr, '')
  assert.equal(unit('LoadState'), 'not-found')
  // which is in namespaces of its own
  systemctl('stop', 'user@1000.service', 'systemd-logind.service')
})

/** Something else in the place of systemd's sockets. */
const inPlace = async (run: () => Promise<void>): Promise<void> => {
  for (const path of [PRIVATE, BUS]) renameSync(path, `${path}.away`)
  try {
    await run()
  } finally {
    for (const path of [PRIVATE, BUS]) {
      rmSync(path, { force: true })
      renameSync(`${path}.away`, path)
    }
  }
}

test('nobody to ask: an error at once that says so', async () => {
  await inPlace(async () => {
    using bundle = new Bundle(['/bin/true'])
    const { code, stderr } = await berth(['--systemd-cgroup', 'create', '--bundle', bundle.dir, 'c2'])
    assert.equal(code, 1)
    assert.match(
      stderr,
      /call systemd "StartTransientUnit berth-c2\.scope": .*connecting to \/run\/dbus\/system_bus_socket/,
    )
    assert.ok(!existsSync('/run/berth/c2'))
  })
})

// half a minute: once will do
test('a manager that does not answer: an error in time, and nothing is left', { skip: !unified }, async () => {
  await inPlace(async () => {
    const silent = createServer().listen(PRIVATE)
    try {
      using bundle = new Bundle(['/bin/true'])
      const { code, stderr } = await berth(['--systemd-cgroup', 'create', '--bundle', bundle.dir, 'c2'])
      assert.equal(code, 1)
      assert.match(stderr, /no answer on \/run\/systemd\/private within 30000 ms/)
      assert.ok(!existsSync('/run/berth/c2'))
    } finally {
      silent.close()
    }
  })
})

test('the shim, told of no driver: a path in systemd’s form is a unit', async () => {
  using daemon = new Daemon()
  using image = new Image()
  const events = eventsSocket(daemon)
  const id = 'pod-mate'
  const unit = `cri-containerd-${id}.scope`
  const where = `${TRACKED}/kubepods.slice/kubepods-podx.slice/${unit}`
  const config = image.config(['/bin/sleep', '1000'])
  config.linux.cgroupsPath = `kubepods-podx.slice:cri-containerd:${id}`
  config.linux.resources = { ...config.linux.resources, memory: { limit: 64 << 20 } }
  const task = await Task.start(daemon, id, config)
  const pid = await task.create(image)
  assert.equal(read(`${where}/cgroup.procs`), String(pid))
  assert.equal(show(unit, 'ActiveState'), 'active')
  const limit = Buffer.from(JSON.stringify({ memory: { limit: 32 << 20 } }))
  const typeUrl = 'types.containerd.io/opencontainers/runtime-spec/1/LinuxResources'
  await task.call('Update', v2.UpdateRequest.encode({ id, resources: { typeUrl, value: limit } }).finish())
  assert.equal(show(unit, unified ? 'MemoryMax' : 'MemoryLimit'), String(32 << 20))
  await task.call('Kill', v2.KillRequest.encode({ id, signal: 9 }).finish())
  await task.call('Wait', v2.WaitRequest.encode({ id }).finish())
  await task.call('Delete', v2.DeleteRequest.encode({ id }).finish())
  assert.ok(!isThere(unit))
  await task.call('Shutdown', v2.ShutdownRequest.encode({ id }).finish())
  closeClients()
  events.close()
})
