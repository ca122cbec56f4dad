/** Annotations that engines rely on. */
import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { binary, leftOver, snapshot, until } from '../harness/host.ts'
import { berth, run } from '../harness/run.ts'

describe('annotations', { skip: notHere }, () => {
  let before: Set<string>
  const id = `annotated-${process.pid}`
  beforeEach(() => {
    before = snapshot()
  })
  afterEach(async () => {
    await berth(['delete', '--force', id])
    assert.deepEqual(leftOver(before), [])
  })
  const annotated = (annotations: Config, args: readonly string[], change: (config: Config) => void = () => {}) =>
    new Bundle(args, (config) => {
      config.annotations = annotations
      change(config)
    })

  it('org.opencontainers.image.stopSignal is what kill sends where it is not told', async () => {
    const script = 'trap "exit 7" USR1; trap "exit 8" TERM; while :; do sleep 1; done'
    using bundle = annotated({ 'org.opencontainers.image.stopSignal': 'SIGUSR1' }, ['/bin/sh', '-c', script])
    const done = run(binary, ['run', '--bundle', bundle.dir, id])
    await until('it runs', async () => (await berth(['ps', id])).stdout.includes('sleep 1'))
    assert.equal((await berth(['kill', id])).stderr, '')
    assert.equal((await done).code, 7)
  })

  it('a stop signal that is none is an error, and others can still be sent', async () => {
    using bundle = annotated({ 'org.opencontainers.image.stopSignal': 'SIGNONE' }, ['/bin/sleep', '1000'])
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).stderr, '')
    const bad = await berth(['kill', id])
    assert.equal(bad.code, 1)
    assert.match(bad.stderr, /SIGNONE/)
    assert.equal((await berth(['kill', id, 'KILL'])).stderr, '')
  })

  it("run.oci.keep_original_groups keeps the caller's groups", async () => {
    using bundle = annotated({ 'run.oci.keep_original_groups': '1' }, ['/bin/grep', 'Groups', '/proc/self/status'])
    const keep = await run('setpriv', ['--groups', '7,4242', binary, 'run', '--bundle', bundle.dir, id])
    assert.deepEqual([keep.stderr, keep.stdout.trim().split(/\s+/)], ['', ['Groups:', '7', '4242']])
    bundle.config.annotations = {}
    bundle.write()
    const none = await run('setpriv', ['--groups', '7,4242', binary, 'run', '--bundle', bundle.dir, id])
    assert.deepEqual([none.stderr, none.stdout.trim()], ['', 'Groups:'])
  })

  it('unknown ones are ignored', async () => {
    using bundle = annotated({ 'run.oci.unknown': '1', 'org.example/x': '' }, ['/bin/true'])
    assert.equal((await berth(['run', '--bundle', bundle.dir, id])).stderr, '')
  })
})
