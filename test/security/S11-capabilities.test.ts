/** S11 (CVE-2022-29162): init and exec have exactly the five sets that were asked for, whoever they run as, and nothing inheritable besides. */
import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { capabilityMask } from '../../src/spec/capabilities.ts'
import { Bundle, notHere } from '../harness/bundle.ts'
import { berth } from '../harness/run.ts'

const id = `s11-${process.pid}`
const SETS = {
  inheritable: 'CapInh',
  permitted: 'CapPrm',
  effective: 'CapEff',
  bounding: 'CapBnd',
  ambient: 'CapAmb',
} as const
type Sets = Partial<Record<keyof typeof SETS, readonly string[]>>

const NONE: Sets = {}
const NET = ['CAP_NET_BIND_SERVICE', 'CAP_NET_RAW']
const MANY = [...NET, 'CAP_CHOWN', 'CAP_KILL', 'CAP_AUDIT_WRITE']
const MATRIX: readonly [string, Sets][] = [
  ['none', NONE],
  ['docker’s way', { bounding: MANY, effective: MANY, permitted: MANY }],
  ['bounding only', { bounding: MANY }],
  ['permitted, not effective', { bounding: MANY, permitted: MANY, effective: NET }],
  ['inheritable too', { bounding: MANY, permitted: MANY, effective: MANY, inheritable: NET }],
  ['ambient too', { bounding: MANY, permitted: MANY, effective: MANY, inheritable: NET, ambient: NET }],
]

/**
 * What execve(2) makes of the sets (capabilities(7)): root gains all that bounding and inheritable let it, with no_new_privs nothing; others
 * have the ambient ones.
 */
const expected = (sets: Sets, uid: number, noNewPrivileges: boolean): Record<string, string> => {
  const mask = (name: keyof typeof SETS) => capabilityMask(sets[name])
  const ambient = mask('ambient')
  const ofRoot = (mask('bounding') | mask('inheritable')) & (noNewPrivileges ? mask('permitted') : -1n)
  const permitted = uid === 0 ? ofRoot : ambient
  const hex = (value: bigint) => value.toString(16).padStart(16, '0')
  return {
    CapInh: hex(mask('inheritable')),
    CapPrm: hex(permitted),
    CapEff: hex(permitted),
    CapBnd: hex(mask('bounding')),
    CapAmb: hex(ambient),
  }
}
const told = (status: string): Record<string, string> =>
  Object.fromEntries(
    Object.values(SETS).map((name) => [name, new RegExp(`^${name}:\\s*(\\w+)$`, 'm').exec(status)?.[1] ?? '']),
  )

describe('S11: capabilities', { skip: notHere }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  for (const [name, sets] of MATRIX)
    for (const uid of [0, 1000])
      for (const noNewPrivileges of [true, false])
        it(`${name}, uid ${uid}, ${noNewPrivileges ? '' : 'not '}no_new_privs: init, exec and exec of a file the same`, async () => {
          const look = ['/bin/cat', '/proc/self/status']
          using bundle = new Bundle(look, (config) => {
            Object.assign(config.process, { capabilities: sets, user: { uid, gid: uid }, noNewPrivileges })
          })
          chmodSync(join(bundle.dir, 'rootfs'), 0o755)
          const wanted = expected(sets, uid, noNewPrivileges)
          const init = await berth(['run', '--bundle', bundle.dir, id])
          assert.deepEqual(told(init.stdout), wanted, init.stderr)
          const file = join(bundle.dir, 'process.json')
          writeFileSync(file, JSON.stringify(bundle.config.process))
          bundle.config.process.args = ['/bin/sleep', '1000']
          bundle.write()
          assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
          assert.deepEqual(told((await berth(['exec', id, ...look])).stdout), wanted, 'exec')
          assert.deepEqual(told((await berth(['exec', '--process', file, id])).stdout), wanted, 'exec --process')
        })

  it('exec --cap adds to all sets but the inheritable one', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      config.process.capabilities = { bounding: NET, effective: NET, permitted: NET }
    })
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    const done = await berth(['exec', '--cap', 'CAP_SYS_PTRACE', id, '/bin/cat', '/proc/self/status'])
    const more = [...NET, 'CAP_SYS_PTRACE']
    assert.deepEqual(told(done.stdout), expected({ bounding: more, effective: more, permitted: more }, 0, true))
  })

  it('what `berth spec` writes has none that is inheritable', () => {
    using bundle = new Bundle()
    const { inheritable = [], ambient = [] } = bundle.config.process.capabilities
    assert.deepEqual([inheritable, ambient], [[], []])
  })
})
