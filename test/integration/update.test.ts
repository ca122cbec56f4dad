/** update on the command line: what is written to the cgroups is what runc writes, and a failed one changes nothing. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { nothingLeft, snapshot } from '../harness/host.ts'
import { berth, run } from '../harness/run.ts'

const V1 = '/sys/fs/cgroup/memory'
const skip = notHere || (existsSync(V1) ? false : 'needs cgroup v1 (test/vm has v2)')
const FILES = [
  'memory/memory.limit_in_bytes',
  'memory/memory.memsw.limit_in_bytes',
  'memory/memory.soft_limit_in_bytes',
  'cpu/cpu.shares',
  'cpu/cpu.cfs_period_us',
  'cpu/cpu.cfs_quota_us',
  'cpuset/cpuset.cpus',
  'cpuset/cpuset.mems',
  'pids/pids.max',
]

describe('update', { skip }, () => {
  const id = `update-${process.pid}`
  let before: Set<string>
  let bundle: Bundle
  beforeEach(() => {
    before = snapshot()
    bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.linux.resources = { memory: { limit: 64 << 20, swap: 64 << 20 }, pids: { limit: 20 } }
    })
  })
  afterEach(async () => {
    bundle[Symbol.dispose]()
    await berth(['delete', '--force', id])
    await nothingLeft(before)
  })

  const read = (file: string, path: string): string => {
    const [controller = '', name = ''] = file.split('/')
    const full = `/sys/fs/cgroup/${controller}${path}/${name}`
    return existsSync(full) ? readFileSync(full, 'utf8').trim() : 'none'
  }
  const limits = (path: string) => Object.fromEntries(FILES.map((file) => [file, read(file, path)]))

  const CASES: Readonly<Record<string, readonly string[]>> = {
    'both limits of memory up': ['--memory', '128m', '--memory-swap', '256m'],
    'both limits of memory down': ['--memory', '32m', '--memory-swap', '32m'],
    'no limit of memory': ['--memory', '-1'],
    'a soft limit': ['--memory-reservation', '16m'],
    'CPU time': ['--cpu-period', '50000', '--cpu-quota', '25000', '--cpu-share', '512'],
    'a longer period beside a quota': ['--cpu-period', '1000000', '--cpu-quota', '1000'],
    'CPUs and nodes': ['--cpuset-cpus', '0', '--cpuset-mems', '0'],
    processes: ['--pids-limit', '33'],
    'any number of processes': ['--pids-limit', '-1'],
  }
  for (const [name, flags] of Object.entries(CASES))
    it(`as runc: ${name}`, async () => {
      const made: Record<string, string>[] = []
      for (const program of ['runc', 'berth']) {
        bundle.config.linux.cgroupsPath = `/berth/${program}-${id}`
        bundle.write()
        const does = (...args: string[]) => (program === 'runc' ? run('runc', args, { stdio: 'ignore' }) : berth(args))
        assert.equal((await does('run', '-d', '--bundle', bundle.dir, id)).code, 0)
        const done = await does('update', ...flags, id)
        made.push(limits(`/berth/${program}-${id}`))
        await does('delete', '--force', id)
        assert.equal(done.code, 0, done.stderr)
      }
      execFileSync('sh', [
        '-c',
        'find /sys/fs/cgroup -maxdepth 2 -name berth -type d -exec rmdir {} + 2>/dev/null; true',
      ])
      assert.deepEqual(made[1], made[0])
    })

  it('takes a document from a file and from standard input', async () => {
    const path = `/berth-${id}`
    assert.equal((await berth(['run', '-d', '--bundle', bundle.dir, id])).code, 0)
    const document = { memory: { limit: 33554432, swap: 0 }, cpu: { shares: 0, cpus: '' }, pids: { limit: 44 } }
    writeFileSync(`${bundle.dir}/new.json`, JSON.stringify(document))
    const done = await berth(['update', '-r', `${bundle.dir}/new.json`, id])
    assert.equal(done.code, 0, done.stderr)
    assert.equal(read('memory/memory.limit_in_bytes', path), '33554432')
    assert.equal(read('pids/pids.max', path), '44')
    const piped = await berth(['update', '-r', '-', id], { input: '{"pids":{"limit":55}}' })
    assert.equal(piped.code, 0, piped.stderr)
    assert.equal(read('pids/pids.max', path), '55')
    assert.equal(read('memory/memory.limit_in_bytes', path), '33554432')
  })

  it('keeps what it was told for the commands that follow', async () => {
    assert.equal((await berth(['run', '-d', '--bundle', bundle.dir, id])).code, 0)
    assert.equal((await berth(['update', '--pids-limit', '66', id])).code, 0)
    const config = JSON.parse(readFileSync(`/run/berth/${id}/config.json`, 'utf8'))
    assert.equal(config.linux.resources.pids.limit, 66)
    assert.equal(config.linux.resources.memory.limit, 64 << 20)
  })

  it('changes nothing where a part of it can not be had', async () => {
    assert.equal((await berth(['run', '-d', '--bundle', bundle.dir, id])).code, 0)
    const path = `/berth-${id}`
    const old = limits(path)
    const bad: readonly (readonly string[])[] = [
      ['--pids-limit', '77', '--cpuset-cpus', '4000'],
      ['--memory', '32m', '--memory-swap', '16m'],
      ['--memory', '32m', '--cpu-quota', '1'],
      ['--pids-limit', 'many'],
      ['--memory', '1.3'],
      ['-r', '/nowhere'],
    ]
    for (const flags of bad) {
      const done = await berth(['update', ...flags, id])
      assert.notEqual(done.code, 0, flags.join(' '))
      assert.equal(done.stderr.trim().split('\n').length, 1, done.stderr)
      assert.deepEqual(limits(path), old, flags.join(' '))
    }
  })
})
