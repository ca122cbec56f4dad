/** linux.resources.devices on cgroup v2, with device nodes that are really there. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { describe, it } from 'node:test'
import type { Config } from '../../harness/bundle.ts'
import { cleanly, exec, refused, run, start } from './container.ts'

const KMSG = { type: 'c', major: 1, minor: 11 }
const numbers = (path: string) => {
  const { rdev } = statSync(path)
  return { major: (rdev >> 8) & 0xfff, minor: rdev & 0xff }
}
const LATENCY = { type: 'c', ...numbers('/dev/cpu_dma_latency') }
const DISK = { type: 'b', ...numbers('/dev/vdd') }

/** Nodes that everybody may use as far as their modes go, and the rules. */
const withRules = (rules: readonly object[]) => (config: Config) => {
  config.linux.devices = [
    { path: '/dev/kmsg', ...KMSG, fileMode: 0o666 },
    { path: '/dev/latency', ...LATENCY, fileMode: 0o666 },
    { path: '/dev/disk', ...DISK, fileMode: 0o666 },
  ]
  config.linux.resources.devices = rules
  for (const set of Object.values(config.process.capabilities) as string[][]) set.push('CAP_SYSLOG')
}
/** What can be opened, of kmsg, latency and disk, to read and to write. */
const TRY = `
for d in kmsg latency disk; do
  (: </dev/$d) 2>/dev/null && echo $d r
  (: >>/dev/$d) 2>/dev/null && echo $d w
  (: <>/dev/$d) 2>/dev/null && echo $d rw
done; true`
const opens = async (rules: readonly object[]): Promise<string> => {
  const done = await run(TRY, withRules(rules))
  assert.equal(done.stderr, '')
  return done.stdout.trim().replaceAll('\n', ', ')
}
const ALL = 'kmsg r, kmsg w, kmsg rw, latency r, latency w, latency rw, disk r, disk w, disk rw'

describe('device rules on cgroup v2', () => {
  cleanly()

  it('deny what is not named', async () => {
    assert.equal(await opens([]), '')
    assert.equal(await opens([{ allow: false }]), '')
  })

  it('leave the default devices usable', async () => {
    const done = await run(
      'echo x >/dev/null && head -c 4 /dev/zero | wc -c && head -c 1 /dev/urandom | wc -c && ! echo x >/dev/full',
      withRules([{ allow: false }]),
    )
    assert.equal(done.code, 0, done.stderr)
    assert.equal(done.stdout, '4\n1\n')
  })

  it('allow one device, one kind of access', async () => {
    assert.equal(await opens([{ allow: false }, { allow: true, ...KMSG, access: 'r' }]), 'kmsg r')
    assert.equal(await opens([{ allow: true, ...DISK, access: 'rw' }]), 'disk r, disk w, disk rw')
  })

  it('allow by wildcards, with holes in them', async () => {
    const wildcard = { allow: true, type: 'c', major: 1, minor: -1, access: 'rwm' }
    const minor = { allow: true, type: 'c', major: -1, minor: LATENCY.minor }
    assert.equal(await opens([wildcard]), 'kmsg r, kmsg w, kmsg rw')
    assert.equal(await opens([minor]), 'latency r, latency w, latency rw')
    assert.equal(await opens([wildcard, { allow: false, ...KMSG, access: 'w' }]), 'kmsg r')
  })

  it('let the last one win', async () => {
    assert.equal(await opens([{ allow: true }]), ALL)
    assert.equal(await opens([{ allow: true }, { allow: false, type: 'c' }]), 'disk r, disk w, disk rw')
    assert.equal(await opens([{ allow: false, type: 'c' }, { allow: true }]), ALL)
  })

  it('hold for nodes that the container makes', async () => {
    const script = `mknod /tmp/kmsg c 1 11 && ! (: </tmp/kmsg) 2>/dev/null && echo refused`
    const done = await run(script, (config) => {
      withRules([{ allow: false }])(config)
      config.root.readonly = false
      for (const set of Object.values(config.process.capabilities) as string[][]) set.push('CAP_MKNOD')
    })
    assert.equal(done.stdout, 'refused\n', done.stderr)
  })

  it('hold for an exec, and from the first moment', async () => {
    await start('sleep 1000', withRules([{ allow: true, ...KMSG, access: 'r' }]))
    assert.equal((await exec(TRY)).stdout, 'kmsg r\n')
  })

  it('refuse a number that no device has', async () => {
    const text = await refused(withRules([{ allow: true, type: 'c', major: 4294967296, minor: 0 }]))
    assert.match(text, /devices\/0\/major/)
  })
})
