/** Traps 2, 3, 8, 10, 12, 14 and 18 (reference names in the titles): what a parked container, its monitor and the controller give away. Trap 1 is S01's, what pod-mates see S25's. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { afterEach, describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { binary, controllerPids, leftOver, ourProcesses, snapshot, until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

const id = `park-${process.pid}`
const state = async (name = id) => JSON.parse((await berth(['state', name])).stdout)
const links = (pid: number) =>
  readdirSync(`/proc/${pid}/fd`)
    .map((fd) => [Number(fd), readlinkSync(`/proc/${pid}/fd/${fd}`)] as const)
    .sort(([a], [b]) => a - b)
const field = (pid: number, name: string) =>
  new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
/** Monitors that are there now and were not before. */
const newMonitors = (before: Set<string>) =>
  ourProcesses().filter(
    ({ pid, name, state }) =>
      !before.has(`process ${pid} ${name} ${state}`) &&
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('berth-monitor') &&
      // a parked init looks the same, but for its namespaces
      !field(pid, 'NSpid')?.includes('\t'),
  )

/** Creates a container whose stdio are pipes, as an engine does, with descriptors of the caller left open. */
async function create(bundle: Bundle, ...flags: string[]): Promise<number> {
  const leak = openSync('/etc/passwd', 'r')
  try {
    const child = spawn(binary, ['create', '--bundle', bundle.dir, ...flags, id], {
      stdio: ['pipe', 'pipe', 'pipe', leak, leak],
    })
    const text: string[] = []
    child.stderr?.on('data', (data) => text.push(String(data)))
    const code = await new Promise((resolve) => child.on('exit', resolve))
    assert.equal(code, 0, text.join(''))
  } finally {
    closeSync(leak)
  }
  return (await state()).pid
}

describe('parked', { skip: notHere }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  it('trap 2: a parked init has stdio and its control socket open, and is not dumpable', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    const pid = await create(bundle)
    const open = links(pid)
    assert.deepEqual(open.map(([fd]) => fd).slice(0, 3), [0, 1, 2])
    assert.equal(open.length, 4, JSON.stringify(open))
    assert.match(open[3]?.[1] ?? '', /^socket:/)
    // the environment of the runtime is not there to be read either
    assert.equal(readFileSync(`/proc/${pid}/environ`, 'utf8'), '')
    const maps = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    assert.ok(Number(/Private_Dirty: +(\d+)/.exec(maps)?.[1]) < 1024, maps)
  })

  it('trap 3: monitor and controller keep no descriptor of the caller', async () => {
    const before = snapshot()
    using bundle = new Bundle(['/bin/sleep', '1000'])
    await create(bundle)
    const monitors = newMonitors(before)
    assert.equal(
      monitors.length,
      1,
      monitors.map(({ pid }) => readFileSync(`/proc/${pid}/status`, 'utf8').slice(0, 600)).join('\n'),
    )
    for (const { pid } of [...monitors, ...controllerPids().map((each) => ({ pid: each }))]) {
      for (const [fd, link] of links(pid)) {
        assert.doesNotMatch(link, /passwd|pipe:.*\bcaller/, `descriptor ${fd} of ${pid}`)
        // A controller that a test has started in a mount namespace of its own, which is gone by now, has that one's /dev.
        if (fd < 3) assert.match(link, /^(\/dev)?\/null$|controller-.*\.log/, `descriptor ${fd} of ${pid}`)
      }
      assert.equal(readlinkSync(`/proc/${pid}/cwd`), '/')
    }
  })

  it('trap 3: preserved descriptors reach the program, and nobody else keeps them', async () => {
    const before = snapshot()
    using bundle = new Bundle(['/bin/sh', '-c', 'ls -l /proc/self/fd | grep -c passwd'])
    await create(bundle, '--preserve-fds', '2')
    for (const { pid } of newMonitors(before)) for (const [, link] of links(pid)) assert.doesNotMatch(link, /passwd/)
    const { pid } = await state()
    assert.equal(links(pid).filter(([, link]) => link.endsWith('passwd')).length, 2)
  })

  it('trap 8: the cgroup namespace has its root at the container', async () => {
    using bundle = new Bundle(['/bin/cat', '/proc/self/cgroup'], (config) => {
      config.linux.namespaces.push({ type: 'cgroup' })
    })
    const done = await berth(['run', '--bundle', bundle.dir, id])
    for (const line of done.stdout.trim().split('\n')) assert.match(line, /^\d+:[^:]*:\/$/)
  })

  it('trap 10: a create that is killed at any moment leaves what `delete --force` removes', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    const before = snapshot()
    for (let i = 0; i < 40; i++) {
      const child = spawn(binary, ['create', '--bundle', bundle.dir, id])
      const ended = new Promise((resolve) => child.on('exit', resolve))
      await new Promise((resolve) => setTimeout(resolve, i))
      child.kill('SIGKILL')
      await ended
      const done = await berth(['delete', '--force', id])
      assert.equal(done.code, 0, done.stderr)
      let left: string[] = []
      await until('nothing left', () => {
        left = leftOver(before)
        return left.length === 0
      }).catch(() => assert.deepEqual(left, [], `killed after ${i} ms`))
    }
  })

  it('trap 10: a stored plan that others may write is refused', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    await create(bundle)
    const undo = `/run/berth/${id}/undo`
    chmodSync(undo, 0o666)
    const done = await berth(['delete', '--force', id])
    assert.equal(done.code, 1)
    assert.match(done.stderr, /writable|undo/)
    // what the plan would have removed is still there, and so is the plan
    chmodSync(undo, 0o600)
    assert.ok(existsSync(`/sys/fs/cgroup/pids/berth-${id}`))
  })

  it('trap 12: the controller has no capability, no new privileges, and sees nothing of the host', async () => {
    using bundle = new Bundle()
    await create(bundle)
    const [controller] = controllerPids()
    assert.ok(controller)
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.equal(field(controller, set), '0000000000000000')
    assert.equal(field(controller, 'NoNewPrivs'), '1')
    for (const type of ['mnt', 'net', 'pid', 'ipc'])
      assert.notEqual(readlinkSync(`/proc/${controller}/ns/${type}`), readlinkSync(`/proc/self/ns/${type}`))
    const seen = readdirSync(`/proc/${controller}/root`)
    for (const hidden of ['run', 'var', 'etc', 'sys', 'home', 'root', 'boot']) assert.ok(!seen.includes(hidden), hidden)
    for (const line of readFileSync(`/proc/${controller}/mountinfo`, 'utf8').trim().split('\n'))
      assert.match(line.split(' ')[5] ?? '', /\bro\b/, line)
  })

  it('trap 14: who calls first decides nothing of the controller', async () => {
    for (const pid of controllerPids()) process.kill(pid, 'SIGKILL')
    const script = `umask 0; cd /tmp; trap '' TERM USR1; exec nice -n 5 env NODE_OPTIONS=--require=/nope LD_PRELOAD=/nope.so "$0" list -q`
    execFileSync('/bin/sh', ['-c', script, binary])
    const [controller] = controllerPids()
    assert.ok(controller)
    assert.equal(field(controller, 'Umask'), '0077')
    assert.equal(readlinkSync(`/proc/${controller}/cwd`), '/')
    assert.equal(readFileSync(`/proc/${controller}/environ`, 'utf8').includes('NODE_OPTIONS'), false)
    assert.equal(readFileSync(`/proc/${controller}/environ`, 'utf8').includes('LD_PRELOAD'), false)
    const stat = readFileSync(`/proc/${controller}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    assert.equal(stat[16], '0', 'nice')
    assert.notEqual(Number(stat[3]), process.pid, 'session')
    for (const line of readFileSync(`/proc/${controller}/cgroup`, 'utf8').trim().split('\n'))
      assert.match(line, /:\/(berth-controller)?$/)
  })

  it('trap 18: a parked container whose monitor died is stopped, and deletable', async () => {
    const before = snapshot()
    using bundle = new Bundle(['/bin/sleep', '1000'])
    await create(bundle)
    const [monitor] = newMonitors(before)
    assert.ok(monitor)
    process.kill(monitor.pid, 'SIGKILL')
    await until('stopped', async () => (await state()).status === 'stopped')
    const started = await berth(['start', id])
    assert.equal(started.code, 1)
    assert.equal((await berth(['delete', id])).code, 0)
  })

  it('trap 18: a running container outlives its monitor', async () => {
    const before = snapshot()
    using bundle = new Bundle(['/bin/sleep', '1000'])
    const pid = await create(bundle)
    await berth(['start', id])
    const [monitor] = newMonitors(before)
    assert.ok(monitor)
    process.kill(monitor.pid, 'SIGKILL')
    await until('monitor gone', () => newMonitors(before).length === 0)
    assert.deepEqual(await state().then(({ status, pid: p }) => [status, p]), ['running', pid])
    assert.equal((await berth(['exec', id, '/bin/true'])).code, 0)
    assert.equal((await berth(['kill', id, 'KILL'])).code, 0)
    await until('stopped', async () => (await state()).status === 'stopped')
    assert.equal((await berth(['delete', id])).code, 0)
  })

  it('a parked container whose caller died is still there', async () => {
    using bundle = new Bundle(['/bin/true'])
    execFileSync('/bin/sh', ['-c', `"$0" create --bundle ${bundle.dir} ${id} </dev/null >/dev/null 2>&1`, binary])
    assert.equal((await state()).status, 'created')
  })
})
