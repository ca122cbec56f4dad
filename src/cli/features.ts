/** `berth features`: features.json of the runtime specification, from the tables that the parsers themselves use. */

import packageJson from '../../package.json' with { type: 'json' }
import { MOUNT_OPTIONS } from '../plan/mount-options.ts'
import { CLONE_FLAGS } from '../plan/namespaces.ts'
import { SECCOMP_ACTIONS, SECCOMP_ARCHES, SECCOMP_FLAGS, SECCOMP_OPERATORS } from '../plan/seccomp.ts'
import { CAPABILITY_NAMES } from '../spec/capabilities.ts'
import { OCI_VERSION } from '../spec/default.ts'
import type { Verb } from './verb.ts'

const HOOKS = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop']

const sorted = (names: Iterable<string>): string[] => [...names].sort()

export const describeFeatures = () => ({
  ociVersionMin: '1.0.0',
  ociVersionMax: OCI_VERSION,
  hooks: HOOKS,
  mountOptions: MOUNT_OPTIONS.filter((option) => !option.endsWith('idmap')),
  linux: {
    namespaces: sorted(Object.keys(CLONE_FLAGS)),
    capabilities: CAPABILITY_NAMES,
    cgroup: { v1: true, v2: true, systemd: false, systemdUser: false, rdma: false },
    seccomp: {
      enabled: true,
      actions: sorted(SECCOMP_ACTIONS),
      operators: sorted(SECCOMP_OPERATORS),
      archs: sorted(SECCOMP_ARCHES),
      knownFlags: sorted(SECCOMP_FLAGS),
      supportedFlags: sorted(SECCOMP_FLAGS),
    },
    apparmor: { enabled: true },
    selinux: { enabled: true },
    intelRdt: { enabled: false },
    // Their options are parsed so that the mount can be refused by name.
    mountExtensions: { idmap: { enabled: false } },
    netDevices: { enabled: false },
  },
  annotations: { 'org.berth.version': packageJson.version },
})

export const verb: Verb = {
  usage: '',
  flags: {},
  args: [0, 0],
  run: async () => ({ stdout: `${JSON.stringify(describeFeatures(), null, 4)}\n` }),
}
