/** Debian's kernel is 6.1: what docs/kernels.md says of older ones, without a filter that pretends it. */
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { bootVm, nodeTests, noVm, showChecks } from '../harness/vm.ts'
import { buildWithout } from '../harness/without.ts'

test("the kernels' tests, on an older kernel with cgroup v2", { skip: noVm }, async (context) => {
  const result = await bootVm({
    files: { 'vm/without': readFileSync(buildWithout()) },
    script: `export BERTH_WITHOUT=/vm/without; ${nodeTests(['test/integration/kernels.test.ts'])}`,
  })
  await showChecks(context, result)
})
