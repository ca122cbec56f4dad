/** The files of the validation suite that need more than most hosts give: a caller with every capability, and AppArmor. */
import { execFileSync } from 'node:child_process'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root as checkout } from '../harness/host.ts'
import { bootVm, noVm, showChecks, VmRoot } from '../harness/vm.ts'

const suite = process.env.BERTH_SUITE ?? '/var/tmp/berth-suite'
const FILES = ['process_capabilities', 'linux_process_apparmor_profile']
/** The profile that the suite asks for; it allows all, being there is enough. */
const PROFILE =
  'profile acme_secure_profile flags=(attach_disconnected) { file, capability, network, mount, signal, ptrace, unix, }\n'

test('the validation suite in a virtual machine', { skip: noVm }, async (context) => {
  execFileSync(join(checkout, 'test/conformance/build-suite'), [suite], { stdio: 'ignore' })
  const root = new VmRoot({
    packages: ['apparmor', 'libstdc++6', 'tar', 'gzip'],
    prepare: (dir) => {
      const from = join(suite, 'suite')
      for (const name of ['runtimetest', 'rootfs-amd64.tar.gz', ...FILES.map((file) => `validation/${file}.t`)])
        cpSync(join(from, name), join(dir, 'suite', name), { recursive: true })
    },
  })
  const result = await bootVm({
    root,
    cmdline: 'apparmor=1 security=apparmor',
    files: { 'vm/profile': PROFILE },
    script: `
apparmor_parser -r /vm/profile || exit 9
export RUNTIME=/berth/bin/berth
cd /suite
for file in ${FILES.join(' ')}; do
  ./validation/$file.t >/tmp/$file.tap 2>&1; code=$?
  if [ $code = 0 ] && grep -q '^ok' /tmp/$file.tap && ! grep -q '^not ok' /tmp/$file.tap; then echo "ok $file"
  else echo "not ok $file"; echo "  exit code $code"; grep -A8 -v '^ok' /tmp/$file.tap | head -40 | sed 's/^/  /'; fi
done`,
  })
  await showChecks(context, result)
})
