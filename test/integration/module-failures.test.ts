/** What becomes of a container whose module fails, is too slow, or is killed. */
import assert from 'node:assert/strict'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { noCompiler } from '../harness/attack.ts'
import { notHere } from '../harness/bundle.ts'
import { pidsWith, until } from '../harness/host.ts'
import { JudgingNode, judgedBundle, supervisorOf } from '../harness/judged.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `module-fails-${process.pid}`

describe('policies whose module fails', { skip: notHere || noCompiler }, () => {
  deletesAfterEach(id)
  let node: JudgingNode
  before(() => {
    node = new JudgingNode()
  })
  after(() => node[Symbol.dispose]())
  const config = (...words: Parameters<JudgingNode['config']>) => node.config(...words)
  const script = (flags: readonly string[], text: string) => node.run(id, flags, ['/bin/sh', '-c', text])
  const reason = async (): Promise<string | undefined> =>
    JSON.parse((await berth(['state', id])).stdout).annotations?.['io.berth.reason']

  for (const [what, body] of [
    ['throws', "throw new Error('no')"],
    ['rejects', "return Promise.reject(new Error('no'))"],
    ['says nothing', ''],
    ['says something else', 'return { allow: true }'],
    ['never answers', 'return new Promise(() => {})'],
  ] as const)
    it(`refuses where the module ${what}`, async () => {
      const source = `export function onSyscall(event) { if (event.path !== '/data/secret') return 'allow'; ${body} }`
      const { stderr } = await script(
        config(source, { calls: ['open'], timeout: 0.3 }),
        'cat /data/secret; cat /data/open',
      )
      assert.match(stderr, /\/data\/secret': Operation not permitted/)
      assert.doesNotMatch(stderr, /\/data\/open/)
    })

  it('refuses what comes while the module is busy, and more than can wait', async () => {
    const source =
      "export const onSyscall = (event) => { if (event.path === '/data/secret') for (;;) {}; return 'allow' }"
    const flags = config(source, { calls: ['open'], timeout: 0.5 })
    const { stdout } = await script(
      flags,
      '/judged crowd /data/open 200; cat /data/secret; /judged crowd /data/open 200',
    )
    const [first, second] = stdout.trim().split('\n')
    assert.match(first ?? '', /^opened \d+ of 200$/)
    assert.equal(second, 'opened 0 of 200')
  })

  it('says no more than there is room for', async () => {
    const source = `export const onSyscall = ({ path }) => {
      if (path === '/data/secret') throw new Error('x'.repeat(1 << 20))
      return 'allow'
    }`
    using bundle = judgedBundle(['/bin/sleep', '1000'])
    const flags = config(source, { calls: ['open'] })
    await berth([...flags, 'run', '--detach', '--bundle', bundle.dir, id])
    const { stdout, stderr } = await berth([
      'exec',
      id,
      '/bin/sh',
      '-c',
      'for i in 1 2 3 4 5 6 7 8; do cat /data/secret 2>/dev/null; done; cat /data/open',
    ])
    assert.equal(stdout, 'open\n', stderr)
    const { size } = statSync(join('/run/berth', id, 'module.log'))
    assert.equal(size, 4 << 20)
  })

  it('ends the container with its worker, and says why', async () => {
    const command = 'trap "" TERM; cat /data/other; cat /data/secret; while :; do :; done'
    using bundle = judgedBundle(['/bin/sh', '-c', command])
    writeFileSync(join(bundle.dir, 'rootfs/data/other'), 'other')
    const flags = config(
      "export const onSyscall = (event) => event.path === '/data/secret' ? process.exit(1) : event.path === '/data/other' ? 'deny' : 'allow'",
      { calls: ['open'] },
    )
    await berth([...flags, 'run', '--detach', '--bundle', bundle.dir, id])
    await until('the end for this reason', async () => (await reason()) === 'policy')
    // What it had refused by then is still told.
    const { denied } = JSON.parse((await berth(['inspect', '--json', id])).stdout)
    assert.deepEqual(denied[0], { from: denied[0]?.from, rule: 'module', value: 'open', denied: 1 })
  })

  it('or starts the worker again', async () => {
    const flags = config(
      "export const onSyscall = (event) => event.path === '/data/secret' ? process.exit(1) : 'allow'",
      {
        onExit: 'restart',
      },
    )
    const { stdout, stderr } = await script(flags, 'cat /data/secret; cat /data/open; cat /data/secret; cat /data/open')
    assert.equal(stdout, 'open\nopen\n', stderr)
    assert.match(stderr, /secret': Operation not permitted[\s\S]*secret': Operation not permitted/)
  })

  it('leaves no worker behind that is busy when berth-judge is killed', async () => {
    using bundle = judgedBundle(['/bin/cat', '/data/secret'])
    const flags = config(
      "export const onSyscall = (event) => { if (event.path === '/data/secret') for (;;) console.error('busy') }",
      { calls: ['open'] },
    )
    await berth([...flags, 'create', '--bundle', bundle.dir, id])
    const workers = () =>
      pidsWith((args) => args[0] === 'berth-worker' && args.some((arg) => arg.endsWith('/judge.js')))
    assert.equal(workers().length, 1)
    await berth(['start', id])
    await until('that it is busy', () => readFileSync(`/run/berth/${id}/module.log`, 'utf8').includes('busy'))
    process.kill(supervisorOf().supervisor, 'SIGKILL')
    await until('the end of the worker', () => workers().length === 0)
  })

  for (const name of ['supervisor', 'between'] as const)
    it(`ends the container when berth-judge (${name}) is killed`, async () => {
      using bundle = judgedBundle(['/bin/sleep', '1000'])
      const flags = config("export const onSyscall = () => 'allow'")
      await berth([...flags, 'run', '--detach', '--bundle', bundle.dir, id])
      process.kill(supervisorOf()[name], 'SIGKILL')
      await until('the end for this reason', async () => (await reason()) === 'policy')
    })
})
