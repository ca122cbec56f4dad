/** What makes a controller boot late, with nothing that fails: code that comes compiled and is thrown away. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { nodeFlags } from '../../scripts/rehearsal/rehearse.ts'
import { Bundle, notHere } from '../harness/bundle.ts'
import { dist, until } from '../harness/host.ts'
import { Installation } from '../harness/install.ts'
import { berth, run } from '../harness/run.ts'

const logs = '/run/berth/.controller'
const logLines = (): readonly string[] =>
  readdirSync(logs)
    .filter((name) => name.endsWith('.log'))
    .flatMap((name) => readFileSync(join(logs, name), 'utf8').split('\n'))
const lateStarts = (): number => logLines().filter((line) => line.endsWith('the start takes longer')).length

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

  it('loads of Node, up to the first step of a create and after it, what is listed here', async () => {
    const id = `boot-${process.pid}`
    await using installation = new Installation()
    using bundle = new Bundle(['/bin/true'])
    // The welcome and the first step are written by fs, before the network's modules are loaded (src/controller/link.ts).
    installation.replaceController(`
      const fs = require('node:fs')
      const before = new Set(process.moduleLoadList)
      const loaded = () => process.moduleLoadList.flatMap((name) =>
        before.has(name) ? [] : (/^NativeModule (?!internal\\/)(.*)$/.exec(name)?.slice(1) ?? []))
      const { writeSync } = fs
      const early = []
      fs.writeSync = (...args) => {
        if (early.length < 2) early.push(loaded())
        return writeSync(...args)
      }
      process.on('exit', () => process.stderr.write('${id}: ' + JSON.stringify({ early, late: loaded().sort() }) + '\\n'))
      require('./real.js')`)
    const create = ['--no-controller', 'create', '--bundle', bundle.dir, id]
    assert.equal((await run(installation.berth, create, { stdio: 'ignore' })).code, 0)
    assert.equal((await run(installation.berth, ['delete', '--force', id])).code, 0)
    const said = () => logLines().find((line) => line.startsWith(`${id}: `))
    await until('the controller has left', () => said() !== undefined)
    assert.deepEqual(JSON.parse(said()?.slice(id.length + 2) ?? ''), {
      early: [['vm'], ['vm']],
      late: ['net', 'stream', 'stream/promises', 'string_decoder', 'v8', 'vm'],
    })
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
