/** cgroup v2 with all of its controllers: devices, limits, and the whole life by hand and under containerd's protocol. */
import { test } from 'node:test'
import { bootVm, nodeTests, noVm, showChecks } from '../harness/vm.ts'

test('cgroup v2', { skip: noVm }, async (context) => {
  const result = await bootVm({
    script: nodeTests(['test/vm/inside/devices.test.ts', 'test/vm/inside/limits.test.ts']),
    disks: [16],
    cpus: 2,
    memory: 1024,
    timeoutMs: 240_000,
  })
  await showChecks(context, result)
})
