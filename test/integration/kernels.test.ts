/**
 * Kernels that lack what docs/kernels.md lists, and filters around berth that hide it: a container's whole life either works, or is refused
 * with the name of what is missing, and nothing stays behind.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import { CALLS, PARTS } from '../../src/host/kernel.ts'
import { Bundle, notHere } from '../harness/bundle.ts'
import { nothingLeft, shimBinary, snapshot, until } from '../harness/host.ts'
import { berth, run } from '../harness/run.ts'
import { Daemon } from '../harness/shim.ts'
import { berthWithout, EINVAL, ENOSYS, ENOTTY, EPERM, type Missing, without } from '../harness/without.ts'

const id = `kernel-${process.pid}`
const AT_EMPTY_PATH = 0x1000
const AT_RECURSIVE = 0x8000
/** PIDFD_GET_INFO whatever the size of its struct: number and type of the request. */
const PIDFD_GET_INFO = 0xff0b

/** Only berth clones its own binary in this way. */
const NO_CLONE_OF_BINARY: Missing = {
  call: 'open_tree',
  errno: EPERM,
  argument: [2, AT_EMPTY_PATH | AT_RECURSIVE, AT_EMPTY_PATH],
}

const WORKS: Readonly<Record<string, readonly Missing[]>> = {
  clone3: [{ call: 'clone3', errno: ENOSYS }],
  'a clone of its binary': [NO_CLONE_OF_BINARY],
  'a clone of its binary and MFD_EXEC': [
    NO_CLONE_OF_BINARY,
    { call: 'memfd_create', errno: EINVAL, argument: [1, 0x10, 0x10] },
  ],
  memfd_create: [{ call: 'memfd_create', errno: ENOSYS }],
  PIDFD_GET_INFO: [{ call: 'ioctl', errno: ENOTTY, argument: [1, 0xffff, PIDFD_GET_INFO] }],
  'flags of pidfd_send_signal': [{ call: 'pidfd_send_signal', errno: EINVAL, argument: [3, 4, 4] }],
  keyctl: [{ call: 'keyctl', errno: ENOSYS }],
}

/** By name: `create` says so and leaves nothing. */
const REFUSED = [
  'openat2',
  'open_tree',
  'move_mount',
  'fsopen',
  'fsconfig',
  'fsmount',
  'mount_setattr',
  'close_range',
  'execveat',
]
/** The container is made and runs, and whoever has to find it by its pid is refused. */
const BY_PID = ['pidfd_open', 'pidfd_send_signal']

/** Whether the running kernel is at least this one. */
const kernelHas = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [ours = 0, oursMinor = 0] = release().split('.').map(Number)
  return ours > major || (ours === major && oursMinor >= minor)
}

const ok = async (missing: readonly Missing[], ...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await berthWithout(missing, args)
  assert.equal(code, 0, `${args[0]}: ${stderr}`)
  return stdout
}

describe('kernels', { skip: notHere }, () => {
  let before_: Set<string>
  let bundle: Bundle
  before(async () => {
    // The controller is the host's, not of the host that lacks something.
    await berth(['list'])
  })
  beforeEach(() => {
    before_ = snapshot()
    bundle = new Bundle(['/bin/sleep', '1000'], (config) => {
      delete config.linux.resources
    })
  })
  afterEach(async () => {
    await berth(['delete', '--force', id])
    bundle[Symbol.dispose]()
    await nothingLeft(before_)
  })

  for (const [name, missing] of Object.entries(WORKS))
    it(`without ${name}: the whole life`, async () => {
      if (missing.includes(NO_CLONE_OF_BINARY)) {
        // masks are clones like it
        bundle.config.linux.maskedPaths = []
        bundle.write()
      }
      await ok(missing, 'create', '--bundle', bundle.dir, id)
      const { pid } = JSON.parse(await ok(missing, 'state', id))
      if (missing.includes(NO_CLONE_OF_BINARY))
        assert.match(readlinkSync(`/proc/${pid}/exe`), /^\/memfd:berth \(deleted\)$/)
      await ok(missing, 'start', id)
      assert.equal(await ok(missing, 'exec', id, '/bin/echo', 'hi'), 'hi\n')
      await ok(missing, 'kill', id, 'KILL')
      await until('stopped', async () => JSON.parse(await ok(missing, 'state', id)).status === 'stopped')
      await ok(missing, 'delete', id)
    })

  for (const call of REFUSED)
    for (const errno of [ENOSYS, EPERM])
      it(`without ${call} (${errno === EPERM ? 'EPERM' : 'ENOSYS'}): create is refused and leaves nothing`, async () => {
        const { code, stderr } = await berthWithout([{ call, errno }], ['create', '--bundle', bundle.dir, id])
        assert.equal(code, 1)
        assert.match(stderr, new RegExp(`^berth: create: .*in ${call}\\).*\\n$`))
        if (errno === ENOSYS) assert.ok(stderr.includes(`Linux has ${call} since ${CALLS[call]?.since}`), stderr)
        assert.match((await berth(['state', id])).stderr, /does not exist/)
      })

  for (const call of BY_PID)
    it(`without ${call}: kill is refused`, async () => {
      const missing = [{ call, errno: ENOSYS }]
      await ok(missing, 'run', '--detach', '--bundle', bundle.dir, id)
      // Its monitor has a pidfd since the clone; a command line that is not of the plain form has to find the process.
      const way = call === 'pidfd_open' ? ['--debug'] : []
      const { code, stderr } = await berthWithout(missing, [...way, 'kill', id, 'KILL'])
      assert.equal(code, 1)
      assert.ok(stderr.includes(`Linux has ${call} since ${CALLS[call]?.since}`), stderr)
      if (call === 'pidfd_open') await ok(missing, 'delete', '--force', id)
    })

  it('without memfd_create: hooks are refused', async () => {
    bundle.config.hooks = { createRuntime: [{ path: '/bin/true' }] }
    bundle.write()
    const missing = [{ call: 'memfd_create', errno: ENOSYS }]
    const { code, stderr } = await berthWithout(missing, ['create', '--bundle', bundle.dir, id])
    assert.equal(code, 1)
    assert.match(stderr, /hooks.*Linux has memfd_create/)
  })

  it('a controller that can not start says why in its log', async () => {
    const missing = [{ call: 'close_range', errno: ENOSYS }]
    const { code, stderr } = await berthWithout(missing, ['--no-controller', 'list'])
    assert.equal(code, 1)
    const log = /see (\S+\.log)/.exec(stderr)?.[1] ?? assert.fail(stderr)
    assert.match(readFileSync(log, 'utf8'), /^berth: controller: close_range: Function not implemented$/m)
  })

  it('a shim that can not start says why', async () => {
    using daemon = new Daemon()
    const dir = daemon.bundle(id)
    writeFileSync(`${dir}/config.json`, JSON.stringify(bundle.config))
    const args = [
      '-namespace',
      daemon.namespace,
      '-address',
      daemon.address,
      '-publish-binary',
      '/bin/false',
      '-id',
      id,
    ]
    const [file, all] = without([{ call: 'close_range', errno: ENOSYS }], [shimBinary, ...args, 'start'])
    const { code, stderr } = await run(file, all, { cwd: dir })
    assert.equal(code, 1)
    assert.match(stderr, /close_range: Function not implemented/)
  })

  for (const missing of [[], WORKS.PIDFD_GET_INFO ?? []])
    it(`an exit that somebody else reaped before the monitor looked${missing.length > 0 ? ', without PIDFD_GET_INFO' : ''}`, async () => {
      await ok(missing, 'run', '--detach', '--bundle', bundle.dir, id)
      const { init, monitor } = JSON.parse(readFileSync(`/run/berth/${id}/state.json`, 'utf8'))
      process.kill(monitor.pid, 'SIGSTOP')
      process.kill(init.pid, 'SIGKILL')
      await until('reaped', () => !existsSync(`/proc/${init.pid}`))
      process.kill(monitor.pid, 'SIGCONT')
      await until('the monitor has left', () => !existsSync(`/proc/${monitor.pid}`))
      const { status } = JSON.parse(readFileSync(`/run/berth/${id}/exit.json`, 'utf8'))
      assert.equal(
        status,
        missing.length === 0 && kernelHas(PARTS['PIDFD_GET_INFO with PIDFD_INFO_EXIT']?.since ?? '') ? 9 : 255 << 8,
      )
    })
})
