/** Random changes to valid configurations: many compiled, 2,000 executed in virtual machines. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noVm } from '../harness/vm.ts'
import { compileMutation } from '../mutations/compile.ts'
import { executeInVm } from '../mutations/vm.ts'

test('200,000 mutations of valid configurations end in a plan or in an error that says where', () => {
  const outcomes = { planned: 0, refused: 0 }
  for (let number = 0; number < 200_000; number++) outcomes[compileMutation(number)]++
  assert.equal(outcomes.planned + outcomes.refused, 200_000)
})

for (const first of [0, 1, 2, 3].map((nth) => nth * 1_000_000))
  test(`500 mutated configurations from case ${first} leave nothing behind`, { skip: noVm }, (context) =>
    executeInVm(context, first, 500),
  )
