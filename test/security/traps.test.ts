/** Traps 17, 19, 21, 24 and 25: exits that others reap, OOM kills, filters, pids that are somebody else's by now, and what engines take for granted. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { Bundle, notHere } from '../harness/bundle.ts'
import { binary, hasEnded, until } from '../harness/host.ts'
import { closeClients, eventsSocket, Image, Task } from '../harness/life.ts'
import { stateOf } from '../harness/pod.ts'
import { berth } from '../harness/run.ts'
import { Daemon } from '../harness/shim.ts'

const v2 = containerd.task
const id = `trap-${process.pid}`
const stateFile = (name: string) => `/run/berth/${id}/${name}`
const read = (name: string) => JSON.parse(readFileSync(stateFile(name), 'utf8'))
const [major = 0, minor = 0] = execFileSync('uname', ['-r'], { encoding: 'utf8' }).split('.').map(Number)
const tellsReaped = major > 6 || (major === 6 && minor >= 15)

describe('traps', { skip: notHere }, () => {
  afterEach(() => berth(['delete', '--force', id]))
  after(closeClients)

  it('trap 17: the exit code of an init that its engine has reaped is told by the pidfd, from Linux 6.15 on; before, 255 stands for unknown', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'read _; exit 7'])
    // Its parent is this shell, a subreaper as far as it knows: it reaps at once, while the monitor can't look.
    const script = `"$0" create --bundle "$1" "$2" <"$3" >/dev/null 2>&1 || exit 1; "$0" start "$2"; read _; wait; exec sleep 60`
    const fifo = join(bundle.dir, 'fifo')
    execFileSync('mkfifo', [fifo])
    const shell = spawn('/bin/sh', ['-c', script, binary, bundle.dir, id, fifo], {
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    try {
      const hold = spawn('/bin/sh', ['-c', `exec 3>"$0"; read _; echo >&3`, fifo], {
        stdio: ['pipe', 'ignore', 'inherit'],
      })
      await until(
        'running',
        async () => existsSync(stateFile('state.json')) && (await stateOf(id)).status === 'running',
      )
      const { init, monitor } = read('state.json')
      process.kill(monitor.pid, 'SIGSTOP')
      hold.stdin.end('\n')
      await until('ended', () => hasEnded(init.pid))
      const reaped = () => !existsSync(`/proc/${init.pid}`)
      // Whoever is the parent (this shell's subreaper, or process 1) reaps it, or this test's own process does on its end.
      await until('reaped', reaped, 3000).catch(() => undefined)
      process.kill(monitor.pid, 'SIGCONT')
      await until('told', () => existsSync(stateFile('exit.json')))
      assert.equal(read('exit.json').status, reaped() && !tellsReaped ? 255 << 8 : 7 << 8)
    } finally {
      shell.kill('SIGKILL')
    }
  })

  it('trap 17: after its monitor’s death a container ends as stopped, with no exit code that nobody knows', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    const { init, monitor } = read('state.json')
    process.kill(monitor.pid, 'SIGKILL')
    process.kill(init.pid, 'SIGKILL')
    await until('stopped', async () => (await stateOf(id)).status === 'stopped')
    assert.equal(existsSync(stateFile('exit.json')), false)
    assert.equal((await berth(['delete', id])).code, 0)
  })

  it('trap 17: a shim that is killed leaves the exit of a running task to `delete`, as 137', async () => {
    using daemon = new Daemon()
    using image = new Image()
    const task = await Task.start(daemon, id, image.config(['/bin/sleep', '1000']))
    const pid = await task.create(image)
    await task.call('Start', v2.StartRequest.encode({ id }).finish())
    const { shimPid } = v2.ConnectResponse.decode(await task.call('Connect', v2.ConnectRequest.encode({ id }).finish()))
    process.kill(shimPid, 'SIGKILL')
    task.client.close()
    const response = v2.DeleteResponse.decode(await daemon.delete(id))
    assert.deepEqual([response.pid, response.exitStatus], [pid, 137])
    assert.ok(hasEnded(pid))
  })

  it('trap 19: an OOM kill is published before the exit that it causes, every time', async (t) => {
    if (!existsSync('/sys/fs/cgroup/memory/memory.limit_in_bytes') && !existsSync('/sys/fs/cgroup/cgroup.controllers'))
      return t.skip('this host has no memory controller')
    using daemon = new Daemon()
    using image = new Image()
    const events = eventsSocket(daemon)
    try {
      for (let round = 0; round < 5; round++) {
        events.topics.length = 0
        const name = `${id}-${round}`
        const config = image.config(['/bin/sh', '-c', 'exec tail /dev/zero'])
        config.linux.resources = { ...config.linux.resources, memory: { limit: 8 << 20, swap: 8 << 20 } }
        const task = await Task.start(daemon, name, config)
        assert.equal(await task.live(daemon, image), 137)
        await until('exit', () => events.topics.includes('/tasks/delete'))
        const order = events.topics.filter((topic) => topic === '/tasks/oom' || topic === '/tasks/exit')
        assert.deepEqual(order, ['/tasks/oom', '/tasks/exit'])
      }
    } finally {
      events.close()
    }
  })

  it('trap 21: a filter of no more than the published calls lets a container start, and one without them is refused at create', async () => {
    const filter = (names: readonly string[]) => ({
      defaultAction: 'SCMP_ACT_KILL_PROCESS',
      architectures: [process.arch === 'arm64' ? 'SCMP_ARCH_AARCH64' : 'SCMP_ARCH_X86_64'],
      syscalls: [{ names, action: 'SCMP_ACT_ALLOW' }],
    })
    using bundle = new Bundle(['/bin/true'])
    for (const missing of ['read', 'execve']) {
      bundle.config.linux.seccomp = filter(['read', 'execve', 'write', 'exit_group'].filter((name) => name !== missing))
      bundle.write()
      const done = await berth(['create', '--bundle', bundle.dir, id])
      assert.equal(done.code, 1)
      assert.match(done.stderr, new RegExp(`seccomp.*refuses.*${missing}`))
    }
    // The program itself is killed at its first other call: it was reached, and start is no failure.
    bundle.config.linux.seccomp = filter(['read', 'execve', 'write', 'exit_group'])
    bundle.write()
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    assert.equal((await berth(['start', id])).code, 0)
    await until('its end is written down', () => existsSync(stateFile('exit.json')))
    assert.equal(read('exit.json').status & 0x7f, 31)
    await berth(['delete', '--force', id])
    // An execve that fails is told from behind the same filter.
    writeFileSync(join(bundle.dir, 'rootfs/broken'), '#!/no/interpreter\n', { mode: 0o755 })
    bundle.config.process.args = ['/broken']
    bundle.write()
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    const start = await berth(['start', id])
    assert.equal(start.code, 1)
    assert.match(start.stderr, /\/broken.*no such file or directory/)
  })

  it('trap 24: a pid that is another process’s by now is neither entered, nor signalled, nor waited for', async (t) => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    const { init, monitor } = read('state.json')
    process.kill(monitor.pid, 'SIGKILL') // it would write down how init ended
    process.kill(init.pid, 'SIGKILL')
    await until('reaped', () => !existsSync(`/proc/${init.pid}`), 5000).catch(() => undefined)
    if (existsSync(`/proc/${init.pid}`)) return t.skip('nobody reaps here')
    // Processes are told apart by pid and start time, in clock ticks: no pid comes round in one, but where it is set, as here.
    const ticks = () => Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 100
    await until('the next clock tick', () => ticks() > init.startTime + 1)
    // The next process gets that pid, unless another is faster.
    let stranger: ReturnType<typeof spawn> | undefined
    for (let tries = 0; tries < 20 && stranger?.pid !== init.pid; tries++) {
      stranger?.kill('SIGKILL')
      writeFileSync('/proc/sys/kernel/ns_last_pid', String(init.pid - 1))
      stranger = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' })
    }
    try {
      if (stranger?.pid !== init.pid) return t.skip('the pid went to others')
      assert.equal((await stateOf(id)).status, 'stopped')
      const exec = await berth(['exec', id, '/bin/true'])
      assert.notEqual(exec.code, 0)
      assert.match(exec.stderr, /stopped container/)
      assert.notEqual((await berth(['kill', id, 'KILL'])).code, 0)
      assert.equal((await berth(['delete', '--force', id])).code, 0)
      assert.equal(stranger?.exitCode, null)
      assert.equal(stranger?.signalCode, null)
    } finally {
      stranger?.kill('SIGKILL')
    }
  })

  it('trap 25: what engines ask of a runtime: probes, LISTEN_FDS, the log as JSON', async () => {
    const version = await berth(['--version'])
    assert.equal(version.code, 0)
    assert.match(version.stdout, /^berth version \S+/)
    assert.match(version.stdout, /^spec: \d/m)
    assert.match(JSON.parse((await berth(['features'])).stdout).ociVersionMax, /^1\./)
    const log = `/tmp/${id}.log`
    const failed = await berth(['--log', log, '--log-format', 'json', 'start', `${id}-none`])
    assert.equal(failed.code, 1)
    const lines = readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.deepEqual([lines.at(-1).level, typeof lines.at(-1).time], ['error', 'string'])
    assert.match(lines.at(-1).msg, /does not exist/)
    using bundle = new Bundle(['/bin/sh', '-c', 'echo $LISTEN_FDS $LISTEN_PID; cat <&3'])
    const file = join(bundle.dir, 'activated')
    writeFileSync(file, 'by systemd\n')
    const run = `exec 3<"$3"; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" run --bundle "$1" "$2"`
    assert.equal(
      execFileSync('/bin/sh', ['-c', run, binary, bundle.dir, id, file], { encoding: 'utf8' }),
      '1 1\nby systemd\n',
    )
  })
})
