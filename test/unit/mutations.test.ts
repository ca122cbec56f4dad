import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileMutation } from '../mutations/compile.ts'
import { mutation } from '../mutations/mutate.ts'

test('5,000 mutations of valid configurations end in a plan or in an error that says where', () => {
  const outcomes = { planned: 0, refused: 0 }
  for (let number = 0; number < 5_000; number++) outcomes[compileMutation(number)]++
  // the mutations are neither all harmless nor all caught by the first check
  assert.ok(outcomes.planned > 500 && outcomes.refused > 500, JSON.stringify(outcomes))
})

test('a mutation is the same each time', () => {
  assert.equal(mutation(7).text, mutation(7).text)
  assert.notEqual(mutation(7).text, mutation(8).text)
})
