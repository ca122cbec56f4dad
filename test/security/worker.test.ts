/** A worker that was broken into: its program is one that tries what a worker must not be able to do. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { hasEnded, pidsWith, until } from '../harness/host.ts'
import { Installation } from '../harness/install.ts'
import { JudgingNode } from '../harness/judged.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `worker-${process.pid}`
const WORKER = join(import.meta.dirname, 'attacks/worker.cjs')

describe('a worker', { skip: notHere }, () => {
  deletesAfterEach(id)

  it('executes nothing, sees no file but its own, has no socket but for what its policy names', async () => {
    await using installation = new Installation()
    const program = installation.berth
    writeFileSync(join(installation.dist, 'http-proxy.js'), readFileSync(WORKER))
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.annotations = { 'io.berth.policy': 'web' }
    })
    const node = join(bundle.dir, 'node.json')
    writeFileSync(node, JSON.stringify({ policies: bundle.dir }))
    writeFileSync(join(bundle.dir, 'web.json'), JSON.stringify({ http: { allow: ['* *'] } }))
    const made = await berth(['--config', node, 'create', '--bundle', bundle.dir, id], {}, program)
    assert.equal(made.code, 0, made.stderr)
    const [worker = 0] = pidsWith(
      (args) => args[0] === 'berth-worker' && args.some((arg) => arg.startsWith(installation.dist)),
    )
    const status = readFileSync(`/proc/${worker}/status`, 'utf8')
    assert.match(status, /^Seccomp:\t2$/m)
    assert.match(status, /^CapEff:\t0+$/m)

    const log = () => readFileSync(`/run/berth/${id}/http.log`, 'utf8')
    const [line = ''] = log().split('\n')
    const { thread, ...tried } = JSON.parse(line) as Config
    assert.equal(thread, 'works')
    const file = /^(EACCES|ENOENT|EROFS)$/
    const outcomes: Readonly<Record<string, RegExp>> = {
      spawn: /^ENOSYS$/,
      shadow: file,
      hosts: file,
      memory: file,
      write: file,
      make: /^ENOSYS$/,
      listen: /^ENOSYS$/,
      unix: /^ENOSYS$/,
      other: /^EACCES$/,
      signal: /^ENOSYS$/,
      port80: /^ECONNREFUSED$/,
    }
    assert.deepEqual(Object.keys(tried).sort(), Object.keys(outcomes).sort())
    for (const [name, outcome] of Object.entries(outcomes)) assert.match(tried[name], outcome, name)

    // Its last attempt: to become another program. Node ends where that fails, and its container with it.
    const { pid } = JSON.parse((await berth(['state', id], {}, program)).stdout)
    process.kill(worker, 'SIGUSR1')
    await until('its end', () => hasEnded(worker) && hasEnded(pid))
    assert.match(log(), /execve.*ENOSYS|function not implemented/i)
  })

  it('of a module: executes nothing, sees no file but its own, makes no socket', async () => {
    using node = new JudgingNode()
    const flags = node.config(readFileSync(join(import.meta.dirname, 'attacks/module.mjs'), 'utf8'), {
      calls: ['execve'],
    })
    using bundle = new Bundle(['/bin/sleep', '1000'])
    const made = await berth([...flags, 'create', '--bundle', bundle.dir, id])
    assert.equal(made.code, 0, made.stderr)
    const [worker = 0] = pidsWith((args) => args[0] === 'berth-worker' && args.some((arg) => arg.endsWith('/judge.js')))
    assert.match(readFileSync(`/proc/${worker}/status`, 'utf8'), /^CapEff:\t0+$[\s\S]*^Seccomp:\t2$/m)

    const log = () => readFileSync(`/run/berth/${id}/module.log`, 'utf8')
    const [line = ''] = log().split('\n')
    const file = /^(EACCES|ENOENT|EROFS)$/
    const outcomes: Readonly<Record<string, RegExp>> = {
      thread: /^works$/,
      spawn: /^ENOSYS$/,
      bare: /^ENOSYS$/,
      shadow: file,
      memory: file,
      write: file,
      listen: /^ENOSYS$/,
      tcp: /^ENOSYS$/,
      udp: /^ENOSYS$/,
      unix: /^ENOSYS$/,
      abstract: /^ENOSYS$/,
      interfaces: /^ERR_SYSTEM_ERROR$/,
      signal: /^ENOSYS$/,
    }
    const tried = JSON.parse(line) as Config
    assert.deepEqual(Object.keys(tried), Object.keys(outcomes))
    for (const [name, outcome] of Object.entries(outcomes)) assert.match(tried[name], outcome, name)

    // Asked about the container's program it tries to become another one.
    const { pid } = JSON.parse((await berth(['state', id])).stdout)
    await berth(['start', id])
    await until('its end', () => hasEnded(worker) && hasEnded(pid))
    assert.match(log(), /execve.*ENOSYS|function not implemented/i)
  })
})
