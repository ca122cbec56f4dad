/** Hooks get the state on stdin as runc gives it, byte for byte (trap 13). */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { binary } from '../harness/host.ts'
import { run } from '../harness/run.ts'

const runc = '/usr/sbin/runc'
const kinds = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop']

describe('hooks', { skip: notHere || (existsSync(runc) ? false : 'needs runc') }, () => {
  it('run in order with the state that runc gives', async () => {
    const out = mkdtempSync(join(tmpdir(), 'berth-hooks-'))
    const id = `hooks-${process.pid}`
    using bundle = new Bundle(['/bin/true'], (config) => {
      config.ociVersion = '1.0.2' // runc writes its own, as the state's version
      config.annotations = { b: '2', a: '"1"' }
      config.mounts.push({ destination: '/out', type: 'bind', source: out, options: ['bind', 'rw'] })
      config.hooks = Object.fromEntries(
        kinds.map((kind) => {
          const file = kind === 'startContainer' ? '/out/states' : `${out}/states`
          const script = `printf '%s ' ${kind} >>${file}; cat >>${file}; echo >>${file}`
          return [kind, [{ path: '/bin/sh', args: ['sh', '-c', script] }]]
        }),
      )
    })
    const states = async (runtime: string) => {
      rmSync(`${out}/states`, { force: true })
      const done = await run(runtime, ['run', '--bundle', bundle.dir, id])
      assert.equal(done.code, 0, done.stderr)
      // the pid differs from run to run
      return readFileSync(`${out}/states`, 'utf8')
        .replaceAll(/"pid":[1-9]\d*/g, '"pid":N')
        .split('\n')
        .filter(Boolean)
    }
    try {
      const ours = await states(binary)
      const theirs = await states(runc)
      assert.deepEqual(
        ours.map((line) => line.split(' ')[0]),
        kinds,
      )
      // runc writes the version of the specification it was made for
      const version = (lines: string[]) =>
        lines.map((line) => line.replace(/"ociVersion":"[^"]*"/, '"ociVersion":"V"')).sort()
      // runc 1.1 runs poststart before the process has begun, and says so; the specification (and runc from 1.5 on) says running
      const running = (lines: string[]) =>
        lines.map((line) => (line.startsWith('poststart ') ? line.replace('"created"', '"running"') : line))
      // the public validation suite and crun have prestart see what version 1.0 called created
      const created = (lines: string[]) =>
        lines.map((line) => (line.startsWith('prestart ') ? line.replace('"creating"', '"created"') : line))
      assert.deepEqual(version(ours), version(created(running(theirs))))
    } finally {
      rmSync(out, { recursive: true, force: true })
    }
  })
})
