/** Containers of an ordinary user: with one mapped id, with subordinate ids, and by root of a user namespace. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { Agent } from '../harness/agent.ts'
import { until } from '../harness/host.ts'
import { hasUser } from '../harness/suite.ts'
import { noUsers, SUBID, UID, type User } from '../harness/user.ts'

const id = `rootless-${process.pid}`

describe('rootless', { skip: noUsers }, () => {
  let user: User
  const state = async () => JSON.parse((await user.berth(['state', id])).stdout)
  const ok = async (...args: string[]) => {
    const done = await user.berth(args)
    assert.deepEqual([done.code, done.stderr], [0, ''])
    return done.stdout
  }
  const status = (want: string) => until(want, async () => (await state()).status === want)

  hasUser((made) => {
    user = made
  })
  afterEach(async () => {
    await user.berth(['delete', '--force', id])
    const dir = join(user.runtimeDir, 'berth')
    if (existsSync(dir)) assert.deepEqual(readdirSync(dir), ['.controller'])
  })

  it('lives a whole life with one mapped id, in the user’s own run directory', async () => {
    user.configure(['/bin/sleep', '1000'])
    await ok('create', '--bundle', user.bundle, id)
    assert.equal((await state()).status, 'created')
    assert.ok(existsSync(join(user.runtimeDir, 'berth', id, 'state.json')))
    await ok('start', id)
    const { pid } = await state()
    assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), new RegExp(`^Uid:\\t${UID}\\t${UID}\\t`, 'm'))
    assert.match(readFileSync(`/proc/${pid}/uid_map`, 'utf8'), new RegExp(`^\\s*0\\s+${UID}\\s+1$`, 'm'))
    const listed = await ok('list', '--format', 'json')
    assert.deepEqual(
      JSON.parse(listed).map((entry: { id: string; owner: string }) => [entry.id, entry.owner]),
      [[id, 'berth-test']],
    )
    assert.match(await ok('ps', id), /berth-t.*\/bin\/sleep 1000/)
    assert.equal((await user.berth(['exec', id, 'sh', '-c', 'exit $(id -u)5'])).code, 5)
    await ok('kill', id, 'KILL')
    await status('stopped')
    await ok('delete', id)
  })

  it('runs to the exit code, with what an init has: devices, mounts, no rights beyond', async () => {
    user.configure([
      '/bin/sh',
      '-c',
      'echo x >/dev/null && test -d /proc/1 && ! mkdir /sys/fs/cgroup/x 2>/dev/null && exit 7',
    ])
    assert.deepEqual(await user.berth(['run', '--bundle', user.bundle, id]), {
      code: 7,
      signal: null,
      stdout: '',
      stderr: '',
    })
  })

  it('is judged by a module of the user’s, with the ids that the container sees', async () => {
    const module = join(user.dir, 'module.mjs')
    const config = join(user.dir, 'config.json')
    writeFileSync(
      module,
      "export const onSyscall = ({ uid, path, port }) => (uid !== 0 || path === '/etc/group' || port === 9 ? 'deny' : 'allow')",
    )
    writeFileSync(config, JSON.stringify({ policy: { module: { path: module } } }))
    user.configure(['/bin/sh', '-c', 'head -n1 /etc/passwd; cat /etc/group; nc 127.0.0.1 9; nc 127.0.0.1 8'])
    const { stdout, stderr } = await user.berth(['--config', config, 'run', '--bundle', user.bundle, id])
    assert.match(stdout, /^root:.*\n$/, stderr)
    assert.match(stderr, /group': Operation not permitted[\s\S]*127\.0\.0\.1\): Operation not permitted[\s\S]*refused/)
  })

  it('holds to network rules, by a supervisor, in execs too', async () => {
    user.configure(['/bin/sleep', '1000'], (config) => {
      config.annotations = { 'io.berth.network.allow': 'tcp://127.0.0.1:8', 'io.berth.network.allowBind': '7000' }
    })
    await ok('run', '--detach', '--bundle', user.bundle, id)
    const exec = async (...args: string[]) => (await user.berth(['exec', id, ...args])).stderr
    assert.match(await exec('nc', '127.0.0.1', '8'), /Connection refused/)
    assert.match(await exec('nc', '127.0.0.1', '9'), /Operation not permitted/)
    assert.match(await exec('nc', '-l', '-p', '7001'), /Operation not permitted/)
    assert.match((await state()).annotations['io.berth.enforced'], /^network: the container's supervisor/)
    const { denied } = JSON.parse(await ok('inspect', '--json', id))
    assert.deepEqual(
      denied.map(({ rule, denied: count }: { rule: string; denied: number }) => [rule, count]),
      [
        ['network.allow', 1],
        ['network.allowBind', 1],
      ],
    )
  })

  it('gives an exec a terminal', async () => {
    user.configure(['/bin/sleep', '1000'])
    await ok('run', '--detach', '--bundle', user.bundle, id)
    const typed = ['script', '-qec', `${user.program} exec -t ${id} sh -c 'tty; id -u; exit 3'`, '/dev/null']
    const done = await user.enter([...user.as, ...typed])
    assert.match(done.stdout, /\/dev\/(pts\/\d+|console)\r\n\D*0\r\n/)
    assert.equal(done.code, 3)
  })

  it('maps subordinate ids by newuidmap and newgidmap, and sets groups then', async () => {
    user.configure(
      ['/bin/sh', '-c', 'id -u; id -G; cat /proc/self/uid_map; touch /tmp/x && stat -c %u /tmp/x'],
      (config) => {
        config.linux.uidMappings = [
          { containerID: 0, hostID: UID, size: 1 },
          { containerID: 1, hostID: SUBID, size: 65536 },
        ]
        config.linux.gidMappings = config.linux.uidMappings
        config.process.user = { uid: 33, gid: 34, additionalGids: [5] }
        config.mounts.push({ destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['mode=1777'] })
      },
    )
    const done = await user.berth(['run', '--bundle', user.bundle, id])
    assert.deepEqual([done.code, done.stderr], [0, ''])
    assert.deepEqual(
      done.stdout.split('\n').map((line) => line.trim().replace(/\s+/g, ' ')),
      ['33', '34 5', `0 ${UID} 1`, `1 ${SUBID} 65536`, '33', ''],
    )
  })

  it('names /etc/subuid where ids are not the user’s', async () => {
    user.configure(['/bin/true'], (config) => {
      config.linux.uidMappings = [{ containerID: 0, hostID: 5000, size: 10 }]
    })
    const done = await user.berth(['create', '--bundle', user.bundle, id])
    assert.equal(done.code, 1)
    assert.match(done.stderr, /linux\.uidMappings: .*newuidmap.*not allowed.*\/etc\/subuid.*--add-subuids/)
  })

  it('works without a cgroup: kill --all finds processes, pause and limits say what is missing', async () => {
    user.configure(['/bin/sh', '-c', 'sleep 1000 & sleep 1000 & wait'])
    await ok('run', '--detach', '--bundle', user.bundle, id)
    await until('three processes', async () => JSON.parse(await ok('ps', '--format', 'json', id)).length === 3)
    const paused = await user.berth(['pause', id])
    assert.equal(paused.code, 1)
    assert.match(paused.stderr, /no cgroup of its own/)
    await ok('kill', '--all', id, 'TERM')
    await until(
      'two have ended',
      async () =>
        (await state()).status === 'stopped' || JSON.parse(await ok('ps', '--format', 'json', id)).length === 1,
    )
    await ok('kill', '--all', id, 'KILL')
    await status('stopped')
    await ok('delete', id)
    user.configure(['/bin/true'], (config) => {
      config.linux.resources = { memory: { limit: 1 << 26 } }
    })
    const limited = await user.berth(['create', '--bundle', user.bundle, id])
    assert.equal(limited.code, 1)
    assert.match(limited.stderr, /linux\.resources\.memory\.limit: "\/sys\/fs\/cgroup.*belongs to uid 0.*Delegate=yes/)
  })

  const memory = '/sys/fs/cgroup/memory'
  it('uses a cgroup that was given to the user', {
    skip: !existsSync(`${memory}/tasks`) && 'needs cgroup v1',
  }, async () => {
    const own = readFileSync('/proc/self/cgroup', 'utf8').match(/^\d+:memory:(.*)$/m)?.[1] ?? '/'
    const given = join(memory, own, `given-${process.pid}`)
    mkdirSync(given)
    user.give(given)
    try {
      user.configure(['/bin/sleep', '1000'], (config) => {
        config.linux.resources = { memory: { limit: 1 << 26 } }
      })
      const join_ = ['sh', '-c', `echo $$ >${given}/cgroup.procs && exec "$@"`, 'sh', ...user.as]
      const done = await user.berth(['run', '--detach', '--bundle', user.bundle, id], { prefix: join_ })
      assert.deepEqual([done.code, done.stderr], [0, ''])
      assert.equal(readFileSync(`${given}/berth-${id}/memory.limit_in_bytes`, 'utf8').trim(), String(1 << 26))
      assert.equal(readFileSync(`${given}/berth-${id}/cgroup.procs`, 'utf8').trim(), String((await state()).pid))
      await ok('delete', '--force', id)
      assert.ok(!existsSync(`${given}/berth-${id}`))
    } finally {
      await until('removed', () => {
        try {
          rmdirSync(given)
          return true
        } catch {
          return false
        }
      })
    }
  })

  it('says what XDG_RUNTIME_DIR has to be', async () => {
    const { XDG_RUNTIME_DIR: _, ...env } = user.env
    const unset = await user.berth(['list'], { env })
    assert.equal(unset.code, 1)
    assert.match(unset.stderr, /^berth: XDG_RUNTIME_DIR is not set.*\/run\/user\/12345.*mode 0700/)
    const foreign = await user.berth(['list'], { env: { ...env, XDG_RUNTIME_DIR: '/root' } })
    assert.match(foreign.stderr, /XDG_RUNTIME_DIR=\/root: belongs to uid 0, and you are uid 12345/)
    const missing = await user.berth(['list'], { env: { ...env, XDG_RUNTIME_DIR: '/nowhere' } })
    assert.match(missing.stderr, /XDG_RUNTIME_DIR=\/nowhere: No such file or directory/)
  })

  const inside = () => [...user.as, 'unshare', '--user', '--map-root-user']
  it('is used by root of a user namespace, with and without a namespace of the container’s own', async () => {
    const prefix = [...inside(), '--mount']
    const nested = (change: (config: User['config']) => void) => {
      user.configure(['/bin/sh', '-c', 'id -u; exit 4'], change)
      return user.berth(['run', '--bundle', user.bundle, id], { prefix })
    }
    const shared = await nested((config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }: { type: string }) => type !== 'user')
      delete config.linux.uidMappings
      delete config.linux.gidMappings
    })
    assert.deepEqual(shared, { code: 4, signal: null, stdout: '0\n', stderr: '' })
    const own = await nested((config) => {
      config.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 1 }]
      config.linux.gidMappings = [{ containerID: 0, hostID: 0, size: 1 }]
    })
    assert.deepEqual(own, { code: 4, signal: null, stdout: '0\n', stderr: '' })
    // In the host's mount namespace no mount can be opened beforehand.
    const plain = await user.berth(['run', '--bundle', user.bundle, id], { prefix: inside() })
    assert.deepEqual(plain, { code: 4, signal: null, stdout: '0\n', stderr: '' })
  })

  it('names the sysctl that allows no user namespaces', async () => {
    user.configure(['/bin/true'], (config) => {
      config.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 1 }]
      config.linux.gidMappings = [{ containerID: 0, hostID: 0, size: 1 }]
    })
    const prefix = [...inside(), '--mount', 'sh', '-c', 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', 'sh']
    const done = await user.berth(['create', '--bundle', user.bundle, id], { prefix })
    assert.equal(done.code, 1)
    assert.match(done.stderr, /linux\.namespaces: .*user\.max_user_namespaces is 0/)
  })

  it('serves many at a time', async () => {
    user.configure(['/bin/sh', '-c', 'exit 9'])
    const runs = Array.from({ length: 8 }, (_, n) => user.berth(['run', '--bundle', user.bundle, `${id}-${n}`]))
    for (const done of await Promise.all(runs)) assert.deepEqual([done.code, done.stderr], [9, ''])
  })

  it('hands seccomp listeners over: the one mapped id, and ids of its own', async () => {
    for (const own of [false, true]) {
      const path = join(user.dir, `agent-${own}`)
      await using agent = await Agent.start(path)
      chmodSync(path, 0o777)
      user.configure(['/bin/sleep', '1000'], (config) => {
        config.linux.seccomp = {
          defaultAction: 'SCMP_ACT_ALLOW',
          listenerPath: path,
          syscalls: [{ names: ['write', 'execve'], action: 'SCMP_ACT_NOTIFY' }],
        }
        if (!own) return
        config.process.user = { uid: 7, gid: 7 }
        config.linux.uidMappings = [
          { containerID: 0, hostID: UID, size: 1 },
          { containerID: 1, hostID: SUBID, size: 65536 },
        ]
        config.linux.gidMappings = config.linux.uidMappings
      })
      await ok('create', '--bundle', user.bundle, id)
      await ok('start', id)
      assert.equal(await ok('exec', id, '/bin/echo', 'hello'), 'hello\n')
      assert.deepEqual(
        agent.messages().map((message) => message.state.status),
        ['creating', 'running'],
      )
      await ok('delete', '--force', id)
    }
  })
})
