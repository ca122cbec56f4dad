/** Checkpoints of containerd: its own client's, on each version. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { Containerd, image, noVersion, runtime, versions } from '../harness/containerd.ts'
import { noCriu, withCriu } from '../harness/criu.ts'
import { nothingLeft, snapshot, until } from '../harness/host.ts'

const COUNTER = 'exec 3>>/data/counts; n=0; while :; do n=$((n+1)); echo $n >&3; echo out $n; usleep 50000; done'

for (const version of versions)
  describe(`checkpoints with containerd ${version}`, { skip: noVersion(version) || noCriu }, () => {
    let containerd: Containerd
    let pristine: Set<string>
    let dir: string
    const id = `checkpoint-${process.pid}`
    const other = `${id}-2`
    const ctr = (...args: string[]) => containerd.ctr(args)
    const well = async (...args: string[]) => {
      const done = await ctr(...args)
      assert.equal(done.code, 0, done.stderr)
      return done
    }
    const counts = (): number[] => {
      const file = join(dir, 'counts')
      return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : []
    }
    const began = async () => {
      const mount = `type=bind,src=${dir},dst=/data,options=rbind:rw`
      await well('run', '-d', '--runtime', runtime, '--mount', mount, image, id, '/bin/sh', '-c', COUNTER)
      await until('it counts', () => counts().length > 3)
    }

    let tools: string
    before(async () => {
      tools = mkdtempSync(join(tmpdir(), 'berth-criu-'))
      containerd = await Containerd.start(version, { wrap: withCriu(tools) })
    })
    after(async () => {
      await containerd?.[Symbol.asyncDispose]()
      rmSync(tools, { recursive: true })
    })
    beforeEach(() => {
      pristine = snapshot()
      dir = mkdtempSync(join(tmpdir(), 'berth-counts-'))
    })
    afterEach(async () => {
      for (const name of [id, other]) {
        await ctr('task', 'rm', '-f', name)
        await ctr('container', 'rm', name)
      }
      rmSync(dir, { recursive: true })
      await nothingLeft(pristine)
    })

    it('a task goes on in another container, with its memory and its files', async () => {
      await began()
      await well('container', 'checkpoint', '--rw', '--image', '--task', id, 'checkpoint:1')
      assert.match((await ctr('task', 'ls')).stdout, new RegExp(`${id} +\\d+ +RUNNING`))
      const left = counts().length
      await until('it counts on', () => counts().length > left + 3)
      await well('task', 'rm', '-f', id)
      const last = counts().length
      await well('container', 'restore', '--rw', '--live', other, 'checkpoint:1')
      await until('it counts from the checkpoint on', () => counts().length > last + 3)
      const [first = 0, second] = counts().slice(last)
      assert.ok(first > 1 && first <= left + 1 && second === first + 1, counts().join())
      assert.match((await well('task', 'ls')).stdout, new RegExp(`${other} +\\d+ +RUNNING`))
      assert.match((await well('task', 'ps', other)).stdout, /^PID +INFO\n\d+ /)
      assert.equal((await well('task', 'exec', '--exec-id', 'e', other, '/bin/echo', 'in')).stdout, 'in\n')
      await well('task', 'kill', '-s', 'KILL', other)
      await until('stopped', async () => /STOPPED/.test((await ctr('task', 'ls')).stdout))
      await well('image', 'rm', 'checkpoint:1')
    })

    // What goes wrong is the same with all of them.
    if (version !== '2.1') return

    it('a checkpoint that can not be restored leaves a task that has ended and can be deleted', async () => {
      await began()
      await well('container', 'checkpoint', '--rw', '--image', '--task', id, 'checkpoint:1')
      await well('task', 'rm', '-f', id)
      rmSync(dir, { recursive: true })
      const done = await ctr('container', 'restore', '--rw', '--live', other, 'checkpoint:1')
      mkdirSync(dir)
      assert.notEqual(done.code, 0)
      assert.match(done.stderr, /OCI runtime start failed: .*berth-counts-.*: no such file or directory/)
      await well('image', 'rm', 'checkpoint:1')
    })

    it('what can not be written down is an error with its cause, and the task goes on', async () => {
      // An open file that has been removed is written down only up to a size.
      const script = 'dd if=/dev/zero of=/tmp/x bs=1M count=2; exec 3</tmp/x; rm /tmp/x; exec sleep 1000'
      await well('run', '-d', '--runtime', runtime, image, id, '/bin/sh', '-c', script)
      const asleep = async () => {
        const pid = /^(\d+) /m.exec((await ctr('task', 'ps', id)).stdout)?.[1]
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sleep')
      }
      await until('it sleeps', asleep)
      const done = await ctr('container', 'checkpoint', '--task', id, 'checkpoint:1')
      assert.notEqual(done.code, 0)
      assert.match(done.stderr, /criu dump: .*ghost.*its log: .*dump\.log/)
      assert.match((await ctr('task', 'ls')).stdout, new RegExp(`${id} +\\d+ +RUNNING`))
    })
  })
