/** HOME, where the configuration leaves it to the container. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { afterEach, describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { berth, run } from '../harness/run.ts'

const id = `home-${process.pid}`

describe('HOME', { skip: notHere }, () => {
  afterEach(async () => {
    await berth(['delete', '--force', id])
  })
  /** What the process prints of its environment's HOME, by runc and by berth. */
  const homes = async (passwd: string | ((path: string) => void), uid: number, env: readonly string[] = []) => {
    using bundle = new Bundle(['/bin/sh', '-c', 'echo "$HOME"'], (config) => {
      config.process.user = { uid, gid: uid }
      config.process.env = ['PATH=/bin', ...env]
    })
    const path = `${bundle.dir}/rootfs/etc/passwd`
    // users other than root have to get through
    chmodSync(`${bundle.dir}/rootfs`, 0o755)
    rmSync(path)
    if (typeof passwd === 'string') writeFileSync(path, passwd)
    else passwd(path)
    const theirs = await run('runc', ['run', '--bundle', bundle.dir, id])
    const ours = await berth(['run', '--bundle', bundle.dir, id])
    assert.equal(ours.code, 0, ours.stderr)
    return [ours.stdout.trim(), theirs.stdout.trim()]
  }
  const both = (text: string) => [text, text]
  const USERS = 'root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh'

  it('is the entry of the uid', async () => {
    assert.deepEqual(await homes(USERS, 0), both('/root'))
    assert.deepEqual(await homes(USERS, 1000), both('/home/u'), 'the last line has no newline')
    assert.deepEqual(await homes(USERS, 1001), both('/'))
    assert.deepEqual(await homes(`u:x:7:7:${'g'.repeat(3000)}:/h:\n`, 7), both('/h'))
  })

  it('is / where there is no such file', async () => {
    assert.deepEqual(await homes(() => {}, 0), both('/'))
  })

  it('is what the configuration says, where it says it', async () => {
    assert.deepEqual(await homes(USERS, 0, ['HOME=/given']), both('/given'))
  })

  it('passes over what is no entry', async () => {
    const [ours] = await homes(
      `\n:\n#c\nu:x:07x:1:::\nv:x:-1:1::/v:\nw:x:9\n${'l'.repeat(9000)}:x:9:9::/l:\nu:x:9:9::/ok:\n`,
      9,
    )
    assert.equal(ours, '/ok')
    assert.equal((await homes('u:x:9:9:::\n', 9))[0], '/')
  })

  it('reads nothing but a file, and none outside of the container', async () => {
    const fifo = (path: string) => execFileSync('mkfifo', [path])
    assert.equal((await homes((path) => mkdirSync(path), 0))[0], '/')
    const elsewhere = (path: string) => {
      writeFileSync(`${path}.real`, 'root:x:0:0:root:/inside:/bin/sh\n')
      symlinkSync('/../../../etc/passwd.real', path)
    }
    assert.equal((await homes(elsewhere, 0))[0], '/inside', 'symlinks lead to places in the container')
    using bundle = new Bundle(['/bin/sh', '-c', 'echo "$HOME"'])
    rmSync(`${bundle.dir}/rootfs/etc/passwd`)
    fifo(`${bundle.dir}/rootfs/etc/passwd`)
    assert.equal((await berth(['run', '--bundle', bundle.dir, id])).stdout.trim(), '/')
  })

  it('is another user’s for an exec as that user', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    chmodSync(`${bundle.dir}/rootfs`, 0o755)
    writeFileSync(`${bundle.dir}/rootfs/etc/passwd`, USERS)
    assert.equal((await berth(['run', '-d', '--bundle', bundle.dir, id])).code, 0)
    const done = await berth(['exec', '-u', '1000', id, '/bin/sh', '-c', 'echo $HOME'])
    assert.deepEqual([done.code, done.stdout], [0, '/home/u\n'])
  })
})
