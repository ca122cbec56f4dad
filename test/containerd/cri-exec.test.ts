/** Further processes in containers of pods through CRI, on each version: ExecSync, and exec, attach and port-forward as streams. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { noCri, versions } from '../harness/containerd.ts'
import type { Container, Message, Pod } from '../harness/cri.ts'
import { CriHost } from '../harness/cri-host.ts'
import { Stream } from '../harness/cri-stream.ts'
import { until } from '../harness/host.ts'

for (const version of versions)
  describe(`processes over CRI with containerd ${version}`, { skip: noCri(version) }, () => {
    const host = new CriHost(version)
    const sleepers = new Map<Pod, Promise<Container>>()
    /** A container that stays, one for each pod. */
    const sleeper = (pod: Pod): Promise<Container> => {
      const container = sleepers.get(pod) ?? pod.start('while :; do sleep 1000; done')
      sleepers.set(pod, container)
      return container
    }
    const ours = async (): Promise<Container> => sleeper((await host.pair())[1])

    it('ExecSync gives the exit code and both outputs', async () => {
      const done = await host.same(async (pod) => (await sleeper(pod)).exec('echo out; echo err >&2; exit 3'))
      assert.deepEqual(done, { code: 3, stdout: 'out\n', stderr: 'err\n' })
    })

    it('ExecSync sees what it sees with runc', async () => {
      const done = await host.same(async (pod) => {
        const script = `id; pwd; env | sort
          grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; cat /proc/self/oom_score_adj; ulimit -n; ls /proc/self/fd`
        const { code, stdout, stderr } = await (await sleeper(pod)).exec(script)
        return { code, stderr, lines: stdout.replaceAll(pod.config.hostname, 'NAME').split('\n') }
      })
      assert.ok(done.lines.includes('HOSTNAME=NAME'), done.lines.join('\n'))
    })

    it('ExecSync loses nothing of a long output', async () => {
      const { code, stdout } = await (await ours()).exec('yes 0123456789abcde | head -c 4000000')
      assert.equal(code, 0)
      assert.ok(stdout === '0123456789abcde\n'.repeat(250_000))
    })

    it('ExecSync ends what does not end in time', async () => {
      for (const pod of await host.pair()) {
        const container = await sleeper(pod)
        const begun = Date.now()
        await assert.rejects(container.exec('echo $$ > /tmp/pid; exec sleep 1000', 1), /timeout|deadline/i)
        assert.ok(Date.now() - begun < 8000)
        const { code } = await container.exec('test -d /proc/$(cat /tmp/pid)')
        assert.equal(code, 1, 'it is gone')
      }
    })

    it('ExecSync does not wait for what it leaves in the background, but for its last words', async () => {
      const container = await ours()
      const begun = Date.now()
      const left = await container.exec('sleep 1000 & echo done')
      assert.ok(Date.now() - begun < 3000, `${Date.now() - begun} ms`)
      assert.deepEqual(left, { code: 0, stdout: 'done\n', stderr: '' })
      const late = await container.exec('(sleep 0.05; echo late; sleep 1000) & echo early')
      assert.deepEqual(late, { code: 0, stdout: 'early\nlate\n', stderr: '' })
      assert.equal((await container.exec('killall sleep')).code, 0)
    })

    it('ExecSync says what program is missing', async () => {
      await host.same(async (pod) => {
        const request = { cmd: ['/bin/nope'], timeout: 10 }
        const error = await (await sleeper(pod)).call('ExecSync', request).catch((reason: Error) => reason)
        assert.match(error.message, /\/bin\/nope.*no such file or directory/)
        return error.message.replace(/^.*OCI runtime exec failed/, 'OCI runtime exec failed')
      })
    })

    const exec = (container: Container, cmd: readonly string[], how: Message): Promise<Stream> =>
      Stream.open(host.cri, 'Exec', { containerId: container.id, cmd, stdout: true, ...how })

    it('exec streams both outputs, and takes input', async () => {
      const container = await ours()
      const script = 'read line; echo "out $line"; echo "err $line" >&2; exit 4'
      using stream = await exec(container, ['/bin/sh', '-c', script], { stdin: true, stderr: true })
      stream.type('hello\n')
      await stream.closed
      assert.equal(stream.stdout, 'out hello\n')
      assert.equal(stream.stderr, 'err hello\n')
      assert.equal(stream.result.reason, 'NonZeroExitCode')
      assert.deepEqual(stream.result.details.causes, [{ reason: 'ExitCode', message: '4' }])
    })

    it('exec has a terminal that can be resized', async () => {
      const container = await ours()
      using stream = await exec(container, ['/bin/sh'], { stdin: true, tty: true })
      stream.type('test -t 0 && test -t 1 && test -t 2 && tty\n')
      await stream.until('a terminal', () => stream.stdout.includes('/dev/pts/'))
      for (const [width, height] of [
        [100, 40],
        [132, 50],
      ] as const) {
        stream.resize(width, height)
        // The size is told apart from the call that asks for it, so it is asked for again.
        const asking = setInterval(() => stream.type('stty size\n'), 50)
        await stream
          .until('the size', () => stream.stdout.includes(`${height} ${width}`))
          .finally(() => clearInterval(asking))
      }
      stream.type('exit 5\n')
      await stream.closed
      assert.deepEqual(stream.result.details.causes, [{ reason: 'ExitCode', message: '5' }])
    })

    it('attach reaches a running container, also again', async () => {
      const [, pod] = await host.pair()
      const script = 'while read line; do echo "got $line"; echo "err $line" >&2; done; exit 6'
      const container = await pod.start(script, (config) => {
        config.stdin = true
      })
      for (const word of ['one', 'two']) {
        const request = { containerId: container.id, stdin: true, stdout: true, stderr: true }
        using stream = await Stream.open(host.cri, 'Attach', request)
        stream.type(`${word}\n`)
        await stream.until('an answer', () => stream.stdout.includes(`got ${word}`) && stream.stderr.includes(word))
      }
      assert.deepEqual(
        container
          .log()
          .filter(({ stream }) => stream === 'stdout')
          .map(({ text }) => text),
        ['got one', 'got two'],
      )
      await container.call('StopContainer')
      await container.remove()
    })

    it('attach reaches a terminal, and resizes it', async () => {
      const [, pod] = await host.pair()
      const container = await pod.start('while read line; do stty size; done; exit 8', (config) => {
        Object.assign(config, { stdin: true, tty: true })
      })
      using stream = await Stream.open(host.cri, 'Attach', {
        containerId: container.id,
        stdin: true,
        stdout: true,
        tty: true,
      })
      stream.resize(90, 30)
      const asking = setInterval(() => stream.type('\n'), 50)
      await stream.until('the size', () => stream.stdout.includes('30 90')).finally(() => clearInterval(asking))
      stream.type('\u0004') // end of input
      assert.equal((await container.ended()).exitCode, 8)
      await stream.closed
      await container.remove()
    })

    it('port-forward reaches a port of the pod', async () => {
      const [, pod] = await host.pair()
      const container = await pod.start('nc -ll -p 8080 -e cat')
      await until('a listener', async () => /:1F90 /.test((await container.exec('cat /proc/net/tcp*')).stdout))
      using stream = await Stream.open(host.cri, 'PortForward', { podSandboxId: pod.id, port: [8080] }, '?port=8080')
      stream.send(0, 'hello\n')
      // Before the data, each channel has the port, in two bytes.
      await stream.until('an answer', () => stream.bytes(0).subarray(2).toString() === 'hello\n')
      assert.equal(stream.bytes(0).readUInt16LE(), 8080)
      await container.call('StopContainer')
      await container.remove()
    })
  })
