import assert from 'node:assert/strict'
import { test } from 'node:test'
import { remembered } from '../../src/remember.ts'

test('the last results are kept, the one that was not asked for the longest goes first', () => {
  const computed: string[] = []
  const length = remembered(2, (text: string) => {
    computed.push(text)
    if (text === 'bad') throw new Error('bad')
    return text.length
  })
  for (const text of ['a', 'bb', 'a', 'ccc', 'a', 'bb']) assert.equal(length(text), text.length)
  assert.deepEqual(computed, ['a', 'bb', 'ccc', 'bb'])
  for (let i = 0; i < 2; i++) assert.throws(() => length('bad'), /bad/)
  assert.equal(computed.length, 6, 'what it throws is not kept')
})

test('what is too large is computed each time', () => {
  let count = 0
  const once = remembered(2, (_: string) => ++count)
  const large = 'x'.repeat(1 << 19)
  assert.deepEqual([once(large), once(large), once('y'), once('y')], [1, 2, 3, 3])
})
