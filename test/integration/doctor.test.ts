/** What `doctor` says of this host, and of hosts that lack something. */
import assert from 'node:assert/strict'
import { release } from 'node:os'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import type { Check } from '../../src/host/examine.ts'
import { notHere } from '../harness/bundle.ts'
import { leftOver, snapshot } from '../harness/host.ts'
import { berth } from '../harness/run.ts'
import { berthWithout, ENOSYS, type Missing } from '../harness/without.ts'

interface Report {
  readonly sound: boolean
  readonly checks: readonly Check[]
}

describe('doctor', { skip: notHere }, () => {
  let seen: Set<string>
  before(async () => {
    await berth(['list'])
  })
  beforeEach(() => {
    seen = snapshot()
  })
  afterEach(() => assert.deepEqual(leftOver(seen), []))

  it('tells people and programs the same', async () => {
    const json = await berth(['doctor', '--json'])
    assert.equal(json.code, 0, json.stderr)
    const { sound, checks }: Report = JSON.parse(json.stdout)
    assert.ok(sound)
    assert.equal(checks.find(({ name }) => name === 'version')?.found, release())
    assert.ok(checks.find(({ name, area }) => area === 'host' && name === 'controller')?.ok)
    const text = await berth(['doctor'])
    assert.equal(text.code, 0)
    assert.match(text.stdout, /^kernel\n {2}ok +version +\d/)
    assert.match(text.stdout, /\ncontainers can be created here\n$/)
    for (const { name, ok, required } of checks) {
      const state = ok ? 'ok' : required ? 'MISSING' : 'missing'
      assert.ok(
        text.stdout.split('\n').some((line) => line.startsWith(`  ${state.padEnd(7)}  ${name}`)),
        name,
      )
    }
  })

  it('finds what is missing by trying it, and what can go without', async () => {
    const look = async (missing: readonly Missing[]) => {
      const { code, stdout } = await berthWithout(missing, ['doctor', '--json'])
      const { checks }: Report = JSON.parse(stdout)
      return { code, lacking: checks.filter(({ ok, found }) => !ok && found === 'ENOSYS').map(({ name }) => name) }
    }
    assert.deepEqual(await look([{ call: 'open_tree', errno: ENOSYS }]), {
      code: 1,
      lacking: ['open_tree', 'mount_setattr', 'idmapped mounts'],
    })
    assert.deepEqual(await look([{ call: 'clone3', errno: ENOSYS }]), {
      code: 0,
      lacking: ['clone3', 'CLONE_INTO_CGROUP'],
    })
    const { code, stdout } = await berthWithout([{ call: 'fsopen', errno: ENOSYS }], ['doctor'])
    assert.equal(code, 1)
    assert.match(stdout, /\n {2}MISSING {2}fsopen.*ENOSYS\n +needed by: root, mounts\n +to get it: Linux 5\.2/)
    assert.match(stdout, /\nno container can be created here without: fsopen/)
  })
})
