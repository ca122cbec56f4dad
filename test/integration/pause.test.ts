/** pause and resume on the command line. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `pause-${process.pid}`

describe('pause', { skip: notHere }, () => {
  deletesAfterEach(id)
  const status = async (): Promise<string> => JSON.parse((await berth(['state', id])).stdout).status
  const well = async (...args: string[]) => {
    const done = await berth(args)
    assert.equal(done.code, 0, done.stderr)
  }
  const refused = async (reason: RegExp, ...args: string[]) => {
    const done = await berth(args)
    assert.equal(done.code, args[0] === 'exec' ? 255 : 1, done.stderr)
    assert.match(done.stderr, reason)
  }

  it('nothing of a paused container runs, all of it after resume', async () => {
    using bundle = new Bundle(['/bin/sh', '-c', 'while :; do cat /proc/uptime >/tmp/beat; done'], (config) => {
      config.root.readonly = false
    })
    writeFileSync(`${bundle.dir}/rootfs/tmp/beat`, '')
    await well('run', '-d', '--bundle', bundle.dir, id)
    const beat = () => readFileSync(`${bundle.dir}/rootfs/tmp/beat`, 'utf8')
    await until('it beats', () => beat() !== '')
    await well('pause', id)
    assert.equal(await status(), 'paused')
    const last = beat()
    assert.equal((await berth(['ps', id])).code, 0)
    assert.equal(beat(), last)
    await refused(/container not running: .* is paused/, 'pause', id)
    await refused(/cannot exec in a paused container \(use --ignore-paused to override\)/, 'exec', id, '/bin/true')
    await refused(/that is not stopped: paused/, 'delete', id)
    await well('resume', id)
    assert.equal(await status(), 'running')
    await until('it beats again', () => beat() !== last && beat() !== '')
    await refused(/container not paused/, 'resume', id)
  })

  it('a container that is created can be paused, a stopped one can not', async () => {
    using bundle = new Bundle(['/bin/true'])
    await well('create', '--bundle', bundle.dir, id)
    await well('pause', id)
    assert.equal(await status(), 'paused')
    await refused(/cannot start a container in the paused state/, 'start', id)
    await well('resume', id)
    assert.equal(await status(), 'created')
    await well('start', id)
    await until('stopped', async () => (await status()) === 'stopped')
    await refused(/container not running: .* is stopped/, 'pause', id)
  })

  it('SIGKILL and a forced delete end a paused container', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    await well('run', '-d', '--bundle', bundle.dir, id)
    await well('pause', id)
    await well('kill', id, 'KILL')
    await until('stopped', async () => (await status()) === 'stopped')
    await well('delete', id)
    await well('run', '-d', '--bundle', bundle.dir, id)
    await well('pause', id)
    await well('delete', '--force', id)
  })

  it('a container that there is not', async () => {
    await refused(/does not exist/, 'pause', 'nobody')
    await refused(/does not exist/, 'resume', 'nobody')
  })
})
