/** `berth features`: features.json of the runtime specification, from the tables that the parsers themselves use. */

import packageJson from '../../package.json' with { type: 'json' }
import { ANNOTATION } from '../cgroup/systemd/properties.ts'
import { HOOK_KINDS } from '../plan/hooks.ts'
import { MOUNT_OPTIONS } from '../plan/mount-options.ts'
import { CLONE_FLAGS } from '../plan/namespaces.ts'
import { KEEP_GROUPS } from '../plan/process.ts'
import { MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES } from '../plan/scheduling.ts'
import { SECCOMP_ACTIONS, SECCOMP_ARCHES, SECCOMP_FLAGS, SECCOMP_OPERATORS } from '../plan/seccomp.ts'
import { ANNOTATIONS as POLICY_ANNOTATIONS } from '../policy/annotations.ts'
import { CAPABILITY_NAMES } from '../spec/capabilities.ts'
import { OCI_VERSION } from '../spec/default.ts'
import type { Verb } from './verb.ts'

const sorted = (names: Iterable<string>): string[] => [...names].sort()

/** What this build does on a host that has it all (features.md): nothing here depends on the host at hand, which is `doctor`'s subject. */
export const describeFeatures = () => ({
  ociVersionMin: '1.0.0',
  ociVersionMax: OCI_VERSION,
  hooks: HOOK_KINDS,
  mountOptions: MOUNT_OPTIONS,
  linux: {
    namespaces: sorted(Object.keys(CLONE_FLAGS)),
    capabilities: CAPABILITY_NAMES,
    cgroup: { v1: true, v2: true, systemd: true, systemdUser: true, rdma: true },
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
    intelRdt: { enabled: true, schemata: true, monitoring: true },
    memoryPolicy: { modes: MEMORY_POLICY_MODES, flags: MEMORY_POLICY_FLAGS },
    mountExtensions: { idmap: { enabled: true } },
    netDevices: { enabled: true },
  },
  /** Those for policies can only narrow what the node allows. */
  annotations: {
    'org.berth.version': packageJson.version,
    'io.berth.annotations': POLICY_ANNOTATIONS.join(' '),
    // runc's name, which is the one that is looked for.
    'org.opencontainers.runc.checkpoint.enabled': 'true',
  },
  /** A prefix: properties of the unit that --systemd-cgroup makes. And groups that are not the image's. */
  potentiallyUnsafeConfigAnnotations: [ANNOTATION, KEEP_GROUPS],
})

/** As it is printed, and as it lies beside the program for the shim's `-info`. */
export const featuresText = (): string => `${JSON.stringify(describeFeatures(), null, 4)}\n`

export const verb: Verb = {
  usage: '',
  flags: {},
  args: [0, 0],
  run: async () => ({ stdout: featuresText() }),
}
