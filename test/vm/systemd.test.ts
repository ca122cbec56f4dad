/** The systemd driver, with systemd as the init of a machine: on cgroup v2, and with the controllers of v1. */
import { test } from 'node:test'
import { nodeTests, noVm, showChecks } from '../harness/vm.ts'
import { bootSystemd } from '../harness/vm-systemd.ts'

for (const hybrid of [false, true])
  test(`the systemd driver on cgroup ${hybrid ? 'v1' : 'v2'}`, { skip: noVm }, async (context) => {
    const script = nodeTests(['test/vm/inside/systemd.test.ts'])
    await showChecks(context, await bootSystemd({ hybrid, script }))
  })
