/** process.apparmorProfile in force, where AppArmor is. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Config } from '../../harness/bundle.ts'
import { cleanly, exec, initPid, read, refused, run, start } from './container.ts'

const confined = (name: string) => (config: Config) => {
  config.process.apparmorProfile = name
}

describe('AppArmor', () => {
  cleanly()

  it('confines the process, and what is executed beside it', async () => {
    const script = 'cat /etc/group >/dev/null && ! cat /etc/passwd'
    const done = await run(script, confined('berth-test'))
    assert.equal(done.code, 0, done.stderr)
    assert.match(done.stderr, /passwd.*Permission denied/)
    await start('sleep 1000', confined('berth-test'))
    assert.equal(read(`/proc/${await initPid()}/attr/current`), 'berth-test (enforce)')
    assert.match((await exec('cat /etc/passwd')).stderr, /Permission denied/)
  })

  it('is left alone where nobody asks', async () => {
    const done = await run('cat /proc/self/attr/current /etc/passwd')
    assert.match(done.stdout, /^unconfined\nroot:/)
  })

  it('a profile that is not loaded is an error that names it', async () => {
    assert.match(await refused(confined('not-there')), /apparmorProfile.*no such label: "exec not-there"/)
  })
})
