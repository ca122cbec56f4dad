/** What ended a container, and the limit of how long it may run. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `reason-${process.pid}`

describe('the end of a container', { skip: notHere }, () => {
  deletesAfterEach(id)

  /** What it executes later has to be there still: with a bundle of the caller's own. */
  const start = async (args: readonly string[], change?: (config: Config) => void) => {
    using bundle = new Bundle(args, change)
    await begin(bundle)
  }
  const begin = async (bundle: Bundle) => {
    for (const command of [
      ['create', '--bundle', bundle.dir, id],
      ['start', id],
    ]) {
      const { code, stderr } = await berth(command)
      assert.equal(code, 0, stderr)
    }
  }
  const state = async () => JSON.parse((await berth(['state', id])).stdout) as Config
  const reason = async (): Promise<string> => {
    // It is stopped a moment before its monitor has seen that.
    await until('its end is written down', () => existsSync(`/run/berth/${id}/exit.json`))
    const { status, annotations } = await state()
    assert.equal(status, 'stopped')
    assert.equal(JSON.parse(readFileSync(`/run/berth/${id}/exit.json`, 'utf8')).reason, annotations['io.berth.reason'])
    return annotations['io.berth.reason']
  }
  const within =
    (seconds: string, change: (config: Config) => void = () => {}) =>
    (config: Config) => {
      config.annotations = { 'io.berth.limits.maxDuration': seconds }
      change(config)
    }

  it('by itself, by a signal, for want of memory', async () => {
    await start(['/bin/sh', '-c', 'exit 137'])
    assert.equal(await reason(), 'exit')
    await berth(['delete', id])
    await start(['/bin/sleep', '1000'])
    assert.equal((await state()).annotations?.['io.berth.reason'], undefined)
    await berth(['kill', id, 'KILL'])
    assert.equal(await reason(), 'signal')
    await berth(['delete', id])
    await start(['/bin/sh', '-c', 'x=0123456789abcdef; while :; do x=$x$x; done'], (config) => {
      config.linux.resources = { ...config.linux.resources, memory: { limit: 16 << 20, swap: 16 << 20 } }
    })
    assert.equal(await reason(), 'oom')
  })

  it('when its time is over', async () => {
    await start(['/bin/sleep', '1000'], within('0.3'))
    assert.equal(await reason(), 'timeout')
  })

  it('counts the time from the start, and not where it ends before', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'exit 3'], within('1'))
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    await new Promise((resolve) => setTimeout(resolve, 1200))
    assert.equal((await state()).status, 'created')
    assert.equal((await berth(['start', id])).code, 0)
    assert.equal(await reason(), 'exit')
  })

  it('when its time is over though it is paused', async () => {
    await start(['/bin/sleep', '1000'], within('1'))
    assert.equal((await berth(['pause', id])).code, 0)
    assert.equal(await reason(), 'timeout')
  })

  it('takes all of its processes along where it has no pid namespace of its own', async () => {
    using bundle = new Bundle(
      ['/bin/sh', '-c', 'sleep 1000 & sleep 1000'],
      within('2', (config) => {
        config.linux.namespaces = config.linux.namespaces.filter(({ type }: Config) => type !== 'pid')
      }),
    )
    await begin(bundle)
    let pids: string[] = []
    await until('all of them', async () => {
      pids = (JSON.parse((await berth(['ps', '--format', 'json', id])).stdout) as number[]).map(String)
      return pids.length >= 2
    })
    assert.equal(await reason(), 'timeout')
    await until('ended', () =>
      pids.every((pid) => {
        try {
          return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
        } catch {
          return true
        }
      }),
    )
  })

  it('can not be by its output, which nobody sees here', async () => {
    using bundle = new Bundle(['/bin/true'], (config) => {
      config.annotations = { 'io.berth.limits.output': '1K' }
    })
    const { code, stderr } = await berth(['create', '--bundle', bundle.dir, id])
    assert.equal(code, 1)
    assert.match(stderr, /limits\.output: is for containers of containerd/)
  })

  it('ends `berth run`, which says so by its exit code', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], within('0.3'))
    assert.equal((await berth(['run', '--bundle', bundle.dir, id])).code, 137)
  })
})
