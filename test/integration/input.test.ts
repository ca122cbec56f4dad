/** Bad input: one line that says what and where, exit code 1 (2 for usage), and nothing changed. */
import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { nothingLeft, snapshot } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

const id = `bad-${process.pid}`

/** Expects a failure of one line, and a host as it was. */
async function refused(args: readonly string[], code: number, says: RegExp): Promise<void> {
  const before = snapshot()
  const done = await berth(args)
  assert.equal(done.code, code, `${args.join(' ')}: ${done.stderr}`)
  assert.equal(done.stdout, '')
  assert.match(done.stderr, says)
  if (code === 1) assert.equal(done.stderr.trimEnd().split('\n').length, 1, done.stderr)
  await nothingLeft(before)
}

describe('bad input', { skip: notHere }, () => {
  it('no bundle', () => refused(['create', '--bundle', '/nowhere', id], 1, /\/nowhere/))
  it('no id', () => refused(['create'], 2, /ID/))
  it('an unknown verb', () => refused(['frobnicate'], 2, /frobnicate/))
  it('an unknown flag', () => refused(['create', '--frobnicate', id], 2, /frobnicate/))
  it('an unknown container', () => refused(['start', `${id}-none`], 1, /does not exist/))

  it('invalid JSON', () => {
    using bundle = new Bundle()
    writeFileSync(join(bundle.dir, 'config.json'), '{"ociVersion": "1.0.2",')
    return refused(['create', '--bundle', bundle.dir, id], 1, /config\.json/)
  })
  it('a missing config.json', () => {
    using bundle = new Bundle()
    rmSync(join(bundle.dir, 'config.json'))
    return refused(['create', '--bundle', bundle.dir, id], 1, /config\.json/)
  })

  const changes: [string, (config: Bundle['config']) => void, RegExp][] = [
    [
      'a wrong type',
      (c) => {
        c.mounts[3].destination = 7
      },
      /mounts\/3\/destination/,
    ],
    [
      'a missing rootfs',
      (c) => {
        c.root.path = 'nothing'
      },
      /nothing/,
    ],
    [
      'a missing program',
      (c) => {
        c.process.args = ['/bin/nope']
      },
      /\/bin\/nope/,
    ],
    [
      'a program that is not on PATH',
      (c) => {
        c.process.args = ['nope']
      },
      /nope.*not found/,
    ],
    [
      'a missing bind source',
      (c) => {
        c.mounts.push({ destination: '/x', type: 'bind', source: '/no/source', options: ['bind'] })
      },
      /\/no\/source/,
    ],
    [
      'an unknown namespace',
      (c) => {
        c.linux.namespaces.push({ type: 'moon' })
      },
      /namespaces/,
    ],
    [
      'an unknown filesystem',
      (c) => {
        c.mounts.push({ destination: '/x', type: 'nosuchfs', source: 'x' })
      },
      /nosuchfs/,
    ],
    [
      'a relative cwd',
      (c) => {
        c.process.cwd = 'tmp'
      },
      /cwd/,
    ],
    [
      'an unknown seccomp action',
      (c) => {
        c.linux.seccomp = { defaultAction: 'SCMP_ACT_SHRUG' }
      },
      /seccomp\/defaultAction/,
    ],
    [
      'an unknown sysctl',
      (c) => {
        c.linux.sysctl = { 'net.nope.nope': '1' }
      },
      /net[./]nope/,
    ],
    [
      'a namespace path that is none',
      (c) => {
        c.linux.namespaces[1].path = '/dev/null'
      },
      /dev\/null|namespaces/,
    ],
    [
      'a failing hook',
      (c) => {
        c.hooks = { createRuntime: [{ path: '/bin/sh', args: ['sh', '-c', 'echo no luck >&2; exit 3'] }] }
      },
      /no luck|status 3/,
    ],
  ]
  for (const [name, change, says] of changes)
    it(name, async () => {
      using bundle = new Bundle(['/bin/true'], change)
      await refused(['create', '--bundle', bundle.dir, id], 1, says)
    })

  for (const bad of ['a/b', '..', '.', '-x', 'a b', '', 'x'.repeat(2000)])
    it(`the id ${JSON.stringify(bad.slice(0, 10))}`, async () => {
      using bundle = new Bundle()
      await refused(['create', '--bundle', bundle.dir, '--', bad], 1, /id/)
    })

  it('an unknown signal', async () => {
    using bundle = new Bundle(['/bin/true'])
    await berth(['create', '--bundle', bundle.dir, id])
    try {
      await refused(['kill', id, 'NOPE'], 1, /NOPE/)
    } finally {
      await berth(['delete', '--force', id])
    }
  })
})
