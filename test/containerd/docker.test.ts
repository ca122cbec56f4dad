/** Docker over containerd's task API: `--runtime io.containerd.berth.v2` beside `io.containerd.runc.v2`. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, describe, it } from 'node:test'
import { makeRootfs } from '../harness/bundle.ts'
import { Containerd, noContainerd } from '../harness/containerd.ts'
import { Docker } from '../harness/docker.ts'
import { type Both, engineTests } from '../harness/engine.ts'
import { nothingLeft, snapshot, until } from '../harness/host.ts'

describe('docker with the shim', { skip: noContainerd }, () => {
  let containerd: Containerd
  let docker: Docker
  let pristine: Set<string>
  before(async () => {
    pristine = snapshot()
    containerd = await Containerd.start('2.1')
    docker = await Docker.start(containerd.socket)
    makeRootfs(`${docker.dir}/rootfs`)
    execFileSync('sh', ['-c', `tar -C ${docker.dir}/rootfs -c . | ${docker.client.join(' ')} import - bb:bb`])
  })
  after(async () => {
    await docker?.[Symbol.asyncDispose]()
    await containerd?.[Symbol.asyncDispose]()
    await nothingLeft(pristine)
  })

  const both: Both = engineTests((runtime) => ({
    cli: (args, options) => docker.cli(args, options),
    client: docker.client,
    image: 'bb:bb',
    // runc's shim tells of none where one of cgroup v1's hierarchies is not mounted
    toldOfOom: runtime === 'berth',
    options: ['--runtime', `io.containerd.${runtime}.v2`, '--network', 'none'],
  }))

  it('the engine tells the same events', async () => {
    await both(async ({ cli, image, options, toldOfOom }, name) => {
      const id = `events-${name}`
      const since = (await cli(['info', '-f', '{{.SystemTime}}'])).stdout.trim()
      const limits = ['--memory', '16m', '--memory-swap', '16m']
      await cli(['run', '-d', '--name', id, ...limits, ...options, image, '/bin/sleep', '1000'])
      await cli(['exec', id, '/bin/sh', '-c', 'exit 3'])
      await cli(['pause', id])
      await cli(['unpause', id])
      // it outlives the process that the kernel ends for its memory
      await cli(['exec', id, '/bin/tail', '/dev/zero'])
      await cli(['kill', id])
      await cli(['wait', id])
      const format = '{{.Action}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.signal}}'
      const told = async () => {
        const until = (await cli(['info', '-f', '{{.SystemTime}}'])).stdout.trim()
        const window = ['--since', since, '--until', until, '--filter', `container=${id}`]
        return (await cli(['events', ...window, '--format', format])).stdout
      }
      await until('the end is told', async () => /^die /m.test(await told()))
      const all = await told()
      await cli(['rm', '-f', id])
      if (toldOfOom) assert.match(all, /^oom .*\nexec_die 137 /m)
      return all.replace(/^oom .*\n/m, '')
    })
  })

  it('containers outlive the daemon, and end under the next one', async () => {
    const name = (runtime: string) => `outlives-${runtime}`
    await both(async ({ cli, image, options }, runtime) => {
      const script = 'echo up; until test -e /tmp/go; do sleep 0.1; done; echo down; exit 5'
      await cli(['run', '-d', '--name', name(runtime), ...options, image, '/bin/sh', '-c', script])
    })
    await docker.restart()
    await both(async ({ cli }, runtime) => {
      const id = name(runtime)
      const inside = await cli(['exec', id, '/bin/touch', '/tmp/go'])
      const ended = await cli(['wait', id])
      const logs = await cli(['logs', id])
      await cli(['rm', '-f', id])
      return [inside, ended, logs]
    })
  })
})
