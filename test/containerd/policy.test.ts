/** The policies of test/integration/policy.test.ts through containerd: the annotations come with the container, and hold for its execs. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Config } from '../harness/bundle.ts'
import { Containerd, image, noContainerd, runtime } from '../harness/containerd.ts'
import { binary, nothingLeft, pidsWith, snapshot, until } from '../harness/host.ts'
import { berth, terminal } from '../harness/run.ts'

describe('policies with containerd', { skip: noContainerd }, () => {
  let containerd: Containerd
  const id = `policy-${process.pid}`
  const ctr = (...args: string[]) => containerd.ctr(args)
  const annotated = (...annotations: string[]) => [
    'run',
    '--runtime',
    runtime,
    ...annotations.flatMap((annotation) => ['--annotation', annotation]),
  ]

  /** What the command line tells of it, once its shim has written it down. */
  const inspected = async (...flags: string[]): Promise<string> => {
    let told = ''
    await until('the shim has written it down', async () => {
      const { code, stdout } = await berth(['inspect', ...flags, id])
      told = stdout
      return code === 0
    })
    return told
  }
  const denied = async (): Promise<unknown[]> =>
    JSON.parse(await inspected('--json')).denied.map((one: Config) => [one.rule, one.value, one.denied])

  // The node's own file, where containerd and its shims see it, and nobody else.
  const etc = mkdtempSync(join(tmpdir(), 'berth-etc-'))
  before(async () => {
    mkdirSync(join(etc, 'berth'))
    writeFileSync(join(etc, 'berth/config.json'), JSON.stringify({ policies: join(etc, 'policies') }))
    mkdirSync(join(etc, 'policies'))
    writeFileSync(join(etc, 'policies/web.json'), JSON.stringify({ http: { allow: ['GET nowhere.invalid'] } }))
    const names = { network: { allow: ['localhost:81'], refresh: 60 } }
    writeFileSync(join(etc, 'policies/names.json'), JSON.stringify(names))
    const path = join(etc, 'judged.mjs')
    writeFileSync(path, "export const onSyscall = ({ path }) => (path === '/etc/group' ? 'deny' : 'allow')")
    writeFileSync(join(etc, 'policies/judged.json'), JSON.stringify({ module: { path } }))
    const wrap = join(etc, 'wrap')
    writeFileSync(wrap, `#!/bin/sh\nmount -t overlay overlay -o lowerdir=${etc}:/etc /etc && exec "$@"\n`, {
      mode: 0o755,
    })
    const secret = { request: '* *', attach: 'bearer', from: 'env:TOKEN' }
    writeFileSync(
      join(etc, 'policies/secret.json'),
      JSON.stringify({ http: { allow: ['GET nowhere.invalid'], intercept: true, credentials: [secret] } }),
    )
    containerd = await Containerd.start('1.7', { wrap: `unshare --mount ${wrap}` })
  })
  after(async () => {
    await containerd?.[Symbol.asyncDispose]()
    rmSync(etc, { recursive: true })
  })

  it('hold for the container, its execs and an update, and are gone with it', async () => {
    const pristine = snapshot()
    const policy = JSON.stringify({
      files: { execute: ['/bin'], read: ['/etc'], write: ['/tmp'] },
      limits: { processes: 30 },
      network: { deny: ['tcp://127.0.0.1:80'] },
    })
    const flags = annotated(`io.berth.policy.inline=${policy}`, 'io.berth.limits.processes=20')
    const made = await ctr(...flags, '--detach', image, id, '/bin/sleep', '1000')
    assert.equal(made.code, 0, made.stderr)
    const exec = (...args: string[]) => ctr('task', 'exec', '--exec-id', 'x', id, ...args)
    assert.equal((await exec('/bin/cat', '/etc/passwd')).code, 0)
    const touch = await exec('/bin/touch', '/new')
    assert.equal(touch.code, 1)
    assert.match(touch.stderr, /Permission denied/)
    assert.match((await exec('/bin/nc', '127.0.0.1', '80')).stderr, /Operation not permitted/)
    assert.match((await exec('/bin/nc', '127.0.0.1', '81')).stderr, /Connection refused/)
    assert.equal((await ctr('task', 'kill', '-s', 'KILL', id)).code, 0)
    await ctr('task', 'rm', '-f', id)
    await ctr('container', 'rm', id)
    await nothingLeft(pristine)
  })

  it('are told by the command line, with what they have refused', async () => {
    const pristine = snapshot()
    const rule = 'tcp://127.0.0.1:80'
    const policy = JSON.stringify({ files: { read: ['/etc'], execute: ['/bin'] }, network: { deny: [rule] } })
    const made = await ctr(
      ...annotated(`io.berth.policy.inline=${policy}`),
      '--detach',
      image,
      id,
      '/bin/sleep',
      '1000',
    )
    assert.equal(made.code, 0, made.stderr)
    assert.deepEqual(await denied(), [])
    const events = spawn(binary, ['events', '--policy', '--interval', '100ms', '--namespace', 'default', id])
    let told = ''
    events.stdout.setEncoding('utf8').on('data', (text: string) => {
      told += text
    })
    const ended = new Promise((done) => events.on('close', done))
    await until('the first line', () => told.includes('\n'))
    assert.deepEqual(JSON.parse(told.split('\n')[0] ?? ''), { type: 'policy', id, data: { denied: [] } })
    const nc = await ctr('task', 'exec', '--exec-id', 'x', id, '/bin/nc', '127.0.0.1', '80')
    assert.match(nc.stderr, /Operation not permitted/)
    const expected = { from: 'annotations', rule: 'network.deny', value: rule, denied: 1 }
    const line = `${JSON.stringify({ type: 'policy', id, data: { denied: [expected] } })}\n`
    await until('the line with the refusal', () => told.endsWith(line))
    const { namespace, policies, enforced, denied: counted } = JSON.parse(await inspected('--json'))
    assert.deepEqual([namespace, policies], ['default', [{ from: 'annotations', ...JSON.parse(policy) }]])
    assert.equal(enforced.network, 'BPF programs of the cgroup')
    assert.match(enforced.files, /^Landlock ABI \d+$/)
    assert.deepEqual(counted, [expected])
    const shown = await inspected('--namespace', 'default')
    assert.match(shown, /^network\.deny +tcp:\/\/127\.0\.0\.1:80 +BPF programs of the cgroup +annotations$/m)
    assert.match(shown, /^1 +network\.deny +tcp:\/\/127\.0\.0\.1:80 +annotations$/m)
    const elsewhere = await berth(['inspect', '--namespace', 'moby', id])
    assert.match(elsewhere.stderr, /does not exist in containerd's namespace "moby"/)
    assert.equal((await ctr('task', 'kill', '-s', 'KILL', id)).code, 0)
    assert.equal(await ended, 0)
    await ctr('task', 'rm', '-f', id)
    await ctr('container', 'rm', id)
    await until('it is gone', async () => (await berth(['inspect', id])).stderr.includes('does not exist'))
    await nothingLeft(pristine)
  })

  it('of HTTP hold by a proxy that ends with the container', async () => {
    const pristine = snapshot()
    const flags = annotated(
      'io.berth.policy=web',
      'io.berth.http.allow=GET nowhere.invalid/v1/*',
      'io.berth.http.hosts=true',
    )
    const made = await ctr(...flags, '--detach', image, id, '/bin/sleep', '1000')
    assert.equal(made.code, 0, made.stderr)
    const workers = () => pidsWith((args) => args[0] === 'berth-worker')
    assert.equal(workers().length, 1)
    const get = async (path: string) => {
      const request = `GET ${path} HTTP/1.0\r\nHost: nowhere.invalid\r\n\r\n`
      const command = `(printf '${request}'; sleep 1) | nc -w 5 198.18.0.1 80`
      return (await ctr('task', 'exec', '--exec-id', 'x', id, '/bin/sh', '-c', command)).stdout
    }
    assert.match(await get('/v2/x'), /403 Forbidden[\s\S]*refused by http\.allow of annotations/)
    assert.match(await get('/v1/x'), /502 Bad Gateway[\s\S]*nowhere\.invalid has no address/)
    assert.deepEqual(await denied(), [['http.allow', undefined, 1]])
    assert.match(
      (await ctr('task', 'exec', '--exec-id', 'x', id, '/bin/cat', '/etc/hosts')).stdout,
      /^198\.18\.0\.1 nowhere/,
    )
    assert.equal((await ctr('task', 'kill', '-s', 'KILL', id)).code, 0)
    await ctr('task', 'rm', '-f', id)
    await ctr('container', 'rm', id)
    await until('no worker', () => workers().length === 0)
    await nothingLeft(pristine)
  })

  it('by names of hosts, too, which are looked up on the node, once or again and again', async () => {
    const pristine = snapshot()
    const workers = () => pidsWith((args) => args[0] === 'berth-worker')
    const flags = annotated(
      'io.berth.policy=names',
      'io.berth.network.allow=localhost:81',
      'io.berth.network.hosts=true',
    )
    const made = await ctr(...flags, '--detach', image, id, '/bin/sleep', '1000')
    assert.equal(made.code, 0, made.stderr)
    assert.equal(workers().length, 1)
    const exec = (...args: string[]) => ctr('task', 'exec', '--exec-id', 'x', id, ...args)
    assert.match((await exec('/bin/nc', '127.0.0.1', '80')).stderr, /Operation not permitted/)
    assert.match((await exec('/bin/nc', '127.0.0.1', '81')).stderr, /Connection refused/)
    assert.match((await exec('/bin/cat', '/etc/hosts')).stdout, /^127\.0\.0\.1 localhost\n/)
    assert.match(await inspected(), /^network\.allow +localhost:81 \(127\.0\.0\.1.*\) +BPF programs/m)
    assert.equal((await ctr('task', 'kill', '-s', 'KILL', id)).code, 0)
    await ctr('task', 'rm', '-f', id)
    await ctr('container', 'rm', id)
    await until('no worker', () => workers().length === 0)
    const failed = await ctr(...annotated('io.berth.network.allow=nowhere.invalid'), '--rm', image, id, '/bin/true')
    assert.match(failed.stderr, /"nowhere\.invalid" of annotations stands for no address/)
    await ctr('container', 'rm', id)
    await nothingLeft(pristine)
  })

  it('of a module judge the container and its execs, by who ends with it', async () => {
    const pristine = snapshot()
    const made = await ctr(...annotated('io.berth.policy=judged'), '--detach', image, id, '/bin/sleep', '1000')
    assert.equal(made.code, 0, made.stderr)
    const workers = () => pidsWith((args) => args[0] === 'berth-worker')
    assert.equal(workers().length, 1)
    const exec = (...args: string[]) => ctr('task', 'exec', '--exec-id', 'x', id, ...args)
    assert.equal((await exec('/bin/cat', '/etc/passwd')).code, 0)
    assert.match((await exec('/bin/cat', '/etc/group')).stderr, /Operation not permitted/)
    assert.deepEqual(await denied(), [['module', 'open', 1]])
    assert.equal((await ctr('task', 'kill', '-s', 'KILL', id)).code, 0)
    await ctr('task', 'rm', '-f', id)
    await ctr('container', 'rm', id)
    await until('no worker', () => workers().length === 0)
    await nothingLeft(pristine)
  })

  it('refuse system calls, and end a container when its time is over', async () => {
    const pristine = snapshot()
    const flags = annotated('io.berth.syscalls.deny=mkdir;mkdirat', 'io.berth.limits.maxDuration=1')
    const { code, stderr } = await ctr(...flags, '--rm', image, id, '/bin/sh', '-c', 'mkdir /tmp/d; exec sleep 1000')
    assert.match(stderr, /Operation not permitted/)
    assert.equal(code, 137)
    await nothingLeft(pristine)
  })

  it('end a container that writes more than it may', async () => {
    const pristine = snapshot()
    const within = annotated('io.berth.limits.output=1M')
    const some = await ctr(...within, '--rm', image, id, '/bin/sh', '-c', 'head -c 1048570 /dev/zero; echo end >&2')
    assert.deepEqual([some.code, some.stdout.length, some.stderr], [0, 1048570, 'end\n'])
    const script = 'yes 12345 & while :; do echo 12345; done >&2'
    const less = annotated('io.berth.limits.output=100000')
    const much = await ctr(...less, '--rm', image, id, '/bin/sh', '-c', script)
    assert.deepEqual([much.code, much.stdout.length + much.stderr.length], [137, 100_000])
    const shown = await terminal(
      containerd.ctrCommand([...less, '--rm', '--tty', image, id, '/bin/cat /dev/zero']).split(' '),
    )
    assert.deepEqual([shown.code, shown.stdout.length], [137, 100_000])
    // whoever takes it, and it says why
    const log = join(etc, 'log')
    const behind = await ctr(...less, '--detach', '--log-uri', `file://${log}`, image, id, '/bin/sh', '-c', script)
    assert.equal(behind.code, 0, behind.stderr)
    // `null`, as runc has it, where none is written down yet
    const listed = async () =>
      JSON.parse((await berth(['list', '--all', '--format', 'json'])).stdout) as Config[] | null
    const reason = async () => (await listed())?.find((one) => one.id === id)?.reason
    await until('its end', async () => (await reason()) === 'output')
    assert.equal(readFileSync(log).length, 100_000)
    await ctr('task', 'rm', '-f', id)
    await ctr('container', 'rm', id)
    await nothingLeft(pristine)
  })

  it('that are malformed are an error of create, and leave nothing', async () => {
    const pristine = snapshot()
    const { code, stderr } = await ctr(...annotated('io.berth.file.read=/'), '--rm', image, id, '/bin/true')
    assert.notEqual(code, 0)
    assert.match(stderr, /unknown annotation "io\.berth\.file\.read"; did you mean "io\.berth\.files\.read"\?/)
    await ctr('container', 'rm', id)
    const secret = await ctr(...annotated('io.berth.policy=secret'), '--rm', image, id, '/bin/true')
    assert.notEqual(secret.code, 0)
    assert.match(secret.stderr, /env:TOKEN is for the command line, .*: use file:\/PATH/)
    await ctr('container', 'rm', id)
    await nothingLeft(pristine)
  })
})
