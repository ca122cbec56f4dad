/** S2 (CVE-2024-21626): no descriptor of ours or of the caller's leads a container to the host, neither as its directory nor as it is. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { binary } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

const id = `s2-${process.pid}`
const LEAKED = 64

/** Runs berth with the host's root directory open as every descriptor from 3 to 63, not close-on-exec. */
async function leaking(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'berth-leak-'))
  const root = openSync('/', 'r')
  const [out, err] = [openSync(join(dir, 'out'), 'w'), openSync(join(dir, 'err'), 'w')]
  try {
    const stdio = ['ignore' as const, out, err, ...Array.from({ length: LEAKED - 3 }, () => root)]
    const child = spawn(binary, args, { stdio })
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
    return { code, stdout: readFileSync(join(dir, 'out'), 'utf8'), stderr: readFileSync(join(dir, 'err'), 'utf8') }
  } finally {
    for (const fd of [root, out, err]) closeSync(fd)
    rmSync(dir, { recursive: true })
  }
}

describe('S2: descriptors and the working directory', { skip: notHere }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  it('an init does not start in /proc/self/fd/N, with nothing leaked or with the host’s root leaked as every N', async () => {
    using bundle = new Bundle(['/bin/pwd'])
    for (let fd = 3; fd < LEAKED; fd += 4) {
      bundle.config.process.cwd = `/proc/self/fd/${fd}${fd % 8 === 3 ? '' : '/../..'}`
      bundle.write()
      const done = await leaking(['run', '--bundle', bundle.dir, id])
      assert.equal(done.code, 1, `${bundle.config.process.cwd}: ${done.stdout}`)
      assert.match(done.stderr, /process\.cwd.*(symlink|no such file)/)
    }
  })

  it('nor does an exec, nor one whose directory is a symlink of the image’s to there', async () => {
    using bundle = new Bundle(['/bin/sleep', '1000'])
    for (let fd = 3; fd < LEAKED; fd++) symlinkSync(`/proc/self/fd/${fd}`, join(bundle.dir, `rootfs/cwd${fd}`))
    assert.equal((await berth(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    for (let fd = 3; fd < LEAKED; fd += 4)
      for (const cwd of [`/proc/self/fd/${fd}`, `/cwd${fd}`, `/proc/1/fd/${fd}`, '/proc/1/cwd/../../..']) {
        const done = await leaking(['exec', '--cwd', cwd, id, '/bin/sh', '-c', 'pwd; ls'])
        assert.notEqual(done.code, 0, `${cwd}: ${done.stdout}`)
        assert.equal(done.stdout, '')
      }
  })

  it('init and exec have 0 to 2 open and nothing else, whatever the caller had open', async () => {
    // The shell's own look opens one more, for the directory that it reads; a pipe would open others for a moment.
    const look = ['/bin/sh', '-c', 'ls /proc/self/fd | wc -l; cd /proc/$$/fd && echo *']
    using bundle = new Bundle(look)
    const expected = /^4\n0 1 2( 3| 10| 255)?\n$/
    const init = await leaking(['run', '--bundle', bundle.dir, id])
    assert.match(init.stdout, expected, init.stderr)
    bundle.config.process.args = ['/bin/sleep', '1000']
    bundle.write()
    assert.equal((await leaking(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    const exec = await leaking(['exec', id, ...look])
    assert.match(exec.stdout, expected, exec.stderr)
  })

  it('init and exec have those of --preserve-fds and no more', async () => {
    const look = ['/bin/sh', '-c', 'ls /proc/self/fd | tr "\\n" " "']
    using bundle = new Bundle(look)
    const init = await leaking(['run', '--preserve-fds', '2', '--bundle', bundle.dir, id])
    assert.equal(init.stdout, '0 1 2 3 4 5 ', init.stderr)
    bundle.config.process.args = ['/bin/sleep', '1000']
    bundle.write()
    assert.equal((await leaking(['run', '--detach', '--bundle', bundle.dir, id])).code, 0)
    const exec = await leaking(['exec', '--preserve-fds', '2', id, ...look])
    assert.equal(exec.stdout, '0 1 2 3 4 5 ', exec.stderr)
  })
})
