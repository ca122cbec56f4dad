/** AppArmor, which this host may not have: a profile in force, and the error where it is off. */
import { test } from 'node:test'
import { bootVm, nodeTests, noVm, showChecks, VmRoot } from '../harness/vm.ts'

const PROFILE = `
profile berth-test flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  mount,
  signal,
  ptrace,
  unix,
  deny /etc/passwd r,
}
`

test('AppArmor', { skip: noVm }, async (context) => {
  const result = await bootVm({
    root: new VmRoot({ packages: ['apparmor', 'libstdc++6'] }),
    cmdline: 'apparmor=1 security=apparmor',
    files: { 'vm/profile': PROFILE },
    script: `apparmor_parser -r /vm/profile || exit 9\n${nodeTests(['test/vm/inside/apparmor.test.ts'])}`,
  })
  await showChecks(context, result)
})
