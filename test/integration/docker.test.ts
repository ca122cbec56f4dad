/** Docker with berth as a runtime of its own (`--runtime berth`), beside its runc. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, describe, it } from 'node:test'
import { makeRootfs, notHere } from '../harness/bundle.ts'
import { Docker } from '../harness/docker.ts'
import { engineTests } from '../harness/engine.ts'
import { nothingLeft, snapshot } from '../harness/host.ts'

describe('docker', { skip: notHere }, () => {
  let docker: Docker
  let pristine: Set<string>
  before(async () => {
    pristine = snapshot()
    docker = await Docker.start()
    makeRootfs(`${docker.dir}/rootfs`)
    execFileSync('sh', ['-c', `tar -C ${docker.dir}/rootfs -c . | ${docker.client.join(' ')} import - bb:bb`])
  })
  after(async () => {
    await docker?.[Symbol.asyncDispose]()
    await nothingLeft(pristine)
  })

  // Under both runtimes it is containerd's own shim for runc that copies outputs, and now and then loses one at an exit.
  const TRIES = 3
  engineTests(
    (runtime) => ({
      cli: (args, options) => docker.cli(args, options),
      client: docker.client,
      image: 'bb:bb',
      options: ['--runtime', runtime, '--network', 'none'],
    }),
    TRIES,
  )

  it('names berth and its features', async () => {
    const { stdout } = await docker.cli(['info', '-f', '{{json .Runtimes.berth}}'])
    assert.match(stdout, /"path":".*berth"/)
  })
})
