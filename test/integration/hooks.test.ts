/** Hooks get the state on stdin as runc gives it, byte for byte (trap 13). */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { binary, nothingLeft, snapshot, until } from '../harness/host.ts'
import { berth, run } from '../harness/run.ts'

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

  describe('failures and surroundings', () => {
    let before: Set<string>
    let out: string
    const id = `hooked-${process.pid}`
    beforeEach(() => {
      before = snapshot()
      out = mkdtempSync(join(tmpdir(), 'berth-hooks-'))
    })
    afterEach(async () => {
      await berth(['delete', '--force', id])
      rmSync(out, { recursive: true })
      await nothingLeft(before)
    })
    const hook = (script: string) => ({ path: '/bin/sh', args: ['sh', '-c', script] })
    const said = () => (existsSync(`${out}/log`) ? readFileSync(`${out}/log`, 'utf8') : '')
    const bundleOf = (hooks: Readonly<Record<string, readonly Config[]>>) =>
      new Bundle(['/bin/sleep', '1000'], (config) => {
        config.hooks = { poststop: [hook(`echo poststop >>${out}/log`)], ...hooks }
      })

    for (const kind of ['prestart', 'createRuntime', 'createContainer'])
      it(`${kind}: a failure is one of create, which leaves nothing; poststop hooks run`, async () => {
        using bundle = bundleOf({ [kind]: [hook('echo why >&2; exit 3'), hook(`echo second >>${out}/log`)] })
        const done = await berth(['create', '--bundle', bundle.dir, id])
        assert.equal(done.code, 1)
        assert.match(done.stderr, new RegExp(`hooks\\.${kind}.*exit status 3: why`))
        assert.equal(said(), 'poststop\n')
        assert.notEqual((await berth(['state', id])).code, 0)
      })

    for (const kind of ['startContainer', 'poststart'])
      it(`${kind}: a failure is one of start; the container is stopped and destroyed, poststop hooks run`, async () => {
        using bundle = bundleOf({ [kind]: [hook('exit 4')] })
        assert.equal((await berth(['create', '--bundle', bundle.dir, id])).stderr, '')
        const { pid } = JSON.parse((await berth(['state', id])).stdout)
        const done = await berth(['start', id])
        assert.equal(done.code, 1)
        assert.match(done.stderr, new RegExp(`hooks.${kind}.*exit status 4`))
        assert.equal(said(), 'poststop\n')
        assert.notEqual((await berth(['state', id])).code, 0)
        await until('the process is gone', () => !existsSync(`/proc/${pid}/cwd`))
      })

    it('poststop: a failure is a warning, and the others run', async () => {
      using bundle = bundleOf({ poststop: [hook('exit 5'), hook(`echo second >>${out}/log`)] })
      await berth(['create', '--bundle', bundle.dir, id])
      const done = await berth(['delete', id])
      assert.equal(done.code, 0)
      assert.match(done.stderr, /poststop.*exit status 5/)
      assert.equal(said(), 'second\n')
    })

    it('a hook that takes too long is killed', async () => {
      using bundle = bundleOf({ createRuntime: [{ ...hook('exec sleep 1000'), timeout: 1 }] })
      const done = await berth(['create', '--bundle', bundle.dir, id])
      assert.equal(done.code, 1)
      assert.match(done.stderr, /timed out after 1 s/)
    })

    it('start in the bundle, with their own environment or a PATH', async () => {
      const tell = `echo $(pwd) "$(env | grep -v -e ^PWD -e ^SHLVL -e ^_= -e ^OLDPWD)" >>${out}/log`
      const kinds = ['prestart', 'createRuntime', 'poststart', 'poststop']
      using bundle = bundleOf(
        Object.fromEntries(kinds.map((kind) => [kind, [hook(tell), { ...hook(tell), env: ['A=b'] }]])),
      )
      const caller = { cwd: out, env: { ...process.env, SECRET: 'of the caller' } }
      assert.equal((await berth(['create', '--bundle', bundle.dir, id], caller)).stderr, '')
      assert.equal((await berth(['start', id], caller)).stderr, '')
      assert.equal((await berth(['delete', '--force', id], caller)).stderr, '')
      const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
      assert.deepEqual(
        said().split('\n').filter(Boolean),
        kinds.flatMap(() => [`${bundle.dir} ${path}`, `${bundle.dir} A=b`]),
      )
    })
  })
})
