/** linux.resources.devices on cgroup v2, with device nodes that are really there. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { describe, it } from 'node:test'
import type { Config } from '../../harness/bundle.ts'
import { cleanly, exec, refused, run, start } from './container.ts'

const KMSG = { type: 'c', major: 1, minor: 11 }
const PORT = { type: 'c', major: 1, minor: 4 }
const { rdev } = statSync('/dev/vdd')
const DISK = { type: 'b', major: Number((BigInt(rdev) >> 8n) & 0xfffn), minor: rdev & 0xff }

/** Nodes that everybody may use as far as their modes go, and the rules. */
const withRules = (rules: readonly object[]) => (config: Config) => {
  config.linux.devices = [
    { path: '/dev/kmsg', ...KMSG, fileMode: 0o666 },
    { path: '/dev/port', ...PORT, fileMode: 0o666 },
    { path: '/dev/disk', ...DISK, fileMode: 0o666 },
  ]
  config.linux.resources.devices = rules
  for (const set of Object.values(config.process.capabilities) as string[][]) set.push('CAP_SYS_RAWIO', 'CAP_SYSLOG')
}
/** What can be opened, of kmsg and port and disk, to read and to write. */
const TRY = `
for d in kmsg port disk; do
  (: </dev/$d) 2>/dev/null && echo $d r
  (: >>/dev/$d) 2>/dev/null && echo $d w
  (: <>/dev/$d) 2>/dev/null && echo $d rw
done; true`
const opens = async (rules: readonly object[]): Promise<string> => {
  const done = await run(TRY, withRules(rules))
  assert.equal(done.stderr, '')
  return done.stdout.trim().replaceAll('\n', ', ')
}
const ALL = 'kmsg r, kmsg w, kmsg rw, port r, port w, port rw, disk r, disk w, disk rw'

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
    assert.equal(await opens([wildcard]), 'kmsg r, kmsg w, kmsg rw, port r, port w, port rw')
    assert.equal(await opens([wildcard, { allow: false, ...KMSG, access: 'w' }]), 'kmsg r, port r, port w, port rw')
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
