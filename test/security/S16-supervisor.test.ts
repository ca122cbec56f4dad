/** A supervisor that is stopped, or has no descriptor left: nothing passes meanwhile. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { noCompiler } from '../harness/attack.ts'
import { notHere } from '../harness/bundle.ts'
import { binary, until } from '../harness/host.ts'
import { JudgingNode, judgedBundle, refusing, supervisorOf } from '../harness/judged.ts'
import { berth, run } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `s16-${process.pid}`
/** Longer than the module has for an answer. */
const WAIT_MS = 1500

/** A shell in the container, which is told what to open, and says what came of it. */
class Shell {
  readonly #child: ChildProcess
  readonly ended: Promise<unknown>
  said = ''
  constructor() {
    this.#child = spawn(binary, ['exec', id, '/bin/sh'], { stdio: ['pipe', 'pipe', 'ignore'] })
    this.ended = once(this.#child, 'exit')
    this.#child.stdout?.on('data', (text) => {
      this.said += text
    })
  }
  /** By the shell itself, or by a child where the redirection may fail. */
  open(name: string): void {
    this.#child.stdin?.write(`(read line </data/${name} && echo "$line" || echo refused)\n`)
  }
  async outcome(name: string): Promise<string> {
    this.said = ''
    this.open(name)
    await until(`what comes of ${name}`, () => this.said.endsWith('\n'))
    return this.said.trim()
  }
  end(): void {
    this.#child.kill('SIGKILL')
  }
}

const descriptors = (pid: number): readonly number[] => readdirSync(`/proc/${pid}/fd`).map(Number)
const limitFiles = async (pid: number, soft: number): Promise<void> => {
  const { code, stderr } = await run('prlimit', ['--pid', String(pid), `--nofile=${soft}:`])
  assert.equal(code, 0, stderr)
}

describe('S16: a supervisor that can not go on', { skip: notHere || noCompiler }, () => {
  deletesAfterEach(id)
  let node: JudgingNode
  before(() => {
    node = new JudgingNode()
  })
  after(() => node[Symbol.dispose]())

  const started = async (bundle: { readonly dir: string }): Promise<Shell> => {
    const flags = node.config(refusing("event.path === '/data/secret'"), { calls: ['open'], timeout: 1 })
    const { code, stderr } = await berth([...flags, 'run', '--detach', '--bundle', bundle.dir, id])
    assert.equal(code, 0, stderr)
    const shell = new Shell()
    assert.equal(await shell.outcome('open'), 'open')
    return shell
  }

  for (const what of [['supervisor'], ['between'], ['supervisor', 'between']] as const)
    it(`${what.join(' and ')} stopped: calls wait, and the container can be deleted`, async () => {
      using bundle = judgedBundle(['/bin/sleep', '1000'])
      const shell = await started(bundle)
      const pids = supervisorOf()
      for (const name of what) process.kill(pids[name], 'SIGSTOP')
      shell.said = ''
      shell.open('secret')
      shell.open('open')
      await sleep(WAIT_MS)
      // Who stands between has nothing to do as long as the worker is there.
      const expected = what.includes('supervisor' as never) ? '' : 'refused\nopen\n'
      assert.equal(shell.said, expected)
      const { code, stderr } = await berth(['delete', '--force', id])
      assert.deepEqual([code, stderr], [0, ''])
      await shell.ended
      assert.equal(shell.said, expected)
    })

  it('stopped for a while: what came meanwhile is judged then', async () => {
    using bundle = judgedBundle(['/bin/sleep', '1000'])
    const shell = await started(bundle)
    const { supervisor } = supervisorOf()
    process.kill(supervisor, 'SIGSTOP')
    shell.said = ''
    for (const name of ['secret', 'open']) shell.open(name)
    await sleep(WAIT_MS)
    assert.equal(shell.said, '')
    process.kill(supervisor, 'SIGCONT')
    await until('both', () => shell.said === 'refused\nopen\n')
    shell.end()
  })

  it('without a descriptor left it refuses, and goes on once it has some', async () => {
    using bundle = judgedBundle(['/bin/sleep', '1000'])
    const shell = await started(bundle)
    const { supervisor } = supervisorOf()
    const first = Math.max(...descriptors(supervisor)) + 1
    const outcomes: string[] = []
    for (let room = 0; room <= 8; room++) {
      await limitFiles(supervisor, first + room)
      assert.equal(await shell.outcome('secret'), 'refused', `${room}`)
      outcomes.push(await shell.outcome('open'))
    }
    assert.equal(outcomes[0], 'refused')
    assert.deepEqual([...new Set(outcomes)].sort(), ['open', 'refused'])
    await limitFiles(supervisor, 1024)
    assert.equal(await shell.outcome('open'), 'open')
    shell.end()
  })

  it('with a limit below what it has, the container ends, and nothing passes', async () => {
    using bundle = judgedBundle(['/bin/sleep', '1000'])
    const shell = await started(bundle)
    shell.said = ''
    await limitFiles(supervisorOf().supervisor, 3)
    shell.open('secret')
    await until('its end', async () => JSON.parse((await berth(['state', id])).stdout).status === 'stopped')
    await shell.ended
    assert.doesNotMatch(shell.said, /secret/)
    const { annotations } = JSON.parse((await berth(['state', id])).stdout)
    assert.equal(annotations['io.berth.reason'], 'policy')
  })

  it('its limit is not its caller’s', async () => {
    using bundle = judgedBundle(['/bin/sh', '-c', 'cat /data/open; cat /data/secret'])
    const flags = node.config(refusing("event.path === '/data/secret'"), { calls: ['open'] })
    const { stdout, stderr } = await run('prlimit', [
      '--nofile=64:',
      binary,
      ...flags,
      'run',
      '--bundle',
      bundle.dir,
      id,
    ])
    assert.equal(stdout, 'open\n', stderr)
    assert.match(stderr, /secret': Operation not permitted/)
  })
})
