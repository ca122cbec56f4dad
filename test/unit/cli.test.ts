import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runCommand } from '../../src/cli/main.ts'
import type { CommandRequest } from '../../src/controller/types.ts'
import { TERMINAL_SLOT } from '../../src/plan/create.ts'
import type { Op } from '../../src/plan/ops.ts'
import { defaultSpec } from '../../src/spec/default.ts'
import { stringifyJson } from '../../src/spec/json.ts'
import type { Process, Spec } from '../../src/spec/types.ts'
import { Host } from './cli-host.ts'

const ROOT = '/run/berth'
const EACCES = 13

const config = (process: Partial<Process> = {}, more: Partial<Spec> = {}): string => {
  const spec = defaultSpec()
  return stringifyJson({ ...spec, process: { ...spec.process, terminal: false, ...process }, ...more })
}

const bundled = (process: Partial<Process> = {}, more: Partial<Spec> = {}): Host => {
  const host = new Host()
  host.put('/bundle/config.json', config(process, more))
  return host
}

const run = async (host: Host, argv: readonly string[], more: Partial<CommandRequest> = {}) => {
  const { exitCode, stdout, stderr } = await runCommand(host.request(argv, more), host.step)
  return { exitCode, stdout: String(stdout), stderr: String(stderr) }
}

const ok = async (host: Host, ...argv: string[]): Promise<string> => {
  const { exitCode, stdout, stderr } = await run(host, argv)
  assert.deepEqual([exitCode, stderr], [0, ''], argv.join(' '))
  return stdout
}

const fails = async (host: Host, argv: readonly string[], code: number, stderr: RegExp): Promise<void> => {
  const before = [...host.files.keys(), ...host.dirs].sort()
  const answer = await run(host, argv)
  assert.equal(answer.exitCode, code, answer.stderr)
  assert.match(answer.stderr, stderr)
  assert.equal(answer.stderr.split('\n').length, 2, `one line: ${answer.stderr}`)
  assert.deepEqual([...host.files.keys(), ...host.dirs].sort(), before, 'nothing has changed')
}

const created = async (...flags: string[]): Promise<Host> => {
  const host = bundled()
  await ok(host, 'create', ...flags, 'x')
  return host
}

test('create, state, start, kill, delete', async () => {
  const host = await created('--pid-file', 'p.pid')
  assert.deepEqual(host.steps, ['config', 'create'])
  assert.equal(host.text('/bundle/p.pid'), '1234')
  assert.equal(
    await ok(host, 'state', 'x'),
    `{
  "ociVersion": "1.3.0",
  "id": "x",
  "pid": 1234,
  "status": "created",
  "bundle": "/bundle",
  "rootfs": "/bundle/rootfs",
  "created": "2026-11-23T00:45:08.99104548Z",
  "owner": ""
}`,
  )
  await ok(host, 'start', 'x')
  assert.equal(JSON.parse(await ok(host, 'state', 'x')).status, 'running')
  await fails(host, ['start', 'x'], 1, /^berth: start: cannot start an already running container: "x"\n$/)
  await fails(host, ['delete', 'x'], 1, /^berth: delete: cannot delete container x that is not stopped: running\n$/)
  await fails(host, ['create', 'x'], 1, /^berth: create: container "x" already exists\n$/)
  await ok(host, 'kill', 'x', 'KILL')
  assert.deepEqual(host.did('kill'), [{ op: 'kill', pid: 1234, start: 5000n, signal: 9, flags: 0 }])
  const { pid, status } = JSON.parse(await ok(host, 'state', 'x'))
  assert.deepEqual([pid, status], [0, 'stopped'])
  await fails(host, ['kill', 'x'], 1, /container not running/)
  await fails(host, ['start', 'x'], 1, /cannot start a container that has stopped/)
  await fails(host, ['exec', 'x', 'true'], 255, /cannot exec in a stopped container/)
  await ok(host, 'delete', 'x')
  assert.equal(host.dirs.has(`${ROOT}/x`), false)
  for (const verb of ['state', 'start', 'kill', 'delete', 'ps']) await fails(host, [verb, 'x'], 1, /"x" does not exist/)
  await ok(host, 'delete', '--force', 'x')
})

test('the process that stays is told its files, and who it is comes first', async () => {
  const host = await created()
  const [remote] = host.did('remote')
  assert.ok(remote?.op === 'remote')
  assert.equal(remote.plan[0]?.op, 'read')
  assert.deepEqual(remote.plan.at(-1), {
    op: 'stay',
    socket: `${ROOT}/x/monitor.sock`,
    exitFile: `${ROOT}/x/exit.json`,
    key: 'init',
  })
  const state = JSON.parse(host.text(`${ROOT}/x/state.json`) ?? '')
  assert.deepEqual(state.monitor, { pid: 900, startTime: 9000 })
})

test('bad input to create changes nothing', async () => {
  const empty = new Host()
  await fails(empty, ['create', 'x'], 1, /^berth: create: bundle "\/bundle" has no config.json\n$/)
  await fails(empty, ['create', '-b', '/nowhere', 'x'], 1, /bundle "\/nowhere" has no/)
  await fails(bundled(), ['create', 'a/b'], 1, /container id "a\/b" is invalid/)
  await fails(bundled(), ['create', '..'], 1, /is invalid/)
  const wrong = bundled()
  wrong.put('/bundle/config.json', '{"ociVersion": "1.0.0"}')
  await fails(wrong, ['create', 'x'], 1, /^berth: create: \/bundle\/config.json: \/root: is required\n$/)
  wrong.put('/bundle/config.json', '{')
  await fails(wrong, ['create', 'x'], 1, /config.json/)
  await fails(
    bundled({}, { root: { path: 'none' } }),
    ['create', 'x'],
    1,
    /\/root\/path: root file system "\/bundle\/none" does not exist/,
  )
  const file = bundled({}, { root: { path: 'config.json' } })
  await fails(file, ['create', 'x'], 1, /is not a directory/)
  await fails(bundled({ terminal: true }), ['create', 'x'], 1, /needs --console-socket/)
  await fails(
    bundled(),
    ['create', '--console-socket', '/s', 'x'],
    1,
    /--console-socket needs a process with a terminal/,
  )
})

test('whatever fails after the id is taken is undone', async () => {
  const failing: [string, (op: Op) => boolean][] = [
    ['prepare', (op) => op.op === 'write' && op.path.endsWith('/undo')],
    ['create', (op) => op.op === 'clone'],
    ['stay', (op) => op.op === 'stay'],
    ['record', (op) => op.op === 'write' && op.path.endsWith('.pid')],
  ]
  for (const [name, concerns] of failing) {
    const host = bundled()
    host.fail = (op) => (concerns(op) ? EACCES : 0)
    const { exitCode, stderr } = await run(host, ['create', '--pid-file', '/x.pid', 'x'])
    assert.equal(exitCode, 1, name)
    assert.match(stderr, /permission denied \(EACCES\)/, name)
    assert.equal(host.steps.at(-1), 'undo', name)
    assert.equal(host.dirs.has(`${ROOT}/x`), false, name)
  }
})

test('what can not be undone stays, is said, and is deleted by force', async () => {
  const host = bundled()
  host.fail = (op) => (op.op === 'clone' || op.op === 'stored' ? EACCES : 0)
  const { stderr } = await run(host, ['create', 'x'])
  assert.match(stderr, /undoing it failed, try delete --force: run the stored plan/)
  assert.equal(host.dirs.has(`${ROOT}/x`), true)
  await fails(host, ['state', 'x'], 1, /still being created/)
  host.fail = () => 0
  await ok(host, 'delete', '--force', 'x')
  assert.equal(host.dirs.has(`${ROOT}/x`), false)
})

test('an id that another command takes first is in use', async () => {
  const host = bundled()
  host.fail = (op) => (op.op === 'mkdir' && op.path === `${ROOT}/x` ? 17 : 0)
  const { stderr } = await run(host, ['create', 'x'])
  assert.equal(stderr, 'berth: create: container "x" already exists\n')
  assert.deepEqual(host.did('rmtree'), [])
})

test('a start that fails ends the container', async () => {
  const host = await created()
  host.fail = (op) => (op.op === 'resume' ? EACCES : 0)
  const { exitCode, stderr } = await run(host, ['start', 'x'])
  assert.equal(exitCode, 1)
  assert.match(stderr, /^berth: start: process.args: resume: permission denied/)
  assert.equal(host.initStatus, 'zombie')
})

test('a second start at the same time is refused and harms nothing', async () => {
  const host = await created()
  host.fail = (op) => (op.op === 'lock' ? 11 : 0)
  assert.match((await run(host, ['start', 'x'])).stderr, /is being started by another command/)
  assert.equal(host.initStatus, 'parked')
})

test('delete: a parked container is killed, poststop hooks run after all is gone, their failures are warnings', async () => {
  const host = bundled({}, { hooks: { poststop: [{ path: '/h1' }, { path: '/h2' }] } })
  await ok(host, 'create', 'x')
  host.fail = (op) => (op.op === 'hook' && op.path === '/h1' ? EACCES : 0)
  const { exitCode, stderr } = await run(host, ['delete', 'x'])
  assert.deepEqual(
    [exitCode, stderr],
    [0, 'berth: warning: delete: poststop: hook "/h1": permission denied (EACCES)\n'],
  )
  const order = host.ops.map(({ op }) => op).filter((op) => ['kill', 'stored', 'rmtree', 'hook'].includes(op))
  assert.deepEqual(order, ['kill', 'stored', 'rmtree', 'hook', 'hook'])
})

test('delete can be repeated after a failure; by force also without a readable configuration', async () => {
  const host = await created()
  host.fail = (op) => (op.op === 'stored' ? EACCES : 0)
  assert.equal((await run(host, ['delete', 'x'])).exitCode, 1)
  assert.equal(host.dirs.has(`${ROOT}/x`), true)
  host.fail = () => 0
  host.put(`${ROOT}/x/config.json`, '{')
  assert.equal((await run(host, ['delete', 'x'])).exitCode, 1)
  assert.match((await run(host, ['delete', '-f', 'x'])).stderr, /poststop hooks not run/)
  assert.equal(host.dirs.has(`${ROOT}/x`), false)
})

test('kill: signals by name and number, to all, and unknown ones', async () => {
  const host = await created()
  await ok(host, 'kill', 'x')
  assert.equal((host.did('kill')[0] as { signal: number }).signal, 15)
  await ok(host, 'kill', '--all', 'x', '9')
  assert.equal(host.did('kill-cgroup').length, 1)
  await ok(host, 'kill', 'x', 'SIGUSR1', '--all')
  await fails(host, ['kill', 'x', 'FOO'], 1, /unknown signal "FOO"/)
})

test('run: waits, deletes, and ends with the code of the process', async () => {
  const host = bundled()
  assert.equal((await run(host, ['run', 'x'])).exitCode, 3)
  assert.deepEqual(host.did('await'), [{ op: 'await', pid: 1234, forward: 1 }])
  assert.equal(host.dirs.has(`${ROOT}/x`), false)
  await run(host, ['run', '--keep', 'y'])
  assert.equal(host.dirs.has(`${ROOT}/y`), true)
  const detached = bundled()
  await ok(detached, 'run', '-d', 'x')
  assert.deepEqual(detached.did('await'), [])
})

test('run with a terminal: the master comes to the launcher', async () => {
  const host = bundled({ terminal: true })
  assert.equal((await run(host, ['run', 'x'], { rows: 24, cols: 80 })).exitCode, 128 + 9)
  assert.deepEqual(host.did('give'), [{ op: 'give', slot: TERMINAL_SLOT, name: 'terminal' }])
  assert.deepEqual(host.did('take'), [{ op: 'take', name: 'terminal', slot: 0 }])
  const [clone] = host.did('clone')
  const terminal = clone?.op === 'clone' ? clone.plan.find(({ op }) => op === 'terminal') : undefined
  assert.ok(terminal?.op === 'terminal')
  assert.deepEqual([terminal.rows, terminal.cols], [24, 80])
})

test('create with a terminal sends the master to the console socket', async () => {
  const host = bundled({ terminal: true })
  await ok(host, 'create', '--console-socket', 'c.sock', 'x')
  assert.deepEqual(host.did('connect'), [{ op: 'connect', path: '/bundle/c.sock', slot: 61 }])
  assert.equal(host.did('send-fd').length, 1)
})

test('exec', async () => {
  const host = await created()
  await ok(host, 'start', 'x')
  const { exitCode } = await run(host, [
    'exec',
    '-e',
    'A=1',
    '-e',
    'A=2',
    '-u',
    '5:6',
    '-g',
    '7',
    '--cwd',
    '/d',
    '--cap',
    'CAP_SYS_TIME',
    '--pid-file',
    '/p',
    'x',
    'sh',
    '-c',
    'x',
    '--help',
  ])
  assert.equal(exitCode, 3)
  assert.equal(host.text('/p'), '1234')
  host.initStatus = 'running'
  const [clone] = host.did('clone')
  assert.ok(clone?.op === 'clone')
  const find = <N extends Op['op']>(name: N) => clone.plan.find((op): op is Extract<Op, { op: N }> => op.op === name)
  assert.deepEqual(find('exec')?.argv, ['sh', '-c', 'x', '--help'])
  assert.deepEqual(
    find('exec')?.env.filter((entry) => entry.startsWith('A=')),
    ['A=2'],
  )
  assert.deepEqual([find('user')?.uid, find('user')?.gid, find('user')?.groups], [5, 6, [7]])
  assert.equal(find('chdir')?.path, '/d')
  assert.equal(((find('caps')?.bounding ?? 0n) >> 25n) & 1n, 1n)
  assert.equal(((find('caps')?.inheritable ?? 0n) >> 25n) & 1n, 0n)
  host.put('/bundle/p.json', stringifyJson({ args: ['true'], cwd: '/', user: { uid: 1, gid: 1 } }))
  await ok(host, 'exec', '-d', '--process', 'p.json', 'x')
  assert.deepEqual(host.did('await'), [])
  await fails(host, ['exec', 'x'], 2, /no command is given/)
  await fails(host, ['exec', '-u', '+0', 'x', 'true'], 255, /user "\+0" is invalid/)
  await fails(host, ['exec', '--cwd', 'd', 'x', 'true'], 255, /expected an absolute path/)
  await fails(host, ['exec', '-t', '-d', 'x', 'true'], 255, /needs --console-socket/)
  await fails(host, ['exec', '--cgroup', '../y', 'x', 'true'], 255, /"\.\." is not allowed/)
  await fails(host, ['exec', '--process', 'none.json', 'x'], 255, /does not exist/)
  host.fail = (op) => (op.op === 'resume' ? 2 : 0)
  assert.match((await run(host, ['exec', 'x', 'true'])).stderr, /^berth: exec: /)
})

/** A shim's: one that runs, one whose pid is another's by now, and records that can't be read. */
const withShims = (host: ReturnType<typeof bundled>) => {
  const shims = `${ROOT}/.shim/0123456789abcdef`
  const task = (pid: number, status: string, start: string) => ({
    bundle: `/b${pid}`,
    status,
    process: { pid, start },
    cgroups: { version: 2, all: [`/sys/fs/cgroup/b${pid}`] },
  })
  const tasks = { a: task(1234, 'paused', String(host.init.start)), b: task(1234, 'running', '1') }
  for (const dir of [
    `${ROOT}/.shim`,
    shims,
    `${shims}/ns`,
    `${shims}/ns/a`,
    `${shims}/ns/b`,
    `${shims}/other`,
    `${shims}/other/c`,
  ])
    host.dirs.add(dir)
  host.put(`${shims}/ns/a/record`, JSON.stringify({ version: 1, tasks }))
  host.put(`${shims}/other/c/record`, '{')
  return { shims, tasks }
}

test('list and ps', async () => {
  const host = bundled()
  assert.equal(await ok(host, 'list'), 'ID          PID         STATUS      BUNDLE      CREATED     OWNER\n')
  assert.equal(await ok(host, 'list', '-f', 'json'), 'null\n')
  host.put('/etc/passwd', 'root:x:0:0::/:/bin/sh\n')
  await ok(host, 'create', 'x')
  host.dirs.add(`${ROOT}/.controller`).add(`${ROOT}/half`)
  assert.equal(await ok(host, 'list', '-q'), 'half\nx\n')
  assert.equal(
    await ok(host, 'list'),
    'ID          PID         STATUS      BUNDLE      CREATED                         OWNER\n' +
      'x           1234        created     /bundle     2026-11-23T00:45:08.99104548Z   root\n',
  )
  const [entry] = JSON.parse(await ok(host, 'list', '--format', 'json'))
  assert.deepEqual(Object.keys(entry), ['ociVersion', 'id', 'pid', 'status', 'bundle', 'rootfs', 'created', 'owner'])
  await fails(host, ['list', '-f', 'xml'], 2, /expected table or json/)

  withShims(host)
  assert.equal(await ok(host, 'list', '--all', '--quiet'), 'half\nx\na\nb\n')
  assert.deepEqual(JSON.parse(await ok(host, 'list', '--all', '--format', 'json')).slice(1), [
    { id: 'a', namespace: 'ns', pid: 1234, status: 'paused', bundle: '/b1234' },
    { id: 'b', namespace: 'ns', pid: 0, status: 'stopped', bundle: '/b1234' },
  ])
  assert.match(await ok(host, 'list', '--all'), /CONTAINERD\nx .* -\na {2}.* ns\nb {2}.* ns\n$/s)
  await fails(host, ['state', 'b'], 1, /container "b" does not exist: it is containerd's, use ctr --namespace ns task/)

  const { cgroupPaths } = JSON.parse(host.text(`${ROOT}/x/state.json`) ?? '')
  host.dirs.add(cgroupPaths[0])
  host.put(`${cgroupPaths[0]}/cgroup.procs`, '1234\n')
  host.put(`${cgroupPaths[0]}/sub/cgroup.procs`, '20\n')
  assert.equal(await ok(host, 'ps', '-f', 'json', 'x'), '[20,1234]\n')
  host.put('/proc/stat', 'cpu 1\nbtime 1795394600\n')
  const table = (await ok(host, 'ps', 'x')).split('\n')
  assert.match(table[0] ?? '', /^UID +PID +PPID +C +STIME +TTY +TIME +CMD$/)
  assert.match(table[1] ?? '', /^root +1234 +1 +\d+ \d\d:\d\d \? +00:00:00 \[a \(b\) c\]$/)
  assert.equal(table.length, 3)
})

test('inspect and events of containers of containerd', async () => {
  const host = bundled()
  await ok(host, 'create', 'x')
  const { shims, tasks } = withShims(host)
  const confinement = { landlock: 1, policies: [{ from: 'annotations', files: { read: ['/etc'] } }] }
  host.put(`${shims}/ns/a/policy.json`, JSON.stringify(confinement))
  host.put(
    `${shims}/ns/a/record`,
    JSON.stringify({ version: 1, tasks: { ...tasks, a: { ...tasks.a, confined: true } } }),
  )
  assert.match(await ok(host, 'inspect', 'a'), /^files\.read +\/etc +Landlock ABI 1 +annotations$/m)
  assert.deepEqual(JSON.parse(await ok(host, 'inspect', '--json', '--namespace', 'ns', 'a')), {
    id: 'a',
    namespace: 'ns',
    policies: confinement.policies,
    enforced: {
      files: 'Landlock ABI 1',
      'files.truncate': 'not enforced: needs Landlock ABI 3 (Linux 6.2), this host has ABI 1',
      'files.ioctl': 'not enforced: needs Landlock ABI 5 (Linux 6.10), this host has ABI 1',
    },
    denied: [],
  })
  assert.equal(await ok(host, 'inspect', 'b'), 'no policy beyond the configuration\n')
  await fails(host, ['events', '--policy', 'b'], 1, /container with id b is not running/)
  await fails(host, ['inspect', 'c'], 1, /container "c": its shim has not written it down yet/)
  await fails(host, ['inspect', 'd'], 1, /container "d" does not exist\n$/)
  await fails(
    host,
    ['inspect', '-n', 'other', 'a'],
    1,
    /container "a" does not exist in containerd's namespace "other"/,
  )
  host.put(`${shims}/other/c/record`, JSON.stringify({ version: 1, tasks: { b: tasks.b } }))
  host.dirs.add(`${shims}/other/b`)
  const both = /container "b" exists in containerd's namespaces "ns" and "other": choose with --namespace/
  await fails(host, ['inspect', 'b'], 1, both)
  assert.equal(JSON.parse(await ok(host, 'inspect', '--json', '-n', 'other', 'b')).namespace, 'other')
  const twin = `${ROOT}/.shim/fedcba9876543210`
  for (const dir of [twin, `${twin}/ns`, `${twin}/ns/b`]) host.dirs.add(dir)
  host.put(`${twin}/ns/b/record`, JSON.stringify({ version: 1, tasks: { b: tasks.b } }))
  await fails(host, ['inspect', '-n', 'ns', 'b'], 1, /"b" exists in the namespace "ns" of more than one containerd/)
  // The command line's own comes first.
  host.dirs.add(`${shims}/ns/x`)
  host.put(`${shims}/ns/x/record`, JSON.stringify({ version: 1, tasks: { x: tasks.a } }))
  assert.equal(JSON.parse(await ok(host, 'inspect', '--json', 'x')).namespace, undefined)
  assert.equal(JSON.parse(await ok(host, 'inspect', '--json', '-n', 'ns', 'x')).namespace, 'ns')
})

test('spec writes a configuration that create takes, once', async () => {
  const host = new Host()
  await ok(host, 'spec')
  assert.match(host.text('/bundle/config.json') ?? '', /^\{\n\t"ociVersion"/)
  await fails(host, ['spec'], 1, /exists already/)
  await ok(host, 'plan')
  await ok(host, 'spec', '--rootless', '-b', '/run')
  assert.ok(host.text('/run/config.json')?.includes('"user"'))
})

test('plan and features', async () => {
  const host = bundled()
  const text = await ok(host, 'plan')
  assert.match(text, /^policy:\n/)
  assert.match(text, /\ncreate:\n/)
  const json = JSON.parse(await ok(host, 'plan', '--json', '/bundle'))
  assert.deepEqual(Object.keys(json), ['create', 'start', 'undo', 'poststop'])
  assert.ok(json.create.some(({ op }: { op: string }) => op === 'clone'))
  assert.deepEqual(host.did('write'), [])
  const features = JSON.parse(await ok(host, 'features'))
  assert.ok(features.linux.namespaces.includes('time'))
  assert.ok(features.linux.seccomp.actions.includes('SCMP_ACT_ERRNO'))
})

test('usage', async () => {
  const host = bundled()
  await fails(host, [], 2, /no command is given/)
  await fails(host, ['attach', 'x'], 2, /^berth: unknown command "attach"/)
  await fails(host, ['checkpoint', '--page-server', 'h:1', 'x'], 1, /--page-server: memory is not sent/)
  await fails(host, ['restore', '--lazy-pages', 'x'], 1, /--lazy-pages: memory is not sent/)
  await fails(host, ['restore', '--empty-ns', 'pid', 'x'], 1, /--empty-ns "pid": only the network/)
  await fails(host, ['restore', '--manage-cgroups-mode', 'x', 'x'], 1, /"x": expected soft, full, strict, ignore/)
  await fails(host, ['constructor'], 2, /unknown command/)
  await fails(host, ['create'], 2, /^berth: create: an argument is missing: expected ID\n$/)
  await fails(host, ['create', 'x', 'y'], 2, /unexpected argument "y"/)
  await fails(host, ['create', '--foo', 'x'], 2, /foo/)
  await fails(host, ['--foo', 'list'], 2, /foo/)
  await fails(host, ['create', '--bundle'], 2, /bundle/)
  await fails(host, ['create', '--preserve-fds', '-1', 'x'], 2, /preserve-fds/)
  await fails(host, ['--log-format', 'xml', 'list'], 2, /expected text or json/)
  assert.match(await ok(host, '--version'), /^berth version \d+\.\d+\.\d+\nspec: 1\.3\.0\n$/)
  assert.equal(await ok(host, '-v'), await ok(host, '--version'))
  assert.match(await ok(host, '--help'), /Commands:\n {2}create /)
  assert.match(await ok(host, 'exec', '--help'), /--preserve-fds/)
})

test('every flag of runc is taken', async () => {
  const globals = ['--debug', '--root', ROOT, '--criu', 'criu', '--systemd-cgroup=false', '--rootless', 'auto']
  const host = bundled()
  const taken = async (line: string) => {
    const { exitCode, stderr } = await run(host, [...globals, ...line.split(' ')])
    assert.equal(exitCode, 0, stderr)
  }
  const making = '--bundle /bundle --pid-file /p --no-pivot --no-new-keyring --preserve-fds 2'
  const process = '--cwd / --env A=1 --user 0 --additional-gids 1 --no-new-privs --cap CAP_KILL'
  await taken(`create ${making} x`)
  await taken('start x')
  await taken(
    `exec ${process} --process-label= --apparmor= --preserve-fds 0 --ignore-paused --pid-file /p --detach x true`,
  )
  await taken('kill --all x TERM')
  await taken('list --quiet --format table')
  await taken('ps --format json x')
  await taken('delete --force x')
  await taken(`run ${making} --detach --keep --no-subreaper y`)
  const criu =
    '--image-path i --work-path w --tcp-established --tcp-skip-in-flight --ext-unix-sk --shell-job --file-locks ' +
    '--link-remap --auto-dedup --manage-cgroups-mode soft --empty-ns network'
  // Known flags get as far as the lack of what they are about.
  await fails(
    host,
    [...globals, ...`checkpoint ${criu} --parent-path p --leave-running --pre-dump z`.split(' ')],
    1,
    /"z"/,
  )
  const making2 = '--console-socket s --bundle /bundle --pid-file p --detach --no-subreaper --no-pivot'
  const labels = '--lsm-profile apparmor:x --lsm-mount-context c'
  await fails(
    host,
    [...globals, ...`restore ${criu} ${making2} ${labels} z`.split(' ')],
    1,
    /CRIU, and none of \/usr\/sbin\/criu, /,
  )
})

test('--log: errors are appended for engines, as text or JSON', async () => {
  const host = new Host()
  const json = await run(host, ['--log', 'l.json', '--log-format', 'json', 'state', 'x'])
  assert.equal(json.stderr, 'berth: state: container "x" does not exist\n')
  await run(host, ['--log', 'l.json', '--log-format=json', 'nothing'])
  assert.equal(
    host.text('/bundle/l.json'),
    '{"level":"error","msg":"state: container \\"x\\" does not exist","time":"2026-11-23T00:45:08Z"}\n' +
      '{"level":"error","msg":"unknown command \\"nothing\\" (see berth --help)","time":"2026-11-23T00:45:08Z"}\n',
  )
  await run(host, ['--log', '/l.txt', 'state', 'x'])
  assert.equal(
    host.text('/l.txt'),
    'time="2026-11-23T00:45:08Z" level=error msg="state: container \\"x\\" does not exist"\n',
  )
  host.fail = (op) => (op.op === 'write' ? EACCES : 0)
  assert.match(
    (await run(host, ['--log', '/l', 'state', 'x'])).stderr,
    /\nberth: --log: write "\/l": permission denied/,
  )
})

test('the root of the containers', async () => {
  const host = new Host()
  const rootOf = async (argv: readonly string[], more: Partial<CommandRequest> = {}) => {
    await run(host, [...argv, 'list'], more)
    const [list] = host.did('list')
    return list?.op === 'list' ? list.path : undefined
  }
  assert.equal(await rootOf([]), '/run/berth')
  assert.equal(await rootOf([], { runDir: '/run/user/5/berth' }), '/run/user/5/berth')
  assert.equal(await rootOf(['--root', 'r'], { runDir: '/run/user/5/berth' }), '/bundle/r')
})
