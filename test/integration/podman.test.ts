/** podman over berth: conmon hands `create` its pipes and waits for their EOF (trap 3), and reaps the init by the pid file. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { makeRootfs, notHere } from '../harness/bundle.ts'
import { type Engine, engineTests } from '../harness/engine.ts'
import { binary } from '../harness/host.ts'
import { type Finished, run } from '../harness/run.ts'

const program = '/usr/bin/podman'
const skip = notHere || (existsSync(program) ? false : 'needs podman')

describe('podman', { skip }, () => {
  let dir: string
  const engine = (runtime: 'runc' | 'berth'): Engine => {
    const storage = ['--root', `${dir}/root`, '--runroot', `${dir}/run`, '--cgroup-manager', 'cgroupfs']
    const client = [program, ...storage, '--runtime', runtime === 'berth' ? binary : runtime]
    return {
      client,
      // conmon leaves a file where it is when a container runs out of memory
      cli: (args, options) => run(program, [...client.slice(1), ...args], { cwd: dir, ...options }),
      image: 'bb',
      // no CAP_SYS_RESOURCE on some hosts: podman's default ulimits would raise the hard limits
      options: ['--network', 'none', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'],
    }
  }
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'berth-podman-'))
    makeRootfs(`${dir}/rootfs`)
    execFileSync('sh', ['-c', `tar -C ${dir}/rootfs -c . | ${engine('berth').client.join(' ')} import -q - bb`])
  })
  after(async () => {
    if (!dir) return
    await engine('berth').cli(['rm', '-af'])
    execFileSync('sh', ['-c', `umount -R ${dir}/root/overlay 2>/dev/null; true`])
    // conmon's own `podman container cleanup` may still be at work in there.
    rmSync(dir, { recursive: true, force: true, maxRetries: 20 })
  })

  engineTests(engine)

  it('--uidmap: a user namespace', async () => {
    const map = ['--uidmap', '0:100000:1000', '--gidmap', '0:100000:1000']
    const script = 'cat /proc/self/uid_map; id; touch /x; ls -ln /x | cut -c1-20; mount -t tmpfs t /tmp; echo $?'
    const seen: Finished[] = []
    for (const runtime of ['runc', 'berth'] as const) {
      const { cli, image, options } = engine(runtime)
      seen.push(await cli(['run', '--rm', ...map, ...options, image, '/bin/sh', '-c', script]))
    }
    assert.match(seen[0]?.stdout ?? '', / 100000 /)
    assert.deepEqual(seen[1], seen[0])
  })
})
