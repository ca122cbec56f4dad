/**
 * Verbs that a monitor answers by itself, or a plan on disk once it has ended: whatever state a container is in, it has to come to what a
 * controller would have made of it. `--debug` is no plain form, so it is what takes the long way.
 */
import assert from 'node:assert/strict'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { binary, hasEnded, nothingLeft, snapshot, until } from '../harness/host.ts'
import { berth, type Finished } from '../harness/run.ts'

const LONG_WAY = '--debug'
const root = mkdtempSync(join(tmpdir(), 'berth-direct-'))
const globals = ['--root', root, '--log', join(root, '.log'), '--log-format=json', '--systemd-cgroup']
const plain = globals.filter((flag) => flag !== '--systemd-cgroup')
const saved = (id: string) => JSON.parse(readFileSync(join(root, id, 'state.json'), 'utf8'))

/** A program without what a controller takes: whatever it manages to do was done without one. */
const alone = mkdtempSync(join(tmpdir(), 'berth-alone-'))
const aloneBinary = join(alone, 'bin/berth')

const well = async (...args: string[]) => {
  const done = await berth([...plain, ...args])
  assert.equal(done.code, 0, `${args.join(' ')}: ${done.stderr}`)
  return done.stdout
}
const statusOf = async (id: string): Promise<string> => JSON.parse(await well(LONG_WAY, 'state', id)).status

/** Says what a process was given, and what it may. */
const ALL_OF_IT = `printf '<%s> ' "$0" "$@"; pwd; env | sort; umask; ls /proc/self/fd; cat /proc/self/limits /proc/self/cgroup
for name in /proc/self/ns/*; do readlink $name; done
grep -E '^(Name|Umask|Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp|SigBlk|SigIgn|SigCgt|Cpus_allowed|Mems_allowed)' /proc/self/status
cat /proc/self/oom_score_adj; cut -d ' ' -f 4-8,18,19,41 /proc/self/stat; read line && echo "$line"; echo out; echo err >&2; exit 7`

describe('verbs without a controller', { skip: notHere }, () => {
  let onHost: Set<string>
  let bundle: Bundle
  const ids = new Set<string>()
  let count = 0

  /** A container of this configuration, in a state. */
  type Reach = (id: string) => Promise<void>
  const create = async (id: string, of = bundle) => {
    await well('create', '--bundle', of.dir, id)
  }
  /** Once the end of its process is known. */
  const settled: Reach = (id) =>
    until(
      'stopped',
      () => !existsSync(join(root, id)) || [saved(id).init, saved(id).monitor].every(({ pid }) => hasEnded(pid)),
    )
  const stop: Reach = async (id) => {
    await well('kill', id, 'KILL')
    await settled(id)
  }
  const loseMonitor: Reach = async (id) => {
    const { pid } = saved(id).monitor
    process.kill(pid, 'SIGKILL')
    await until('it is gone', () => hasEnded(pid))
  }
  const start: Reach = async (id) => {
    await create(id)
    await well('start', id)
  }
  const STATES: Readonly<Record<string, Reach>> = {
    created: create,
    running: start,
    paused: async (id) => {
      await start(id)
      await well('pause', id)
    },
    'paused before its start': async (id) => {
      await create(id)
      await well('pause', id)
    },
    stopped: async (id) => {
      await start(id)
      await stop(id)
    },
    'stopped, never started': async (id) => {
      await create(id)
      await stop(id)
    },
    'running without its monitor': async (id) => {
      await start(id)
      await loseMonitor(id)
    },
    'created, its monitor killed': async (id) => {
      await create(id)
      await loseMonitor(id)
      await until('stopped', async () => (await statusOf(id)) === 'stopped')
    },
    missing: async () => {},
  }
  /** With words for what differs between two containers. */
  const alike = (text: string, id: string) =>
    text
      .replaceAll(id, 'ID')
      .replace(/\n {2}"(pid|created)": [^\n]+/g, '')
      .replace(/(?<=:\[)\d+(?=\])/g, 'NAMESPACE')
  const outcome = async (id: string, { code, stdout, stderr }: Finished) => {
    const dir = join(root, id)
    const left = existsSync(dir) ? readdirSync(dir).sort() : []
    const after = await berth([...plain, LONG_WAY, 'state', id])
    return {
      code,
      left: left.filter((name) => name !== 'lock'),
      ...Object.fromEntries(
        Object.entries({ stdout, stderr, state: after.stdout, none: after.stderr }).map(([name, text]) => [
          name,
          alike(text, id),
        ]),
      ),
    }
  }
  const fresh = () => {
    const id = `direct-${process.pid}-${count++}`
    ids.add(id)
    return id
  }

  before(() => {
    onHost = snapshot()
    bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.annotations = { 'a "b"': '\n  "pid": 0', 'org.opencontainers.image.stopSignal': 'SIGUSR1' }
    })
    mkdirSync(join(alone, 'bin'))
    cpSync(binary, aloneBinary)
  })
  after(async () => {
    for (const id of ids) if (existsSync(join(root, id))) await berth([...plain, 'delete', '--force', id])
    bundle[Symbol.dispose]()
    rmSync(root, { recursive: true })
    rmSync(alone, { recursive: true })
    await nothingLeft(onHost, /^cgroup .*\/berth$/)
  })

  const FORMS: readonly (readonly string[])[] = [
    ['state'],
    ['start'],
    ['kill'],
    ['kill', '9'],
    ['kill', 'SIGTERM'],
    ['kill', 'NONE'],
    ['pause'],
    ['resume'],
    ['delete'],
    ['delete', '--force'],
    ['exec', 'sh', '-c', ALL_OF_IT, 'a b', '--', '-x', ''],
    ['exec', '/bin/sh', '-c', 'kill -TERM $$'],
    ['exec', 'no-such-program'],
    ['exec', '/etc'],
    ['exec', ''],
    ['exec', '--', 'true'],
    ['exec'],
  ]
  const argsOf = ([verb = '', ...words]: readonly string[], id: string) => [verb, id, ...words]

  for (const [name, reach] of Object.entries(STATES))
    it(`come to the same as with one: ${name}`, async () => {
      for (const form of FORMS) {
        const [one, other] = [fresh(), fresh()]
        await Promise.all([reach(one), reach(other)])
        const ends = form.includes('9') ? settled : async () => {}
        const [direct, long] = await Promise.all(
          [plain, [...plain, LONG_WAY]].map(async (flags, index) => {
            const id = index === 0 ? one : other
            const done = await berth([...flags, ...argsOf(form, id)])
            await ends(id)
            return await outcome(id, done)
          }),
        )
        assert.deepEqual(direct, long, form.join(' '))
        await Promise.all([one, other].map((id) => well('delete', '--force', id)))
      }
    })

  it('need none in the states that they are for', async () => {
    const id = fresh()
    const lonely = async (...args: string[]) => {
      const done = await berth([...globals, ...args], {}, aloneBinary)
      assert.deepEqual([done.code, done.stderr], [0, ''], args.join(' '))
      return done.stdout
    }
    await create(id)
    assert.equal(JSON.parse(await lonely('state', id)).status, 'created')
    await lonely('pause', id)
    assert.equal(JSON.parse(await lonely('state', id)).status, 'paused')
    await lonely('resume', id)
    await lonely('start', id)
    assert.equal(await lonely('exec', id, 'echo', 'a  b'), 'a  b\n')
    const { status, pid, annotations } = JSON.parse(await lonely('state', id))
    assert.deepEqual([status, pid, annotations], ['running', saved(id).init.pid, bundle.config.annotations])
    await lonely('kill', id, 'WINCH')
    await lonely('kill', id, 'SIGKILL')
    await until('it has ended', () => hasEnded(pid))
    await lonely('delete', '--force', id)
    assert.ok(!existsSync(join(root, id)))
    const refused = await berth([...globals, 'state', id], {}, aloneBinary)
    assert.equal(refused.code, 1)
  })

  it('leave every id and form that is none to the controller', async () => {
    for (const args of [
      ['state', '../x'],
      ['state', ''],
      ['state', '.shim'],
      ['state'],
      ['kill', 'a', 'b', 'c'],
      ['start', '-x'],
    ]) {
      const [direct, long] = await Promise.all([berth([...plain, ...args]), berth([...plain, LONG_WAY, ...args])])
      assert.notEqual(direct.code, 0)
      assert.deepEqual(direct, long, args.join(' '))
    }
  })

  const FAILING: Readonly<Record<string, (config: Config, dir: string) => void>> = {
    'what can’t be executed': (config, dir) => {
      writeFileSync(join(dir, 'rootfs/tmp/none'), 'no program\n')
      chmodSync(join(dir, 'rootfs/tmp/none'), 0o755)
      config.process.args = ['/tmp/none']
    },
    'a poststart hook': (config) => {
      config.hooks = { poststart: [{ path: '/bin/sh', args: ['sh', '-c', 'echo no >&2; exit 3'] }] }
    },
    'a startContainer hook': (config) => {
      config.hooks = { startContainer: [{ path: '/bin/sh', args: ['sh', '-c', 'exit 4'] }] }
    },
  }
  for (const [name, change] of Object.entries(FAILING))
    it(`a start that fails is told as ever: ${name}`, async () => {
      using failing = new Bundle(['/bin/sleep', '1000'], () => {})
      change(failing.config, failing.dir)
      failing.write()
      const [one, other] = [fresh(), fresh()]
      await create(one, failing)
      await create(other, failing)
      const direct = await berth([...plain, 'start', one])
      const long = await berth([...plain, LONG_WAY, 'start', other])
      assert.equal(direct.code, 1)
      assert.deepEqual(await outcome(one, direct), await outcome(other, long))
    })

  it('hooks see the same', async () => {
    using hooked = new Bundle(['/bin/sleep', '1000'], () => {})
    const seen = (id: string) => join(hooked.dir, id)
    hooked.config.hooks = { poststart: [{ path: '/bin/sh', args: ['sh', '-c', 'cat >$(mktemp -p .)'] }] }
    hooked.config.hooks.poststop = hooked.config.hooks.poststart
    hooked.write()
    const told: string[][] = []
    for (const flag of [[], [LONG_WAY]]) {
      const id = fresh()
      await create(id, hooked)
      await well(...flag, 'start', id)
      const { pid } = saved(id).init
      await stop(id)
      await well(...flag, 'delete', id)
      const files = readdirSync(hooked.dir).filter((name) => name.startsWith('tmp.'))
      told.push(
        files.map((name) => readFileSync(seen(name), 'utf8').replace(String(pid), 'PID').replace(id, 'ID')).sort(),
      )
      for (const name of files) rmSync(seen(name))
    }
    assert.equal(told[0]?.length, 2)
    assert.deepEqual(told[0], told[1])
  })

  it('start once, however many ask', async () => {
    for (let i = 0; i < 3; i++) {
      const id = fresh()
      await create(id)
      const starts = await Promise.all([[], [LONG_WAY], [], []].map((flag) => berth([...plain, ...flag, 'start', id])))
      assert.deepEqual(starts.map(({ code }) => code).sort(), [0, 1, 1, 1])
      for (const { code, stderr } of starts)
        if (code !== 0) assert.match(stderr, /already running container|being started by another command/)
      assert.equal(await statusOf(id), 'running')
    }
  })

  it('leave nothing where a delete meets a start', async () => {
    for (let i = 0; i < 3; i++) {
      const id = fresh()
      await create(id)
      const { init, monitor } = saved(id)
      const [, removed] = await Promise.all([
        berth([...plain, 'start', id]),
        berth([...plain, 'delete', '--force', id]),
      ])
      assert.equal(removed.code, 0, removed.stderr)
      assert.ok(!existsSync(join(root, id)))
      assert.ok(hasEnded(init.pid) && hasEnded(monitor.pid))
    }
  })
})
