/** Containers of an engine that run in the background, and what is done with them there. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import type { Both, Engine } from './engine.ts'
import { until } from './host.ts'
import { type Finished, terminal } from './run.ts'

/** A container in the background; it is removed with this object. */
class Background implements AsyncDisposable {
  readonly id: string
  readonly engine: Engine
  /** What was said of it, its names left out. */
  readonly seen: unknown[] = []

  private constructor(engine: Engine, id: string) {
    this.engine = engine
    this.id = id
  }

  static async run(engine: Engine, id: string, script: string, options: readonly string[] = []): Promise<Background> {
    const words = ['run', '-d', '--name', id, ...options, ...engine.options, engine.image, '/bin/sh', '-c', script]
    const done = await engine.cli(words)
    assert.equal(done.code, 0, done.stderr)
    return new Background(engine, id)
  }

  async say(...args: string[]): Promise<Finished> {
    return await this.tell('', ...args)
  }

  /** With standard input. */
  async tell(input: string, ...args: string[]): Promise<Finished> {
    const done = await this.engine.cli(args, { input })
    // the client warns of what the host lacks for networks, in one of the two runs only
    const stdout = done.stdout
      .replace(/[0-9a-f]{64}/g, 'ID')
      .replaceAll(this.id, 'ID')
      .replace(/^IPv4 forwarding.*\n/m, '')
    this.seen.push({ ...done, stdout })
    return done
  }

  async inspect(format: string): Promise<string> {
    return (await this.engine.cli(['inspect', '-f', format, this.id])).stdout.trim()
  }

  /** Waits until it has printed this and nothing else. */
  async printed(text: string): Promise<void> {
    await until(`prints ${text}`, async () => (await this.engine.cli(['logs', this.id])).stdout === text)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine.cli(['rm', '-f', '-t', '0', this.id])
    await this.engine.cli(['rm', '-f', this.id])
  }
}

const FOR_EVER = 'while :; do sleep 0.1; done'

export const backgroundTests = (both: Both): void => {
  it('a life in the background: exec, logs, pause, update, top, stats, stop', async () => {
    await both(async (engine, name) => {
      const { cli, client } = engine
      const script = `trap "echo bye; exit 9" TERM; trap "echo hup" HUP; echo up; ${FOR_EVER}`
      await using it = await Background.run(engine, `life-${name}`, script, ['--memory', '64m'])
      const { id, seen } = it
      await it.printed('up\n')
      await it.say('exec', id, '/bin/echo', 'inside')
      await it.say('exec', '-e', 'X=1', '-w', '/tmp', '-u', '1000', id, '/bin/sh', '-c', 'echo $X; pwd; id -u; exit 5')
      seen.push((await cli(['exec', id, '/nope'])).code)
      await it.tell('one\ntwo\n', 'exec', '-i', id, '/bin/cat')
      seen.push(await terminal([...client, 'exec', '-it', id, '/bin/sh', '-c', 'tty; exit 6']))
      await it.say('pause', id)
      await it.say('inspect', '-f', '{{.State.Status}} {{.State.Paused}}', id)
      await it.say('unpause', id)
      await it.say('update', '--memory', '32m', '--memory-swap', '64m', id)
      const limit = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max'
      await it.say('exec', id, '/bin/sh', '-c', limit)
      await it.say('update', '--cpus', '0.5', id)
      const quota = 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us || cat /sys/fs/cgroup/cpu.max'
      await it.say('exec', id, '/bin/sh', '-c', quota)
      assert.match((await cli(['top', id])).stdout, /trap/)
      const figures = (await cli(['stats', '--no-stream', '--format', '{{.PIDs}}; {{.MemUsage}}', id])).stdout
      const [, processes, used, most] = /^(\d+); ([\d.]+)\S* \/ (\S+)\n$/.exec(figures) ?? assert.fail(figures)
      assert.ok(Number(processes) > 0 && Number(used) > 0, figures)
      seen.push(most)
      await it.say('kill', '-s', 'HUP', id)
      await it.printed('up\nhup\n')
      await it.say('stop', '-t', '10', id)
      await it.say('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', id)
      await it.say('logs', id)
      await it.say('start', id)
      await it.say('kill', id)
      await it.say('wait', id)
      return seen
    })
  })

  it('files in and out, another name, a restart, an image of what it wrote', async () => {
    await both(async (engine, name) => {
      const dir = mkdtempSync(join(tmpdir(), 'berth-cp-'))
      try {
        writeFileSync(join(dir, 'in'), 'from outside\n')
        await using it = await Background.run(engine, `files-${name}`, FOR_EVER)
        const { id } = it
        await it.say('exec', id, '/bin/sh', '-c', 'echo from inside >/root/out')
        it.seen.push((await engine.cli(['cp', `${id}:/root/out`, join(dir, 'out')])).code)
        it.seen.push(readFileSync(join(dir, 'out'), 'utf8'))
        it.seen.push((await engine.cli(['cp', join(dir, 'in'), `${id}:/root/in`])).code)
        await it.say('rename', id, `${id}-renamed`)
        await it.say('restart', '-t', '0', `${id}-renamed`)
        await it.say('exec', `${id}-renamed`, '/bin/cat', '/root/in', '/root/out')
        const image = `of-${name}:1`
        it.seen.push((await engine.cli(['commit', `${id}-renamed`, image])).code)
        await it.say('run', '--rm', ...engine.options, image, '/bin/cat', '/root/in', '/root/out')
        await engine.cli(['rmi', image])
        await it.say('rename', `${id}-renamed`, id)
        return it.seen
      } finally {
        rmSync(dir, { recursive: true })
      }
    })
  })

  it('a volume outlives the container that wrote to it', async () => {
    await both(async ({ cli, image, options }, name) => {
      const volume = `volume-${name}`
      const run = (script: string, mode: string) =>
        cli(['run', '--rm', '-v', `${volume}:/v${mode}`, ...options, image, '/bin/sh', '-c', script])
      const seen = [await run('echo kept >/v/file', ''), await run('cat /v/file; echo more >>/v/file', ':ro')]
      seen.push(await run('rm /v/file && ls /v', ''))
      assert.equal((await cli(['volume', 'rm', volume])).code, 0)
      return seen
    })
  })

  it('logs are followed up to the end', async () => {
    await both(async (engine, name) => {
      const script = 'echo one; until test -e /tmp/go; do sleep 0.1; done; echo two; echo three >&2'
      await using it = await Background.run(engine, `logs-${name}`, script)
      const followed = engine.cli(['logs', '-f', it.id])
      await it.printed('one\n')
      await it.say('exec', it.id, '/bin/touch', '/tmp/go')
      return [await followed, it.seen]
    })
  })

  it('--restart: as often as was said', async () => {
    await both(async (engine, name) => {
      await using it = await Background.run(engine, `again-${name}`, 'echo again; exit 3', [
        '--restart',
        'on-failure:2',
      ])
      const state = () => it.inspect('{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}')
      await until('restarted twice', async () => (await state()) === 'exited 2 3', 20_000)
      return (await engine.cli(['logs', it.id])).stdout
    })
  })

  it("another container's namespaces", async () => {
    await both(async (engine, name) => {
      await using it = await Background.run(engine, `mate-${name}`, `exec sleep 1234`, ['--ipc', 'shareable'])
      const own = engine.options.filter((word, i, all) => word !== '--network' && all[i - 1] !== '--network')
      const of = `container:${it.id}`
      const script = 'ps -o args | grep "[s]leep 1234"; readlink /proc/1/ns/net /proc/1/ns/ipc | sort'
      const same = 'readlink /proc/self/ns/net /proc/self/ns/ipc | sort'
      const joins = ['--pid', of, '--network', of, '--ipc', of]
      const inside = ['/bin/sh', '-c', `${script} >/tmp/a; ${same} >/tmp/b; diff /tmp/a /tmp/b`]
      return await engine.cli(['run', '--rm', ...joins, ...own, engine.image, ...inside])
    })
  })

  it('an OOM kill is told as one', async () => {
    await both(async (engine, name) => {
      const { cli, image, options } = engine
      const id = `oom-${name}`
      const limits = ['--memory', '16m', '--memory-swap', '16m']
      await cli(['run', '--name', id, ...limits, ...options, image, '/bin/tail', '/dev/zero'])
      const told = await cli(['inspect', '-f', '{{.State.OOMKilled}} {{.State.ExitCode}}', id])
      await cli(['rm', '-f', id])
      if (engine.toldOfOom === undefined) return told
      if (engine.toldOfOom) assert.equal(told.stdout, 'true 137\n')
      return undefined
    })
  })

  it('a health check', async () => {
    await both(async (engine, name) => {
      const check = ['--health-cmd', 'test -f /tmp/well', '--health-interval', '1s', '--health-retries', '1']
      await using it = await Background.run(engine, `health-${name}`, 'touch /tmp/well; sleep 1000', check)
      const healthy = async () => {
        await engine.cli(['healthcheck', 'run', it.id])
        return (await it.inspect('{{.State.Health.Status}}')) === 'healthy'
      }
      await until('healthy', healthy, 20_000)
    })
  })
}
