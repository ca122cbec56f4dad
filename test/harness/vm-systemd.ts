/** Virtual machines whose init is Debian's systemd. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bootVm, type VmOptions, type VmResult, VmRoot } from './vm.ts'

const FILES: Readonly<Record<string, string>> = {
  'etc/systemd/system/vm.service': `[Unit]
After=dbus.socket
Wants=dbus.socket
[Service]
ExecStart=/vm/run
Delegate=yes
OOMPolicy=continue
`,
  // PAM is not set up
  'etc/systemd/system/user@.service.d/vm.conf': '[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n',
  'etc/machine-id': '0123456789abcdef0123456789abcdef\n',
  // Nothing of a system but what the tests are about: boots are slow enough.
  'etc/systemd/system/vm.target': '[Unit]\nRequires=basic.target vm.service\nAfter=basic.target\nAllowIsolate=yes\n',
  'etc/passwd':
    'root:x:0:0:root:/root:/bin/sh\nmessagebus:x:100:100::/nonexistent:/bin/false\nu:x:1000:1000::/:/bin/sh\n',
  'etc/group': 'root:x:0:\ntty:x:5:\nmessagebus:x:100:\nu:x:1000:\n',
}
const MASKED = [
  'systemd-journal-flush.service',
  'systemd-journal-catalog-update.service',
  'systemd-update-utmp.service',
  'systemd-sysusers.service',
  'systemd-firstboot.service',
  'systemd-random-seed.service',
  'systemd-machine-id-commit.service',
  'systemd-pstore.service',
  'systemd-remount-fs.service',
]

let made: VmRoot | undefined
const systemdRoot = (): VmRoot => {
  made ??= new VmRoot({
    packages: ['systemd', 'dbus'],
    size: 1024,
    prepare: (dir) => {
      for (const [path, text] of Object.entries(FILES)) {
        mkdirSync(dirname(join(dir, path)), { recursive: true })
        writeFileSync(join(dir, path), text)
      }
      for (const unit of MASKED) symlinkSync('/dev/null', join(dir, 'etc/systemd/system', unit))
    },
  })
  return made
}

/** The script runs as a service. `hybrid`: with the controllers of cgroup v1. */
export const bootSystemd = ({
  hybrid = false,
  cmdline = '',
  ...options
}: Omit<VmOptions, 'root' | 'init'> & { readonly hybrid?: boolean }): Promise<VmResult> =>
  bootVm({
    ...options,
    root: systemdRoot(),
    init: '/lib/systemd/systemd',
    cmdline: `systemd.unit=vm.target systemd.show_status=0 systemd.unified_cgroup_hierarchy=${hybrid ? 0 : 1} ${cmdline}`,
  })
