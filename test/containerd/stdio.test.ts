/** Standard streams over the real socket: clients that come late, leave and come back, and processes that keep or flood their output. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { busybox, type Config, notHere } from '../harness/bundle.ts'
import { until } from '../harness/host.ts'
import { stage } from '../harness/stage.ts'
import { Fifo, Streamed, type Streams } from '../harness/stdio.ts'

const { RuncOptions } = containerd.options

const memoryOf = (pid: number): number =>
  Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])

/** '' where it has just ended. */
const commandOf = (pid: number | undefined): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  } catch {
    return ''
  }
}

describe('stdio', { skip: notHere }, () => {
  const on = stage()

  const shared = (config: Config): Config => ({
    ...config,
    linux: {
      ...config.linux,
      namespaces: config.linux.namespaces.filter(({ type }: { type: string }) => type !== 'pid'),
    },
  })
  const fifos = () => ({
    stdin: new Fifo(on.daemon, 'in'),
    stdout: new Fifo(on.daemon, 'out'),
    stderr: new Fifo(on.daemon, 'err'),
  })
  const pathsOf = ({ stdin, stdout, stderr }: Partial<ReturnType<typeof fifos>>): Streams => ({
    ...(stdin ? { stdin: stdin.path } : {}),
    ...(stdout ? { stdout: stdout.path } : {}),
    ...(stderr ? { stderr: stderr.path } : {}),
  })

  /** The three ways that bytes can go: the process has the FIFOs, pipes of init, pipes of an exec. */
  const ways = {
    'FIFOs of init': async (config: Config, streams: Streams) => {
      const one = await Streamed.start(on.daemon, 'one', config)
      await one.create(on.image, streams)
      return { one, execId: '' }
    },
    'pipes of init': async (config: Config, streams: Streams) => {
      const one = await Streamed.start(on.daemon, 'one', shared(config))
      await one.create(on.image, streams)
      return { one, execId: '' }
    },
    'pipes of an exec': async (config: Config, streams: Streams) => {
      const one = await Streamed.start(on.daemon, 'one', on.shell('sleep 1000'))
      await one.create(on.image, {})
      await one.begin()
      await one.exec('e', config.process, streams)
      return { one, execId: 'e' }
    },
  } as const
  const end = async ({ one, execId }: { one: Streamed; execId: string }) => {
    if (execId !== '') {
      await one.delete(execId)
      await one.kill()
    }
    await one.delete()
    await one.leave()
  }

  for (const [way, make] of Object.entries(ways)) {
    it(`${way}: clients come late, leave, come back, and stdin ends when it is closed`, async () => {
      const { stdin, stdout, stderr } = fifos()
      const echo = on.shell('while read -r line; do echo "got $line"; done; echo end')
      let out = stdout.reader()
      const beginning = make(echo, pathsOf({ stdin, stdout, stderr })).then(async (one) => {
        await one.one.begin(one.execId)
        return one
      })
      // The shim has come to the streams: it has the first output, and waits for a reader of the second now.
      await until('a writer', () => out.read() === undefined)
      using _err = stderr.reader()
      const life = await beginning
      let input = stdin.writer()
      input.write('1\n')
      assert.equal(await out.text('\n'), 'got 1\n')
      out[Symbol.dispose]()
      // Nobody reads: what the process writes stays, and it lives on.
      input.write('2\n')
      input[Symbol.dispose]()
      input = stdin.writer()
      input.write('3\n')
      out = stdout.reader()
      assert.equal(await out.text('3\n'), 'got 2\ngot 3\n')
      input.write('4\n')
      input[Symbol.dispose]()
      await life.one.closeStdin(life.execId)
      assert.equal(await life.one.wait(life.execId), 0)
      assert.equal((await out.rest()).toString(), 'got 4\nend\n')
      out[Symbol.dispose]()
      await end(life)
    })

    it(`${way}: what is in stdin when it is closed is read`, async () => {
      const { stdin, stdout } = fifos()
      using out = stdout.reader()
      const life = await make(on.shell('read -r go; cat | md5sum'), pathsOf({ stdin, stdout }))
      await life.one.begin(life.execId)
      const data = Buffer.from(Array.from({ length: 60_000 }, (_, i) => (i * 7) % 251))
      const input = stdin.writer()
      await input.writeAll(Buffer.concat([Buffer.from('go\n'), data]))
      input[Symbol.dispose]()
      await life.one.closeStdin(life.execId)
      await life.one.closeStdin(life.execId)
      assert.equal(await life.one.wait(life.execId), 0)
      const sum = execFileSync('md5sum', { input: data }).toString()
      assert.equal((await out.rest()).toString(), sum)
      await end(life)
    })

    it(`${way}: a slow reader holds the writer up, costs no memory, and gets every byte`, async () => {
      const { stdout } = fifos()
      using out = stdout.reader()
      const life = await make(on.shell('seq 1 500000; printf last'), pathsOf({ stdout }))
      const monitor = await life.one.task.shimPid()
      await life.one.begin(life.execId)
      const chunks: Buffer[] = []
      await until(
        'the first bytes',
        () => chunks.push(out.read(1) ?? Buffer.alloc(0)) > 0 && Buffer.concat(chunks).length > 0,
      )
      const memory = memoryOf(monitor)
      // Some at a time, and then all.
      for (let i = 0; i < 50; i++) {
        chunks.push(out.read(4096) ?? Buffer.alloc(0))
        await new Promise(setImmediate)
      }
      assert.ok(memoryOf(monitor) <= memory + 64, `the monitor grew from ${memory} to ${memoryOf(monitor)} kB`)
      chunks.push(await out.rest())
      assert.equal(await life.one.wait(life.execId), 0)
      const sum = (input: Buffer) => execFileSync('md5sum', { input }).toString()
      const expected = execFileSync(busybox ?? '', ['sh', '-c', 'busybox seq 1 500000; printf last'], {
        maxBuffer: 1 << 26,
      })
      assert.equal(sum(Buffer.concat(chunks)), sum(expected))
      await end(life)
    })
  }

  for (const [way, make] of Object.entries(ways)) {
    it(`${way}: an end is told once all that came before it has been read`, async () => {
      const { stdout } = fifos()
      using out = stdout.reader()
      const life = await make(on.shell('seq 1 100000'), pathsOf({ stdout }))
      await life.one.begin(life.execId)
      let told = false
      const ended = life.one.wait(life.execId).then((status) => {
        told = true
        return status
      })
      let bytes = 0
      // A client that closes its end now loses nothing.
      while (!told) {
        bytes += out.read(1024)?.length ?? 0
        await new Promise(setImmediate)
      }
      assert.equal(bytes, 588_895)
      assert.equal(await ended, 0)
      await end(life)
    })

    it(`${way}: a client that never reads keeps nobody waiting`, async () => {
      const { stdout } = fifos()
      using out = stdout.reader()
      const life = await make(on.shell('seq 1 100'), pathsOf({ stdout }))
      await life.one.begin(life.execId)
      assert.equal(await life.one.wait(life.execId), 0)
      assert.equal((await out.rest()).length, 292)
      await end(life)
    })
  }

  it('an exec that nobody reads is told before the end of its container', async () => {
    const { stdout } = fifos()
    using _out = stdout.reader()
    const one = await Streamed.start(on.daemon, 'one', on.shell('sleep 1000'))
    await one.create(on.image, {})
    await one.begin()
    await one.exec('e', on.shell('echo unread; sleep 1000').process, { stdout: stdout.path })
    await one.begin('e')
    await one.kill()
    const ended = () =>
      on.events.requests
        .map((request) => containerd.events.ForwardRequest.decode(request).envelope)
        .filter((envelope) => envelope?.topic === '/tasks/exit')
        .map((envelope) => containerd.events.TaskExit.decode(envelope?.event?.value ?? new Uint8Array()).id)
    await until('both ends', () => ended().length === 2)
    assert.deepEqual(ended(), ['e', 'one'])
    await one.delete('e')
    await one.delete()
    await one.leave()
  })

  it('a background process that holds the output keeps nobody waiting, and Delete cuts it off', async () => {
    const { stdout } = fifos()
    using out = stdout.reader()
    const one = await Streamed.start(on.daemon, 'one', on.shell('sleep 1000'))
    const init = await one.create(on.image, {})
    await one.begin()
    // The second ends of SIGPIPE, once it writes to what nobody reads.
    const text = 'sleep 1000 & (sleep 0.5; while echo more; do sleep 0.1; done) & echo done'
    await one.exec('e', on.shell(text).process, { stdout: stdout.path })
    const started = performance.now()
    await one.begin('e')
    assert.equal(await one.wait('e'), 0)
    await until('the exit event', () => on.events.of('one').includes('/tasks/exit'))
    await one.delete('e')
    assert.ok(performance.now() - started < 9000, 'less than Delete gives output that comes')
    assert.match((await out.rest()).toString(), /^done\n(more\n)*$/)
    // Of the exec's processes but the first is left.
    await until('the other has ended', async () => {
      const [pid, ...more] = (await one.pids()).filter((other) => other !== init)
      return more.length === 0 && commandOf(pid) === 'sleep 1000'
    })
    await one.kill()
    await one.delete()
    await one.leave()
  })

  it('an exec whose output nobody reads holds its Delete up for two seconds', async () => {
    const { stdout } = fifos()
    using out = stdout.reader()
    const one = await Streamed.start(on.daemon, 'one', on.shell('sleep 1000'))
    await one.create(on.image, {})
    await one.begin()
    // More than the FIFO holds, and the pipe before it holds the rest: it ends by itself.
    await one.exec('e', on.shell('head -c 1080000 /dev/zero').process, { stdout: stdout.path })
    await one.begin('e')
    assert.equal(await one.wait('e'), 0)
    const began = performance.now()
    await one.delete('e')
    const took = performance.now() - began
    assert.ok(took > 1900 && took < 5000, `${took} ms`)
    assert.equal((await out.rest()).length, 1_048_576)
    await one.kill()
    await one.delete()
    await one.leave()
  })

  it('a terminal of an exec: output and input', async () => {
    const { stdin, stdout } = fifos()
    using out = stdout.reader()
    const one = await Streamed.start(on.daemon, 'one', on.shell('sleep 1000'))
    await one.create(on.image, {})
    await one.begin()
    const { process } = on.shell('stty -echo; echo ready; read -r x; echo "x=$x"; test -t 2')
    // As CRI does, with an stderr that does not exist.
    const streams = { stdin: stdin.path, stdout: stdout.path, stderr: join(on.daemon.dir, 'none'), terminal: true }
    await one.exec('e', { ...process, terminal: true }, streams)
    await one.begin('e')
    assert.equal(await out.text('\n'), 'ready\r\n')
    using input = stdin.writer()
    input.write('word\n')
    assert.equal(await one.wait('e'), 0)
    assert.equal((await out.rest()).toString(), 'x=word\r\n')
    await one.delete('e')
    await one.kill()
    await one.delete()
    await one.leave()
  })

  it('the owner of pipes: the group is io_gid, the user the process’s own, as with runc', async () => {
    const { stdin, stdout, stderr } = fifos()
    using out = stdout.reader()
    using err = stderr.reader()
    const config = on.shell('stat -L -c %u:%g /dev/fd/0 /dev/fd/1 /dev/fd/2; echo again >/dev/stderr')
    config.process = { ...config.process, user: { uid: 5, gid: 3 } }
    const one = await Streamed.start(on.daemon, 'one', config)
    for (const dir of [on.daemon.dir, one.task.bundle, join(one.task.bundle, 'rootfs')]) chmodSync(dir, 0o755)
    await one.create(on.image, pathsOf({ stdin, stdout, stderr }), RuncOptions.encode({ ioUid: 9, ioGid: 8 }).finish())
    await one.begin()
    assert.equal(await one.wait(), 0)
    assert.equal((await out.rest()).toString(), '5:8\n5:8\n5:8\n')
    assert.equal((await err.rest()).toString(), 'again\n')
    assert.deepEqual([statSync(stdout.path).uid, statSync(stdout.path).gid], [0, 0], "the client's FIFO is its own")
    await one.delete()
    await one.leave()
  })

  it('a file takes both outputs, behind what it has', async () => {
    const path = join(on.daemon.dir, 'logs/a b/log')
    for (const round of [1, 2]) {
      const one = await Streamed.start(on.daemon, `file${round}`, on.shell('echo out; echo err >&2'))
      const uri = `file://${path.replace(' ', '%20')}`
      await one.create(on.image, { stdout: uri, stderr: uri })
      await one.begin()
      assert.equal(await one.wait(), 0)
      await one.delete()
      await one.leave()
      assert.equal(statSync(path).mode & 0o7777, 0o644)
      assert.equal(statSync(join(on.daemon.dir, 'logs')).mode & 0o7777, 0o755)
      const lines = readFileSync(path, 'utf8').trim().split('\n').sort()
      assert.deepEqual(
        lines,
        ['err', 'out'].flatMap((line) => Array.from({ length: round }, () => line)),
      )
      writeFileSync(path, '', { flag: 'a' })
    }
  })

  it('a reader that never comes is an error, and nothing is left', async () => {
    const one = await Streamed.start(on.daemon, 'one', on.shell('true'))
    await assert.rejects(
      one.create(on.image, { stdout: join(on.daemon.dir, 'missing') }),
      /open FIFO .*missing.*ENOENT/,
    )
    await assert.rejects(one.create(on.image, { stdout: 'npipe://x' }), {
      message: 'failed to create init process I/O: unknown STDIO scheme npipe',
    })
    await one.leave()
  })
})
