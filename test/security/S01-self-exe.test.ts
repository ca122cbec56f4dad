/** S1 (CVE-2019-5736) and trap 1: what runs before a container's own program is a file of the host's, and nobody in there can write to it. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { noCompiler } from '../harness/attack.ts'
import { Bundle, notHere } from '../harness/bundle.ts'
import { binary } from '../harness/host.ts'
import { Pod, privileged, stateOf } from '../harness/pod.ts'
import { berth } from '../harness/run.ts'

const id = `s1-${process.pid}`
const hash = () => createHash('sha256').update(readFileSync(binary)).digest('hex')
const refused = /EROFS|ETXTBSY|EACCES|EPERM/

describe('S1: our own executable', { skip: notHere || noCompiler }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  it('a parked init and its monitor have one that even the host’s root cannot open for writing', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    const { init, monitor } = JSON.parse(readFileSync(`/run/berth/${id}/state.json`, 'utf8'))
    const { pid } = init
    for (const each of [pid, monitor.pid]) assert.throws(() => openSync(`/proc/${each}/exe`, 'r+'), refused)
    // not even once nothing executes it any more, through a descriptor that was opened before
    const fd = openSync(`/proc/${pid}/exe`, 'r')
    await berth(['delete', '--force', id])
    assert.throws(() => openSync(`/proc/self/fd/${fd}`, 'r+'), refused)
    closeSync(fd)
  })

  it('a pod-mate with every capability sees it of a parked one, and gets neither a writable mount of it nor a new one', async () => {
    const before = hash()
    await using pod = await Pod.start(`${id}-mate`, privileged)
    using bundle = new Bundle(['/bin/true'], pod.join)
    assert.equal((await berth(['create', '--bundle', bundle.dir, id])).code, 0)
    const got = await pod.pry((await stateOf(id)).pid)
    assert.ok(got.includes('open exe'), 'the attack did not get where it has to fail')
    assert.deepEqual(
      got.filter((line) => /write|remount|clone/.test(line)),
      [],
    )
    assert.equal(hash(), before)
  })

  it('an image whose programs lead to /proc/self/exe runs berth in the container, where it writes nothing', async () => {
    const before = hash()
    using bundle = new Bundle(['/bin/sleep', '1000'], privileged)
    const rootfs = join(bundle.dir, 'rootfs')
    symlinkSync('/proc/self/exe', join(rootfs, 'self'))
    writeFileSync(join(rootfs, 'shebang'), '#!/proc/self/exe\n', { mode: 0o755 })
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    for (const program of ['/proc/self/exe', '/self', '/shebang']) {
      const done = await berth(['exec', id, program, 'state', 'none'])
      assert.notEqual(done.code, 0, program)
      assert.equal((await berth(['exec', id, '/bin/true'])).code, 0)
    }
    assert.equal(hash(), before)
  })
})
