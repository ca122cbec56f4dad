/** Random changes to valid configurations, executed. `make soak` has 2,000 of them. */
import { test } from 'node:test'
import { noVm } from '../harness/vm.ts'
import { executeInVm } from '../mutations/vm.ts'

test('60 mutated configurations leave nothing behind', { skip: noVm }, (context) => executeInVm(context, 0, 60))
