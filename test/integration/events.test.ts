/** `events`: runc's figures by runc's names, and what the kernel tells when it tells it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { binary, controllerPids, until } from '../harness/host.ts'
import { berth, run } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const v1 = existsSync('/sys/fs/cgroup/memory')

/** Figures that are left out where they are 0, which is as it happens. */
const MAY_LACK = new Set(['cache', 'usage', 'max'])

/** The names of all members, in their order, without the values. */
const shapeOf = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(shapeOf)
  if (typeof value !== 'object' || value === null) return typeof value
  return Object.entries(value)
    .filter(([name, item]) => typeof item !== 'number' || !MAY_LACK.has(name))
    .map(([name, item]) => [name, shapeOf(item)])
}

describe('events', { skip: notHere }, () => {
  const id = `events-${process.pid}`
  deletesAfterEach(id)
  const well = async (...args: string[]) => {
    const done = await berth(args)
    assert.equal(done.code, 0, done.stderr)
    return done.stdout
  }
  /** `berth events`, and what it has printed so far. */
  const watching = (...flags: string[]) => {
    const child = spawn(binary, ['events', ...flags, id], { stdio: ['ignore', 'pipe', 'inherit'] })
    const seen: { type: string; id: string; data?: { pids: { current: number } } }[] = []
    let rest = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      seen.push(...lines.map((line) => JSON.parse(line)))
    })
    const ended = new Promise<number | null>((done) => child.on('close', done))
    return { child, seen, ended }
  }
  const eats = ['/bin/sh', '-c', 'tail /dev/zero']

  it('--stats prints what runc prints', { skip: v1 ? false : 'needs cgroup v1' }, async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'echo >/dev/null; sleep 1000'], (config) => {
      config.linux.resources.memory = { limit: 64 << 20 }
      config.linux.resources.cpu = { quota: 50000, period: 100000 }
      config.linux.resources.pids = { limit: 20 }
    })
    const shown: { type: string; id: string; data: Record<string, unknown> }[] = []
    for (const program of ['runc', 'berth']) {
      const does = (...args: string[]) =>
        program === 'runc' ? run('runc', args, { stdio: ['ignore', 'ignore', 'ignore'] }) : berth(args)
      assert.equal((await does('run', '-d', '--bundle', bundle.dir, id)).code, 0)
      const stats = await (program === 'runc'
        ? run(program, ['events', '--stats', id])
        : berth(['events', '--stats', id]))
      await does('delete', '--force', id)
      assert.equal(stats.code, 0, stats.stderr)
      shown.push(JSON.parse(stats.stdout))
    }
    const [theirs, ours] = shown
    assert.ok(theirs && ours)
    assert.deepEqual(
      [ours.type, ours.id, Object.keys(ours), Object.keys(ours.data)],
      [theirs.type, theirs.id, Object.keys(theirs), Object.keys(theirs.data)],
    )
    for (const name of ['cpuset', 'memory', 'hugetlb', 'intel_rdt', 'network_interfaces'])
      assert.deepEqual(shapeOf(ours.data[name]), shapeOf(theirs.data[name]), name)
    assert.deepEqual(ours.data.cpuset, theirs.data.cpuset)
    const limit = ({ data }: typeof ours) => (data.memory as { usage: { limit: number } }).usage.limit
    assert.deepEqual([limit(ours), limit(theirs)], [64 << 20, 64 << 20])
    assert.deepEqual(
      [ours, theirs].map(({ data }) => (data.pids as { limit: number }).limit),
      [20, 20],
    )
  })

  it('--stats on cgroup v2 tells what the files say', { skip: v1 ? 'needs cgroup v2' : false }, async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.linux.resources.memory = { limit: 64 << 20, swap: 80 << 20 }
      config.linux.resources.pids = { limit: 20 }
    })
    await well('run', '-d', '--bundle', bundle.dir, id)
    const { type, data } = JSON.parse(await well('events', '--stats', id))
    assert.equal(type, 'stats')
    assert.deepEqual([data.memory.usage.limit, data.memory.swap.limit], [64 << 20, 80 << 20])
    assert.ok(data.memory.usage.usage > 0 && data.memory.raw.anon > 0 && data.cpu.usage.total > 0)
    assert.deepEqual(data.pids, { current: 1, limit: 20 })
    assert.deepEqual(Object.keys(data).slice(-2), ['intel_rdt', 'network_interfaces'])
  })

  it('prints figures in every interval, and ends with the container', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    await well('run', '-d', '--bundle', bundle.dir, id)
    const { seen, ended } = watching('--interval', '50ms')
    await until('three lines', () => seen.length >= 3)
    assert.deepEqual([...new Set(seen.map(({ type, data }) => `${type} ${data?.pids.current}`))], ['stats 1'])
    await well('kill', id, 'KILL')
    assert.equal(await ended, 0)
  })

  it('tells an OOM kill when it happens, also to a controller that came later', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.linux.resources.memory = { limit: 16 << 20, swap: 16 << 20 }
    })
    await well('run', '-d', '--bundle', bundle.dir, id)
    const { seen, ended } = watching('--interval', '1h')
    // It watches once it has asked the kernel for the events: before that it would miss one.
    const first = async () => {
      await berth(['exec', id, ...eats])
      return seen.length > 0
    }
    await until('an OOM kill is told', first, 30_000)
    const count = seen.length
    for (const pid of controllerPids()) process.kill(pid, 'SIGKILL')
    assert.equal((await berth(['exec', id, ...eats])).code, 137)
    await until('the next one too', () => seen.length > count)
    assert.deepEqual([...new Set(seen.map((event) => JSON.stringify(event)))], [`{"type":"oom","id":"${id}"}`])
    await well('kill', id, 'KILL')
    assert.equal(await ended, 0)
  })

  it('tells the OOM kill that ends the container, and then ends', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'exec tail /dev/zero'], (config) => {
      config.linux.resources.memory = { limit: 16 << 20, swap: 16 << 20 }
    })
    await well('create', '--bundle', bundle.dir, id)
    const { seen, ended } = watching('--interval', '50ms')
    await until('it watches', () => seen.length > 0)
    await well('start', id)
    assert.equal(await ended, 0)
    // Figures of an interval may come between that and the end.
    const types = seen.map(({ type }) => type)
    assert.ok(types.includes('oom'), types.join())
  })

  it('refuses a stopped container and what is no length of time', async () => {
    using bundle = new Bundle(['/bin/true'])
    await well('create', '--bundle', bundle.dir, id)
    for (const bad of ['0', '0s', '5', '-1s', 's', '1x', '1e3s']) {
      const done = await berth(['events', `--interval=${bad}`, id])
      assert.equal(done.code, 2, bad)
      assert.match(done.stderr, /^berth: events: --interval /)
    }
    await well('start', id)
    await until('stopped', async () => JSON.parse(await well('state', id)).status === 'stopped')
    for (const flags of [[], ['--stats']]) {
      const done = await berth(['events', ...flags, id])
      assert.equal(done.code, 1)
      assert.match(done.stderr, new RegExp(`container with id ${id} is not running`))
    }
  })

  it('ends where nobody reads it any more', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    await well('run', '-d', '--bundle', bundle.dir, id)
    const { child, seen, ended } = watching('--interval', '20ms')
    await until('a line', () => seen.length > 0)
    child.stdout.destroy()
    assert.notEqual(await ended, undefined)
  })
})
