/** The life of a container on the command line, by hand, on the real kernel. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `life-${process.pid}`
const state = async (name = id) => JSON.parse((await berth(['state', name])).stdout)
/** Fields of /proc/PID/status that tell the policy in force. */
const policyOf = (pid: number) =>
  Object.fromEntries(
    readFileSync(`/proc/${pid}/status`, 'utf8')
      .split('\n')
      .filter((line) => /^(Cap...|NoNewPrivs|Seccomp):/.test(line))
      .map((line) => line.split(':\t')),
  )
const stopped = () => until('stopped', async () => (await state()).status === 'stopped')

describe('lifecycle', { skip: notHere }, () => {
  deletesAfterEach(id)

  it('creates, starts, runs and deletes', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'echo hello; exit 3'])
    const created = await berth(['create', '--bundle', bundle.dir, id])
    assert.deepEqual({ ...created, stdout: '' }, { code: 0, signal: null, stdout: '', stderr: '' })
    const shown = await state()
    assert.equal(shown.status, 'created')
    assert.equal(shown.id, id)
    assert.equal(shown.bundle, bundle.dir)
    assert.ok(shown.pid > 0)
    assert.equal((await berth(['start', id])).code, 0)
    await stopped()
    assert.equal((await state()).pid, 0)
    assert.equal((await berth(['delete', id])).code, 0)
    const gone = await berth(['state', id])
    assert.equal(gone.code, 1)
    assert.match(gone.stderr, /does not exist/)
  })

  it('parks with the whole policy in force', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.linux.seccomp = {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['swapon'], action: 'SCMP_ACT_ERRNO' }],
      }
    })
    await berth(['create', '--bundle', bundle.dir, id])
    const { pid } = await state()
    const parked = policyOf(pid)
    assert.equal(parked.Seccomp, '2')
    assert.equal(parked.NoNewPrivs, '1')
    assert.equal((await berth(['start', id])).code, 0)
    await until('sleep runs', () => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('/bin/sleep'))
    assert.deepEqual(policyOf(pid), parked)
    assert.equal((await state()).status, 'running')
    assert.equal((await berth(['kill', id, 'KILL'])).code, 0)
    await stopped()
  })

  it('deletes a parked container, and leaves no zombie', async () => {
    using bundle = new Bundle(['/bin/true'])
    await berth(['create', '--bundle', bundle.dir, id])
    assert.equal((await berth(['delete', id])).code, 0)
  })

  it('creates a container without a process, which ends when it is started', async () => {
    using bundle = new Bundle(['/bin/true'], (config) => {
      delete config.process
    })
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    const { pid, status } = await state()
    assert.equal(status, 'created')
    assert.equal(policyOf(pid).CapPrm, '0000000000000000')
    const started = await berth(['start', id])
    assert.equal(started.code, 0)
    assert.match(started.stderr, /no process/)
    await stopped()
  })

  it('refuses verbs in the wrong state', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    await berth(['create', '--bundle', bundle.dir, id])
    await berth(['start', id])
    for (const verb of [
      ['start', id],
      ['delete', id],
      ['create', '--bundle', bundle.dir, id],
    ]) {
      const refused = await berth(verb)
      assert.equal(refused.code, 1, verb.join(' '))
      assert.equal(refused.stderr.trim().split('\n').length, 1, refused.stderr)
    }
    assert.equal((await state()).status, 'running')
    await berth(['kill', id, 'KILL'])
    await stopped()
    const late = await berth(['kill', id, 'TERM'])
    assert.equal(late.code, 1)
    assert.match(late.stderr, /not running/)
  })

  it('runs in the foreground: output, input, exit code', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'cat; echo err >&2; exit 7'])
    const done = await berth(['run', '--bundle', bundle.dir, id], { input: 'from stdin\n' })
    assert.deepEqual(done, { code: 7, signal: null, stdout: 'from stdin\n', stderr: 'err\n' })
  })

  it('gives 128 plus the signal that ended the process', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'kill -9 $$'])
    bundle.config.linux.namespaces = bundle.config.linux.namespaces.filter((n: { type: string }) => n.type !== 'pid')
    bundle.write()
    assert.equal((await berth(['run', '--bundle', bundle.dir, id])).code, 137)
  })

  it('executes in a running container', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    await berth(['run', '--detach', '--bundle', bundle.dir, id])
    const done = await berth([
      'exec',
      '--env',
      'A=b',
      '--cwd',
      '/tmp',
      id,
      '/bin/sh',
      '-c',
      'echo $A; pwd; hostname; exit 5',
    ])
    assert.equal(done.stderr, '')
    assert.equal(done.stdout, `b\n/tmp\n${bundle.config.hostname}\n`)
    assert.equal(done.code, 5)
    const ps = await berth(['ps', '--format', 'json', id])
    assert.deepEqual(JSON.parse(ps.stdout), [(await state()).pid])
    const missing = await berth(['exec', id, '/nope'])
    assert.notEqual(missing.code, 0)
    assert.match(missing.stderr, /\/nope/)
  })

  it('lists containers as a table, as ids and as JSON', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    await berth(['create', '--bundle', bundle.dir, id])
    assert.match(
      (await berth(['list'])).stdout,
      new RegExp(`^ID +PID +STATUS +BUNDLE +CREATED +OWNER\\n(.*\\n)*${id} +\\d+ +created `),
    )
    assert.ok((await berth(['list', '-q'])).stdout.split('\n').includes(id))
    const listed = JSON.parse((await berth(['list', '-f', 'json'])).stdout)
    assert.equal(listed.find((c: { id: string }) => c.id === id).status, 'created')
  })

  it('writes the pid file and kills every process with --all', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'sleep 1000 & sleep 1000 & wait'])
    const pidFile = `${bundle.dir}/pid`
    await berth(['create', '--bundle', bundle.dir, '--pid-file', pidFile, id])
    assert.equal(Number(readFileSync(pidFile, 'utf8')), (await state()).pid)
    await berth(['start', id])
    await until('both sleeps', async () => JSON.parse((await berth(['ps', '-f', 'json', id])).stdout).length === 3)
    assert.equal((await berth(['kill', '--all', id, 'KILL'])).code, 0)
    await stopped()
  })

  it('runs twenty at once', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'echo $$; hostname'])
    const ids = Array.from({ length: 20 }, (_, i) => `${id}-${i}`)
    const done = await Promise.all(ids.map((name) => berth(['run', '--bundle', bundle.dir, name])))
    for (const one of done)
      assert.deepEqual(one, { code: 0, signal: null, stdout: `1\n${bundle.config.hostname}\n`, stderr: '' })
  })

  it('a signal to `run` that comes as it starts is the process’s own', async () => {
    // A hook of the start, which knows whose child the process is, and waits until that would hear it.
    const hook = `
      pid=$(sed -E 's/.*"pid":([0-9]+).*/\\1/')
      while ! grep -qE '^SigCgt:.*[4-7c-f].{3}$' /proc/$pid/status; do sleep 0.01; done
      kill -TERM $(sed -En 's/^PPid:[[:space:]]//p' /proc/$pid/status)`
    using bundle = new Bundle(['/bin/sh', '-c', 'trap "exit 9" TERM; while :; do sleep 0.01; done'], (config) => {
      config.hooks = { poststart: [{ path: '/bin/sh', args: ['sh', '-c', hook], timeout: 10 }] }
    })
    const { code, stderr } = await berth(['run', '--bundle', bundle.dir, id])
    assert.deepEqual([code, stderr], [9, ''])
  })
})
