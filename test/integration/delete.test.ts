/** `kill` and `delete`, whatever state a container is in and whatever of it is lost. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { hasEnded, nothingLeft, snapshot, until } from '../harness/host.ts'
import { berth, run } from '../harness/run.ts'

const id = `delete-${process.pid}`
const dir = `/run/berth/${id}`
const state = async () => JSON.parse((await berth(['state', id])).stdout)
const saved = () => JSON.parse(readFileSync(`${dir}/state.json`, 'utf8'))
const alive = (pid: number) => !hasEnded(pid)
const stopped = () => until('stopped', async () => (await state()).status === 'stopped')
const shared = (config: Config) => {
  config.linux.namespaces = config.linux.namespaces.filter(({ type }: { type: string }) => type !== 'pid')
}
/** Its init and another process, which ends on no signal but SIGKILL. */
const PAIR = ['/bin/sh', '-c', 'trap "" TERM; (trap "" TERM HUP; while :; do sleep 1000; done) & exec sleep 1000']

describe('kill and delete', { skip: notHere }, () => {
  let before: Set<string>
  let bundle: Bundle
  beforeEach(() => {
    before = snapshot()
    bundle = new Bundle(['/bin/sleep', '1000'])
  })
  afterEach(async () => {
    await berth(['delete', '--force', id])
    bundle[Symbol.dispose]()
    // the parent of all goes with the last container that knows of it
    await nothingLeft(before, /^cgroup .*\/berth$/)
  })
  const well = async (...args: string[]) => {
    const { code, stderr } = await berth(args)
    assert.deepEqual([code, stderr], [0, ''], args.join(' '))
  }
  const fails = async (text: RegExp, ...args: string[]) => {
    const { code, stderr } = await berth(args)
    assert.equal(code, 1, args.join(' '))
    assert.match(stderr, text)
  }
  const create = () => well('create', '--bundle', bundle.dir, id)
  const start = () => well('run', '-d', '--bundle', bundle.dir, id)
  /** Processes of the container, once there are so many. */
  const processes = async (count: number): Promise<number[]> => {
    let pids: number[] = []
    await until(`${count} processes`, async () => {
      pids = JSON.parse((await berth(['ps', '-f', 'json', id])).stdout)
      return pids.length >= count
    })
    return pids
  }

  const loseMonitor = async () => {
    const { pid } = saved().monitor
    process.kill(pid, 'SIGKILL')
    await until('it is gone', () => !alive(pid))
  }

  const STATES: Readonly<Record<string, () => Promise<void>>> = {
    created: create,
    running: start,
    paused: async () => {
      await start()
      await well('pause', id)
    },
    'paused before its start': async () => {
      await create()
      await well('pause', id)
    },
    stopped: async () => {
      await start()
      await well('kill', id, 'KILL')
      await stopped()
    },
    'without a monitor': async () => {
      await start()
      await loseMonitor()
    },
    'parked, its monitor killed': async () => {
      await create()
      process.kill(saved().monitor.pid, 'SIGKILL')
      await stopped()
    },
    'without its bundle': async () => {
      await start()
      rmSync(bundle.dir, { recursive: true })
    },
    'without its configuration': async () => {
      await start()
      rmSync(`${dir}/config.json`)
    },
    'with a state that is none': async () => {
      await start()
      writeFileSync(`${dir}/state.json`, '{"version":')
    },
    'cut off before its state was written': async () => {
      await start()
      rmSync(`${dir}/state.json`)
    },
    'without its plan of removal': async () => {
      await start()
      rmSync(`${dir}/undo`)
    },
    'without its plan of removal and its configuration': async () => {
      await start()
      rmSync(`${dir}/undo`)
      rmSync(`${dir}/config.json`)
    },
    'with a plan of removal that is none': async () => {
      await start()
      writeFileSync(`${dir}/undo`, 'BLN1')
    },
    'reserved and nothing else': async () => {
      await start()
      for (const name of readdirSync(dir)) if (name !== 'undo') rmSync(`${dir}/${name}`)
    },
    'without its cgroups': async () => {
      await start()
      await well('kill', id, 'KILL')
      await stopped()
      for (const path of saved().cgroupPaths) await run('rmdir', [path])
    },
    'with cgroups of its own making': async () => {
      await start()
      for (const path of saved().cgroupPaths) await run('mkdir', ['-p', `${path}/a/b`])
    },
    'without a pid namespace, its init gone': async () => {
      bundle.config.process.args = PAIR
      shared(bundle.config)
      bundle.write()
      await start()
      await processes(2)
      process.kill((await state()).pid, 'SIGKILL')
      await stopped()
      assert.ok((await processes(1)).every(alive))
    },
  }
  for (const [name, reach] of Object.entries(STATES))
    it(`delete --force: ${name}`, async () => {
      await reach()
      const done = await berth(['delete', '--force', id])
      assert.equal(done.code, 0, done.stderr)
      assert.ok(!existsSync(dir))
      await fails(/does not exist/, 'state', id)
      await well('delete', '--force', id)
    })

  it('delete takes what is created or stopped, and nothing else', async () => {
    await create()
    await well('delete', id)
    await fails(/does not exist/, 'delete', id)
    await start()
    await fails(new RegExp(`cannot delete container ${id} that is not stopped: running`), 'delete', id)
    await well('kill', id, '9')
    await stopped()
    await well('delete', id)
  })

  it('SIGKILL goes to all processes where nothing else would end them', async () => {
    bundle.config.process.args = PAIR
    shared(bundle.config)
    bundle.write()
    await start()
    const pids = await processes(2)
    await well('kill', id, 'TERM')
    assert.ok(pids.every(alive), 'another signal goes to the init, which ignores it')
    await well('kill', id, 'KILL')
    await until('all are gone', () => !pids.some(alive))
    await stopped()
    await fails(/container not running/, 'kill', id, 'KILL')
  })

  it('SIGKILL ends what an init has left behind', async () => {
    bundle.config.process.args = PAIR
    shared(bundle.config)
    bundle.write()
    await start()
    const pids = await processes(2)
    process.kill((await state()).pid, 'SIGKILL')
    await stopped()
    await fails(/container not running/, 'kill', id, 'TERM')
    await well('kill', id, 'KILL')
    await until('all are gone', () => !pids.some(alive))
  })

  it('signals of a stopped container are an error, but not to all of it', async () => {
    await start()
    for (const form of ['0', 'USR1', 'SIGUSR1', 'usr1', '10', 'SIGRTMIN+1']) await well('kill', id, form)
    await fails(/unknown signal "NONE"/, 'kill', id, 'NONE')
    await fails(/unknown signal "65"/, 'kill', id, '65')
    await well('kill', '--all', id, 'KILL')
    await stopped()
    await fails(/container not running/, 'kill', id)
    await fails(/container not running/, 'kill', id, '0')
    await well('kill', '--all', id, 'KILL')
  })

  it('a pid of before the host was booted is not the container’s', async () => {
    await start()
    const { pid } = await state()
    const text = readFileSync(`${dir}/state.json`, 'utf8')
    const { bootId } = JSON.parse(text)
    await loseMonitor()
    assert.equal(bootId, readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
    writeFileSync(`${dir}/state.json`, text.replace(bootId, '00000000-0000-0000-0000-000000000000'))
    const shown = await state()
    assert.deepEqual([shown.status, shown.pid], ['stopped', 0])
    await fails(/container not running/, 'kill', id, 'KILL')
    assert.ok(alive(pid))
    writeFileSync(`${dir}/state.json`, text)
  })

  it('a pid that another process has by now is not the container’s', async () => {
    await start()
    await loseMonitor()
    const text = readFileSync(`${dir}/state.json`, 'utf8')
    writeFileSync(`${dir}/state.json`, text.replace(/("init":{"pid":\d+,"startTime":)(\d+)/, '$11$2'))
    assert.equal((await state()).status, 'stopped')
    await fails(/container not running/, 'kill', id, 'KILL')
    writeFileSync(`${dir}/state.json`, text)
  })
})
