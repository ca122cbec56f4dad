/** The container's cgroup on a host with cgroup v2 only. */

import { compileDeviceFilter } from '../cgroup/device-filter.ts'
import { accessRules } from '../cgroup/devices.ts'
import { type CgroupDir, levels } from '../cgroup/path.ts'
import { v2Settings } from '../cgroup/v2.ts'
import type { DeviceRule, Spec } from '../spec/types.ts'
import { makeCgroup, missingController, POINTER, settingOp } from './cgroup-ops.ts'
import type { HostFacts } from './facts.ts'
import { hostId } from './ids.ts'
import { OP_FLAGS, type Op } from './ops.ts'

/** Enabled wherever it is there, for the figures that `events` and metrics are made of. */
const ACCOUNTING = ['cpu', 'io', 'memory', 'pids']
/** Files of every cgroup, whatever its controllers. */
const CORE = 'cgroup'
const DEVICES = '/linux/resources/devices'
const CAP_SYS_ADMIN = 21n

/** Those that have to hand controllers down; above what was delegated that is settled. */
const ancestors = (dir: CgroupDir): string[] => {
  const { mountPoint, parent } = dir.hierarchy
  const all = [mountPoint, ...levels(dir).slice(0, -1)]
  return parent === undefined ? all : all.slice(parent.split('/').filter(Boolean).length)
}

export const planV2 = (spec: Spec, facts: HostFacts, dir: CgroupDir) => {
  const resources = spec.linux?.resources ?? {}
  const { settings, warnings } = v2Settings(resources, spec.ociVersion)
  const needed = settings.filter(({ controller }) => controller !== CORE)
  const lacking = needed.find(({ controller }) => !facts.cgroup.v2Controllers.includes(controller))
  if (lacking) throw missingController(lacking)
  const wanted = [...new Set(needed.map(({ controller }) => controller))]
  const extra = ACCOUNTING.filter((name) => facts.cgroup.v2Controllers.includes(name) && !wanted.includes(name))
  const filter = planDeviceFilter(resources.devices, facts, dir.dir)
  const make: Op[] = [
    makeCgroup(dir.dir),
    ...ancestors(dir).map(
      (path): Op => ({ op: 'subtree-control', path, controllers: wanted, extra, pointer: '/linux/resources' }),
    ),
  ]
  const limit: Op[] = [
    ...settings.map((setting) => settingOp(dir.dir, setting)),
    ...filter.ops,
    ...delegate(spec, facts, dir),
  ]
  return { make, limit, warnings: [...warnings, ...filter.warnings] }
}

/** Device rules of either version of cgroups are up to the host's root. */
export const canFilter = ({ inUserNamespace, permitted }: Pick<HostFacts, 'inUserNamespace' | 'permitted'>): boolean =>
  !inUserNamespace && (permitted & (1n << CAP_SYS_ADMIN)) !== 0n

export const noFilter = (rules: readonly DeviceRule[] | undefined): readonly string[] =>
  rules?.length ? ['linux.resources.devices is ignored: only the root of the host can set device rules'] : []

/**
 * Loading a device filter takes privileges over the host. Who lacks them can make no device nodes either, and reaches those of the
 * host as its own user does: as with runc and crun, rules are left out then.
 */
export const planDeviceFilter = (
  rules: readonly DeviceRule[] | undefined,
  facts: Pick<HostFacts, 'inUserNamespace' | 'permitted'>,
  path: string,
): { readonly ops: Op[]; readonly warnings: readonly string[] } => {
  if (!canFilter(facts)) return { ops: [], warnings: noFilter(rules) }
  return { ops: [deviceFilterOp(rules, path)], warnings: [] }
}

/** In the place of the rules that the cgroup has. */
export const deviceFilterOp = (rules: readonly DeviceRule[] | undefined, path: string): Op => ({
  op: 'device-filter',
  path,
  program: compileDeviceFilter(accessRules(rules)),
  pointer: DEVICES,
})

const UNCHANGED = 0xffffffff

/**
 * Given to the user that the process runs as, where it has a cgroup namespace and a writable view of it (config-linux, "Cgroup
 * ownership").
 */
const delegate = (spec: Spec, { delegatedFiles }: HostFacts, { dir }: CgroupDir): Op[] => {
  const own = spec.linux?.namespaces?.some(({ type, path }) => type === 'cgroup' && path === undefined)
  const mount = spec.mounts?.find(({ type }) => type === 'cgroup' || type === 'cgroup2')
  if (!own || !mount || mount.options?.includes('ro')) return []
  const uid = hostId(spec.process?.user.uid ?? 0, spec.linux?.uidMappings)
  if (uid === undefined || uid === 0) return []
  const chown = (path: string, opFlags = 0): Op => ({
    op: 'chown',
    path,
    uid,
    gid: UNCHANGED,
    opFlags,
    pointer: POINTER,
  })
  return [
    chown(dir),
    // Those of controllers are there where these are enabled.
    ...delegatedFiles.map((file) => chown(`${dir}/${file}`, file.startsWith(`${CORE}.`) ? 0 : OP_FLAGS.tolerate)),
  ]
}
