/** What makes a controller boot late, with nothing that fails: code that comes compiled and is thrown away. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { nodeFlags } from '../../scripts/rehearsal/rehearse.ts'
import { notHere } from '../harness/bundle.ts'
import { dist } from '../harness/host.ts'
import { Installation } from '../harness/install.ts'
import { berth, run } from '../harness/run.ts'

const logs = '/run/berth/.controller'
const lateStarts = (): number =>
  readdirSync(logs)
    .filter((name) => name.endsWith('.log'))
    .flatMap((name) => readFileSync(join(logs, name), 'utf8').split('\n'))
    .filter((line) => line.endsWith('the start takes longer')).length

describe('boot of a controller', { skip: notHere }, () => {
  it('runs the program from what was compiled when it was built, and says where it can’t', async () => {
    assert.equal((await berth(['--no-controller', '--version'])).code, 0)
    const before = lateStarts()
    assert.equal((await berth(['--no-controller', '--version'])).code, 0)
    assert.equal(lateStarts(), before)

    await using installation = new Installation()
    // Of a controller that is given another flag.
    installation.replaceController(`require('node:v8').setFlagsFromString('--expose-gc'); require('./real.js')`)
    const { code, stdout } = await run(installation.berth, ['--no-controller', '--version'])
    assert.equal(code, 0)
    assert.match(stdout, /^berth version/)
    assert.equal(lateStarts(), before + 1)
  })

  it('leaves Node what comes compiled with it', () => {
    // --expose-internals is none of V8's.
    const script = `
      const { internalBinding } = require('internal/test/binding')
      require('node:net'); require('node:cluster')
      const { compiledWithCache, compiledWithoutCache } = internalBinding('builtins').getCacheUsage()
      console.log(JSON.stringify({ with: [...compiledWithCache], without: [...compiledWithoutCache] }))`
    const look = (flags: readonly string[]) =>
      JSON.parse(execFileSync(join(dist, 'node'), [...flags, '--expose-internals', '-e', script], { encoding: 'utf8' }))
    assert.ok(look(nodeFlags()).with.includes('net'))
    assert.ok(look(['--expose-gc']).without.includes('net'), 'the test can fail')
  })
})
