/** Logging programs (binary://, binary-v2://) over the real socket: the contract, and what is left of them when something fails. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { notHere } from '../harness/bundle.ts'
import { controllerPids, hasEnded, until } from '../harness/host.ts'
import { stage } from '../harness/stage.ts'
import { Fifo, Streamed } from '../harness/stdio.ts'

/** Says that it is ready. */
const READY = 'printf x >&5; exec 5>&-'
const COPY = 'cat <&3 >$d/out & cat <&4 >$d/err & wait'

describe('logging programs', { skip: notHere }, () => {
  // Before the stage's own: the directory in which they have written down who they are goes with it.
  afterEach(() =>
    assert.deepEqual(
      loggers().filter((pid) => !hasEnded(pid)),
      [],
      'loggers that are left',
    ),
  )
  const on = stage()

  const file = (name: string) => readFileSync(join(on.daemon.dir, name), 'utf8')
  /** Pids of all that were started, in the order of their start. */
  const loggers = (): number[] =>
    existsSync(join(on.daemon.dir, 'pids')) ? file('pids').trim().split('\n').map(Number) : []
  /** A program for the host's shell, in which $d is the daemon's directory; its URI. */
  const logger = (text: string, scheme = 'binary', query = ''): string => {
    const path = join(on.daemon.dir, 'logger')
    writeFileSync(path, `#!/bin/sh\nd=${on.daemon.dir}\necho $$ >>$d/pids\n${text}\n`, { mode: 0o755 })
    return `${scheme}://${path}${query}`
  }
  const run = async (id: string, text: string, stdout: string): Promise<Streamed> => {
    const one = await Streamed.start(on.daemon, id, on.shell(text))
    await one.create(on.image, { stdout, stderr: stdout })
    await one.begin()
    return one
  }
  const remove = async (one: Streamed): Promise<void> => {
    await one.delete()
    await one.leave()
  }

  it('get arguments, environment and descriptors as the contract says, before there is a container', async () => {
    const look = [
      'printf "%s\\n" "$@" >$d/args',
      'tr "\\0" "\\n" </proc/$$/environ >$d/env',
      'ls /run/berth/.shim/*/test/one >$d/state',
      'trap "echo TERM >>$d/signals" TERM',
    ]
    const uri = logger([...look, READY, COPY, 'wait'].join('\n'), 'binary-v2', '?b=1%202&a=%2Fx')
    const one = await Streamed.start(on.daemon, 'one', on.shell('echo out; echo err >&2'))
    await one.create(on.image, { stdout: uri })
    const [pid = 0] = loggers()
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) => `${fd} ${readlinkSync(`/proc/${pid}/fd/${fd}`)}`)
    await one.begin()
    assert.equal(await one.wait(), 0)
    await remove(one)
    assert.equal(file('args'), 'b\n1 2\na\n/x\n')
    assert.equal(file('env'), 'CONTAINER_ID=one\nCONTAINER_NAMESPACE=test\n')
    // It has closed the one behind them itself; the shell has its script open too.
    const shown = open.filter((text) => !text.endsWith('/logger')).map((text) => text.replace(/\d+\]$/, ']'))
    assert.deepEqual(shown, ['0 /dev/null', '1 /dev/null', '2 /dev/null', '3 pipe:[]', '4 pipe:[]'])
    assert.equal(file('state'), 'loggers\nundo\n', 'there is no process yet')
    assert.equal(file('out') + file('err'), 'out\nerr\n')
    assert.ok(!existsSync(join(on.daemon.dir, 'signals')), 'one that ends with its pipes gets no signal')
  })

  it('may read one output to its end before the other, and both are theirs until then', async () => {
    const one = await run(
      'one',
      'yes | head -c 200000 >&2; echo out',
      logger(`${READY}; cat <&4 >$d/err; cat <&3 >$d/out`),
    )
    assert.equal(await one.wait(), 0)
    const started = performance.now()
    await one.delete()
    assert.ok(performance.now() - started < 5000)
    assert.equal(file('out'), 'out\n')
    assert.equal(file('err').length, 200_000)
    await one.leave()
  })

  it('of an exec, and of a terminal', async () => {
    const uri = logger(`tr "\\0" "\\n" </proc/$$/environ >>$d/env; ${READY}; cat <&3 >>$d/out`)
    const one = await Streamed.start(on.daemon, 'one', on.shell('sleep 1000'))
    await one.create(on.image, {})
    await one.begin()
    const { process } = on.shell('echo $(tty | grep -c /dev/pts) here')
    for (const [execId, terminal] of [
      ['pipes', false],
      ['tty', true],
    ] as const) {
      await one.exec(execId, { ...process, terminal }, { stdout: uri, terminal })
      await one.begin(execId)
      assert.equal(await one.wait(execId), 0)
      await one.delete(execId)
    }
    assert.equal(file('out'), '0 here\n1 here\r\n')
    assert.match(file('env'), /^CONTAINER_ID=pipes\n.*\nCONTAINER_ID=tty\n.*\n$/)
    await one.kill()
    await remove(one)
  })

  it('get SIGTERM where the end of the pipes is not enough, and lose nothing that was written', async () => {
    const slow =
      'dd bs=1 count=1 of=$d/first <&3 2>/dev/null; while [ ! -e $d/go ]; do sleep 0.02; done; cat <&3 >$d/rest'
    const stay = 'trap "echo TERM >$d/signals; exit 0" TERM; while :; do sleep 0.02; done'
    const one = await run('one', 'yes | head -c 60000', logger(`${READY}; ${slow}; ${stay}`))
    assert.equal(await one.wait(), 0)
    await until('the first byte', () => existsSync(join(on.daemon.dir, 'first')) && file('first') === 'y')
    let deleted = false
    const deleting = one.delete().then(() => {
      deleted = true
    })
    await one.pids().catch(() => [])
    assert.equal(deleted, false, 'Delete waits for what is in the pipe, and holds up nobody else')
    writeFileSync(join(on.daemon.dir, 'go'), '')
    await deleting
    assert.equal(file('rest').length, 59_999)
    assert.equal(file('signals'), 'TERM\n')
    await one.leave()
  })

  it('that are not there, end early, never get ready or ignore every signal', async () => {
    const create = async (id: string, stdout: string) => {
      const one = await Streamed.start(on.daemon, id, on.shell('true'))
      await one.create(on.image, { stdout }).finally(() => one.leave())
      return one
    }
    const io = 'failed to create init process I/O: start'
    await assert.rejects(create('missing', 'binary:///nope'), {
      message: `${io} "/nope": no such file or directory (ENOENT in execve)`,
    })
    const early = logger('exit 3', 'binary-v2')
    await assert.rejects(create('early', early), new RegExp(`${io} ".*": exit status 3 before it was ready$`))
    const silent = logger('exec 5>&-; exec sleep 1000', 'binary-v2')
    await assert.rejects(create('silent', silent), /closed descriptor 5 without a word that it is ready$/)
    // By the contract the end of the descriptor is enough for the first version.
    const eof = await run('eof', 'true', logger(`exec 5>&-; ${COPY}`))
    assert.equal(await eof.wait(), 0)
    await remove(eof)

    const never = create('never', logger('trap "" TERM; sleep 1000'))
    await until('it runs', () => loggers().length === 4)
    const stubborn = await run('stubborn', 'true', logger(`trap "" TERM; ${READY}; while :; do sleep 1; done`))
    assert.equal(await stubborn.wait(), 0)
    const started = performance.now()
    const removing = remove(stubborn).then(() => performance.now() - started)
    await assert.rejects(never, /was not ready after 10000 ms$/)
    const took = await removing
    assert.ok(took > 12_000 && took < 20_000, `${took} ms`)
  })

  it('end with a Create that fails, and with the delete call of a monitor that was killed', async () => {
    // Whether it ends at the end of its pipes or has to be killed.
    for (const [id, manners] of [
      ['polite', COPY],
      ['rude', 'trap "" TERM; while :; do sleep 1; done'],
    ] as const) {
      const failed = await Streamed.start(on.daemon, `${id}-failed`, on.program(['/nope']))
      await assert.rejects(failed.create(on.image, { stdout: logger(`${READY}; ${manners}`) }), /stat \/nope/)
      assert.ok(loggers().every(hasEnded))
      await failed.leave()

      const one = await run(id, 'sleep 1000', logger(`${READY}; ${manners}`))
      await one.exec('e', on.shell('sleep 1000').process, { stdout: logger(`${READY}; ${manners}`) })
      await one.begin('e')
      process.kill(await one.task.shimPid(), 'SIGKILL')
      await until('the end of the connection', () =>
        one.wait().then(
          () => false,
          () => true,
        ),
      )
      const started = performance.now()
      await on.daemon.delete(id)
      assert.ok(performance.now() - started < 5000)
    }
    assert.equal(loggers().length, 6)
  })

  it('a controller that dies meanwhile changes nothing: one is started', async () => {
    const uri = logger(`while [ ! -e $d/go ]; do sleep 0.02; done; ${READY}; ${COPY}`)
    const one = await Streamed.start(on.daemon, 'one', on.shell('echo out'))
    const creating = one.create(on.image, { stdout: uri, stderr: uri })
    await until('it runs', () => loggers().length === 1)
    for (const pid of controllerPids()) process.kill(pid, 'SIGKILL')
    writeFileSync(join(on.daemon.dir, 'go'), '')
    await creating
    await one.begin()
    assert.equal(await one.wait(), 0)
    const deleting = one.delete()
    for (const pid of controllerPids()) process.kill(pid, 'SIGKILL')
    await deleting
    await one.leave()
    assert.equal(loggers().length, 1)
    assert.equal(file('out'), 'out\n')
  })

  it('an exit of one is nobody else’s', async () => {
    const fifo = new Fifo(on.daemon, 'out')
    using out = fifo.reader()
    const dies = await run(
      'dies',
      'trap "" PIPE; while sleep 0.05; do echo x; done 2>/dev/null',
      logger(`${READY}; read -r line <&3; exit 7`),
    )
    const other = await Streamed.start(on.daemon, 'other', on.shell('echo fine; exit 5'))
    await other.create(on.image, { stdout: fifo.path })
    await until('its end', () => loggers().every(hasEnded))
    await other.begin()
    assert.equal(await other.wait(), 5)
    assert.equal((await out.rest()).toString(), 'fine\n')
    await remove(other)
    assert.equal(await dies.kill(), 137)
    await remove(dies)
  })
})
