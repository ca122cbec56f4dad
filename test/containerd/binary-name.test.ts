/** containerd's own runc shim with BinaryName pointing at berth: everything it asks of a runtime, as with runc. */
import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { Containerd, image, noContainerd } from '../harness/containerd.ts'
import { binary, nothingLeft, snapshot, until } from '../harness/host.ts'
import { run } from '../harness/run.ts'

describe("containerd's runc shim with berth as its binary", { skip: noContainerd }, () => {
  let containerd: Containerd
  let pristine: Set<string>
  const id = `bin-${process.pid}`
  const RUNTIMES = [[], ['--runc-binary', binary]] as const
  const ctr = (...args: string[]) => containerd.ctr(args)
  /** The same with runc and with berth; what a user sees has to be the same. */
  const both = async <T>(what: (runtime: readonly string[]) => Promise<T>): Promise<T> => {
    const theirs = await what(RUNTIMES[0])
    assert.deepEqual(await what(RUNTIMES[1]), theirs)
    return theirs
  }

  /** An exec that says something: ctr closes its FIFOs once it hears of the end, with what runc's shim has not copied yet. */
  const heard = async (execId: string, ...args: string[]) => {
    let said = await ctr('task', 'exec', '--exec-id', execId, ...args)
    for (let again = 1; said.stdout === '' && again < 10; again++)
      said = await ctr('task', 'exec', '--exec-id', `${execId}${again}`, ...args)
    return said
  }

  before(async () => {
    containerd = await Containerd.start('1.6')
  })
  after(async () => {
    await containerd?.[Symbol.asyncDispose]()
  })
  beforeEach(() => {
    pristine = snapshot()
  })
  afterEach(async () => {
    await ctr('task', 'rm', '-f', id)
    await ctr('container', 'rm', id)
    await nothingLeft(pristine)
  })

  const OPTIONS: Readonly<Record<string, readonly string[]>> = {
    'as it is': [],
    'read-only': ['--read-only'],
    'capabilities dropped': ['--cap-drop', 'CAP_CHOWN', '--cap-drop', 'CAP_MKNOD'],
    'the default seccomp profile': ['--seccomp'],
    'a limit of memory': ['--memory-limit', '33554432'],
    'environment and working directory': ['--env', 'A=b', '--cwd', '/tmp'],
  }
  const SHOW =
    'id; pwd; echo $A $HOME; grep -E "Cap|Seccomp:|NoNew" /proc/self/status; touch /x; cat /sys/fs/cgroup/memory/memory.limit_in_bytes; exit 7'
  for (const [name, options] of Object.entries(OPTIONS))
    it(`run: ${name}`, async () => {
      const args = [...options, image, id, '/bin/sh', '-c', SHOW]
      const { code, stderr } = await both((runtime) => ctr('run', '--rm', ...runtime, ...args))
      assert.equal(code, 7, stderr)
    })

  it('a program that is missing is an error', async () => {
    await both(async (runtime) => (await ctr('run', '--rm', ...runtime, image, id, '/nope')).code)
  })

  it('a terminal', async () => {
    await both((runtime) => {
      const args = ['run', '--rm', '-t', ...runtime, image, id, '/bin/sh', '-c', '"test -t 0 && tty; exit 3"']
      return run('/usr/bin/script', ['-qec', containerd.ctrCommand(args), '/dev/null'])
    })
  })

  it('exec, pids, figures, pause, resume, kill', async () => {
    await both(async (runtime) => {
      const seen: unknown[] = []
      const say = async (...args: string[]) => seen.push(await ctr(...args))
      await say('run', '-d', ...runtime, image, id, '/bin/sleep', '1000')
      seen.push(await heard('a', id, '/bin/sh', '-c', 'echo in; exit 5'))
      seen.push(await heard('b', '--cwd', '/tmp', '--user', '1000', id, '/bin/sh', '-c', 'pwd; id'))
      const terminal = ['task', 'exec', '--exec-id', 'c', '-t', id, '/bin/sh', '-c', '"tty; exit 6"']
      seen.push((await run('/usr/bin/script', ['-qec', containerd.ctrCommand(terminal), '/dev/null'])).code)
      seen.push((await ctr('task', 'ps', id)).stdout.split('\n').length)
      seen.push(/memory.usage/.test((await ctr('task', 'metrics', id)).stdout))
      await say('task', 'pause', id)
      seen.push(/PAUSED/.test((await ctr('task', 'ls')).stdout))
      await say('task', 'resume', id)
      await say('task', 'kill', '-s', 'KILL', id)
      await until('stopped', async () => /STOPPED/.test((await ctr('task', 'ls')).stdout))
      seen.push((await ctr('task', 'rm', id)).code)
      await say('container', 'rm', id)
      return seen
    })
  })
})
