/** S25 (CVE-2016-9962) and trap 2: a process that has not called execve yet is still ours, and a pod-mate may be root in its pid namespace. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { Canary, noCompiler } from '../harness/attack.ts'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { until } from '../harness/host.ts'
import { innerPid, ownUsers, Pod, privileged, stateOf } from '../harness/pod.ts'
import { berth } from '../harness/run.ts'

const id = `s25-${process.pid}`
const both =
  (...changes: ((config: Config) => void)[]) =>
  (config: Config) => {
    for (const change of changes) change(config)
  }
/** With every capability but those to look into processes: CAP_SYS_ADMIN and CAP_PERFMON may read the maps of any on newer kernels. */
const allButPtrace = (config: Config) => {
  privileged(config)
  for (const [set, names] of Object.entries(config.process.capabilities as Record<string, string[]>))
    config.process.capabilities[set] = names.filter(
      (name) => !['CAP_SYS_PTRACE', 'CAP_PERFMON', 'CAP_SYS_ADMIN'].includes(name),
    )
}

const MATES: readonly [string, (config: Config) => void][] = [
  ['root with the usual capabilities', () => {}],
  ['root with every capability but CAP_SYS_PTRACE and CAP_SYS_ADMIN', allButPtrace],
  ['root of a user namespace, with every capability in it', both(ownUsers, privileged)],
]

/** One that the root of a user namespace can reach too. */
const openBundle = (change: (config: Config) => void): Bundle => {
  const bundle = new Bundle(['/bin/sleep', '1000'], change)
  for (const path of [bundle.dir, join(bundle.dir, 'rootfs')]) chmodSync(path, 0o755)
  return bundle
}

const FREEZER = '/sys/fs/cgroup/freezer'

/** An exec into a container, held right before its first step: the frozen cgroup it is born into stops it. */
async function heldExec(container: string, during: (pid: number) => Promise<void>): Promise<void> {
  const cgroup = join(FREEZER, `berth-${container}`)
  const { pid: init } = await stateOf(container)
  // Those that are there stay outside of the frost.
  const aside = join(cgroup, 'aside')
  mkdirSync(aside)
  writeFileSync(join(aside, 'cgroup.procs'), String(init))
  writeFileSync(join(cgroup, 'freezer.state'), 'FROZEN')
  const exec = berth(['exec', '--ignore-paused', container, '/bin/true'])
  const members = () => readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').trim()
  try {
    await until('the exec in its cgroup', () => members() !== '')
    await during(Number(members()))
  } finally {
    writeFileSync(join(cgroup, 'freezer.state'), 'THAWED')
    assert.equal((await exec).code, 0)
    writeFileSync(join(cgroup, 'cgroup.procs'), String(init))
    rmdirSync(aside)
  }
}

describe('S25: processes that are still ours', { skip: notHere || noCompiler }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  for (const [who, change] of MATES) {
    it(`${who} gets nothing out of a parked init`, async () => {
      using canary = new Canary()
      await using pod = await Pod.start(`${id}-mate`, change)
      using bundle = openBundle(pod.join)
      const made = await berth(['create', '--bundle', bundle.dir, id])
      assert.equal(made.code, 0, made.stderr)
      const { pid } = await stateOf(id)
      assert.deepEqual(await pod.pry(pid, canary.file), [])
      // and the attack is one: it gets at a process that has called execve and is of its own kind
      const sleeper = (await stateOf(pod.id)).pid
      assert.ok((await pod.pry(sleeper)).includes('readlink exe'))
    })

    it(`${who} gets nothing out of an exec before its execve`, {
      skip: existsSync(FREEZER) ? false : 'needs a v1 freezer to hold it there',
    }, async () => {
      using canary = new Canary()
      await using pod = await Pod.start(`${id}-mate`, change)
      using bundle = openBundle(pod.join)
      const made = await berth(['run', '--detach', '--bundle', bundle.dir, id])
      assert.equal(made.code, 0, made.stderr)
      await heldExec(id, async (pid) => {
        assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /^berth-(init|monitor)\0/)
        assert.deepEqual(await pod.pry(pid, canary.file), [])
      })
    })
  }

  it('a container in the host’s pid namespace gets nothing out of its monitor, its parked neighbour or the controller', async () => {
    const hostPids = (config: Config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }: { type: string }) => type !== 'pid')
    }
    using canary = new Canary()
    await using pod = await Pod.start(`${id}-mate`, both(hostPids, allButPtrace))
    using bundle = new Bundle(['/bin/sleep', '1000'], hostPids)
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    const { init, monitor } = JSON.parse(readFileSync(`/run/berth/${id}/state.json`, 'utf8'))
    const own = JSON.parse(readFileSync(`/run/berth/${pod.id}/state.json`, 'utf8')).monitor
    for (const { pid } of [init, monitor, own]) {
      assert.equal(innerPid(pid) || String(pid), String(pid))
      const done = await berth(['exec', pod.id, '/pry', String(pid), canary.file])
      assert.equal(done.stdout, '', `of ${readFileSync(`/proc/${pid}/cmdline`, 'utf8')}`)
    }
  })

  it('whoever may look into any process (CAP_SYS_PTRACE on the host) finds a parked init to hold nothing of the host’s', async () => {
    using canary = new Canary()
    await using pod = await Pod.start(`${id}-mate`, privileged)
    using bundle = openBundle(pod.join)
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    const { pid } = await stateOf(id)
    const got = await pod.pry(pid, canary.file)
    assert.ok(got.includes('ptrace seize'), 'the attack did not get where it has to fail')
    const fds = got.filter((line) => line.startsWith('readlink fd/')).map((line) => Number(line.slice(12)))
    assert.deepEqual(fds.slice(0, 3), [0, 1, 2])
    assert.equal(fds.length, 4, 'stdio and the control socket')
    assert.deepEqual(
      got.filter((line) => line.includes(canary.file) || /write|clone|remount|environ/.test(line)),
      [],
    )
    // no word of the caller's environment or the monitor's arguments
    assert.equal(readFileSync(`/proc/${pid}/environ`, 'utf8'), '')
    assert.equal(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ''), 'berth-init')
    assert.equal(readFileSync(`/proc/${pid}/comm`, 'utf8'), 'berth-init\n')
  })
})
