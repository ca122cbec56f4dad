import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bring, noCompiler } from '../harness/attack.ts'
import { Bundle, notHere } from '../harness/bundle.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'

const id = `s15-${process.pid}`
const ROUNDS = process.env.RACE_ROUNDS ?? '10000'

describe('S15: an address that a thread rewrites while it is judged', { skip: notHere || noCompiler }, () => {
  deletesAfterEach(id)

  it('is never one that the policy does not allow', async () => {
    using bundle = new Bundle(['/senders', 'race', '127.0.0.2', '127.0.0.1', '7000', ROUNDS], (config) => {
      config.annotations = { 'io.berth.network.allow': '127.0.0.2' }
    })
    bring(bundle, 'senders')
    const { stdout, stderr } = await berth(['run', '--bundle', bundle.dir, id])
    assert.equal(stdout, 'through 0\nrefused some\n', stderr)
  })
})
