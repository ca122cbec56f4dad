/** S19 (containerd #10634): in a shared pid namespace nothing ends with init by itself, so that an exec beside its end must be found by who ends the rest. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { forMs } from '../harness/attack.ts'
import { Bundle, type Config, notHere } from '../harness/bundle.ts'
import { hasEnded, until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

const id = `s19-${process.pid}`
const MS = Number(process.env.RACE_MS ?? 2500)

const hostPids = (config: Config) => {
  config.linux.namespaces = config.linux.namespaces.filter(({ type }: { type: string }) => type !== 'pid')
}
/** Processes with this argument, by pid. */
const marked = (mark: string): number[] =>
  readdirSync('/proc')
    .filter((entry) => {
      if (!/^\d+$/.test(entry)) return false
      try {
        return readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0').includes(mark)
      } catch {
        return false // it has ended
      }
    })
    .map(Number)

describe('S19: exec beside the end', { skip: notHere }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  it('no exec outlives the delete of its container, at whatever moment they meet', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], hostPids)
    await forMs(MS, async (round) => {
      const mark = `19${process.pid}${String(round).padStart(4, '0')}`
      assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
      const execs = Array.from({ length: 3 }, () => berth(['exec', '--detach', id, '/bin/sleep', mark]))
      await new Promise((resolve) => setTimeout(resolve, round % 20))
      const done = await berth(['delete', '--force', id])
      const told = await Promise.all(execs)
      // A delete that lost against an exec says so, and the next one finds all that is left.
      if (done.code !== 0) assert.equal((await berth(['delete', '--force', id])).code, 0, done.stderr)
      for (const { code, stderr } of told) if (code !== 0) assert.match(stderr, /^berth: exec: .+\n$/)
      await until('gone', () => marked(mark).length === 0).catch(() =>
        assert.deepEqual(
          marked(mark).map((pid) => readFileSync(`/proc/${pid}/cgroup`, 'utf8')),
          [],
          `round ${round}`,
        ),
      )
    })
  })

  it('an exec whose init ends before it is in the container’s cgroup does not run', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'], hostPids)
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    const { init, cgroupPaths } = JSON.parse(readFileSync(`/run/berth/${id}/state.json`, 'utf8'))
    const freezer = cgroupPaths.find((path: string) => path.includes('/freezer/'))
    if (freezer === undefined) return // the moment can only be held with a freezer that takes new members in
    // Frozen, the new process stops right where it joins: before its first look. Init is not in there, and ends.
    writeFileSync(join(freezer, '..', 'cgroup.procs'), String(init.pid))
    writeFileSync(join(freezer, 'freezer.state'), 'FROZEN')
    const mark = `190${process.pid}`
    const exec = berth(['exec', '--ignore-paused', id, '/bin/sleep', mark])
    await until('the exec in the cgroup', () => readFileSync(join(freezer, 'cgroup.procs'), 'utf8') !== '')
    process.kill(init.pid, 'SIGKILL')
    await until('init gone', () => hasEnded(init.pid))
    writeFileSync(join(freezer, 'freezer.state'), 'THAWED')
    const done = await exec
    assert.notEqual(done.code, 0)
    assert.match(done.stderr, /the container's init has ended/)
    assert.deepEqual(marked(mark), [])
  })
})
