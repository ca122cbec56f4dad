/** What is judged while signals come all the time. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { bring, noCompiler } from '../harness/attack.ts'
import { notHere } from '../harness/bundle.ts'
import { JudgingNode, judgedBundle } from '../harness/judged.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `s18-${process.pid}`
const PIPELINES = Number(process.env.PIPELINES ?? 20)
/** As /storm has it. */
const OPENS = 10 * PIPELINES

describe('S18: pipelines under a storm of SIGCHLD, their calls judged', { skip: notHere || noCompiler }, () => {
  deletesAfterEach(id)
  let node: JudgingNode
  before(() => {
    node = new JudgingNode()
  })
  after(() => node[Symbol.dispose]())

  const storm = async (calls: readonly string[], handler: string) => {
    const source = `export const onSyscall = async (event) => {
      if (event.call === 'open') await new Promise((done) => setTimeout(done, 1))
      return event.path === '/data/secret' ? 'deny' : 'allow'
    }`
    using bundle = judgedBundle(['/storm', handler, String(PIPELINES)])
    bring(bundle, 'storm')
    const { code, stdout, stderr } = await berth([...node.config(source, { calls }), 'run', '--bundle', bundle.dir, id])
    assert.equal(code, 0, stderr)
    const count = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(stdout)?.[1] ?? Number.NaN)
    assert.deepEqual([count('hung'), count('through')], [0, 0], stdout)
    const [failed, allowed, refused, interrupted] = ['failed', 'allowed', 'refused', 'interrupted'].map(count)
    if (failed === 0) assert.ok(count('signals') > PIPELINES, stdout)
    return { failed, allowed, refused, interrupted, stderr }
  }

  it('with handlers that restart calls none of them fails', async () => {
    const counts = await storm(['open'], 'restarts')
    assert.deepEqual(counts, { failed: 0, allowed: OPENS, refused: OPENS, interrupted: 0, stderr: '' })
  })

  it('with handlers that interrupt calls they fail for that, or are judged', async () => {
    const { failed, allowed, refused, interrupted, stderr } = await storm(['open'], 'interrupts')
    assert.deepEqual([failed, stderr], [0, ''])
    assert.equal(Number(allowed) + Number(refused) + Number(interrupted), 2 * OPENS)
    assert.ok(Number(allowed) <= OPENS && Number(refused) <= OPENS)
  })

  it('programs that are executed meanwhile are, or it is said why not', async () => {
    const { failed, stderr } = await storm(['open', 'execve'], 'interrupts')
    // Processes write these at the same time. As the shell's handler interrupts calls it may be that no execve is judged before the next signal.
    assert.equal(stderr.replaceAll(/sh: |\/storm: Interrupted system call|\n/g, ''), '', stderr)
    assert.equal(stderr.includes('Interrupted system call'), Number(failed) > 0, stderr)
  })
})
