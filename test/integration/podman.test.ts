/** podman over berth: conmon hands `create` its pipes and waits for their EOF (trap 3). */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { makeRootfs, notHere } from '../harness/bundle.ts'
import { binary } from '../harness/host.ts'
import { run } from '../harness/run.ts'

const skip = notHere || (existsSync('/usr/bin/podman') ? false : 'needs podman')

describe('podman', { skip }, () => {
  let dir: string
  const podman = (...args: string[]) =>
    run('/usr/bin/podman', [
      ...['--root', `${dir}/root`, '--runroot', `${dir}/run`, '--runtime', binary, '--cgroup-manager', 'cgroupfs'],
      ...args,
    ])
  // no CAP_SYS_RESOURCE on some hosts: podman's default ulimits would raise the hard limits
  const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'berth-podman-'))
    makeRootfs(`${dir}/rootfs`)
    execFileSync('tar', ['-C', `${dir}/rootfs`, '-cf', `${dir}/image.tar`, '.'])
    execFileSync('/usr/bin/podman', [
      '--root',
      `${dir}/root`,
      '--runroot',
      `${dir}/run`,
      'import',
      '-q',
      `${dir}/image.tar`,
      'bb',
    ])
  })
  after(async () => {
    if (!dir) return
    await podman('rm', '-af')
    execFileSync('sh', ['-c', `umount -R ${dir}/root/overlay 2>/dev/null; true`])
    rmSync(dir, { recursive: true, force: true })
  })

  it('run returns with the output and the exit code', async () => {
    const done = await podman(
      'run',
      '--rm',
      '--network',
      'none',
      ...limits,
      'bb',
      '/bin/sh',
      '-c',
      'echo hello; exit 6',
    )
    assert.equal(done.stdout, 'hello\n', done.stderr)
    assert.equal(done.code, 6, done.stderr)
  })

  it('exec and stop work on a detached container', async () => {
    const started = await podman('run', '-d', '--name', 'd', '--network', 'none', ...limits, 'bb', '/bin/sleep', '1000')
    assert.equal(started.code, 0, started.stderr)
    const done = await podman('exec', 'd', '/bin/echo', 'inside')
    assert.equal(done.stdout, 'inside\n', done.stderr)
    assert.equal((await podman('stop', '-t', '0', 'd')).code, 0)
  })
})
