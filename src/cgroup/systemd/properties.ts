/**
 * linux.resources and annotations → properties of the container's unit. The limits are written into the cgroup all the same, and exactly;
 * systemd has to know of them, for it writes its own values whenever it sets the unit up again (daemon-reload, set-property).
 */

import { BerthError } from '../../errors.ts'
import type { Resources, Spec } from '../../spec/types.ts'
import { type AccessRule, accessRules } from '../devices.ts'
import { given, pidsLimit } from '../setting.ts'
import { v2Settings } from '../v2.ts'
import type { Value, Variant } from './dbus.ts'
import { parseVariant } from './gvariant.ts'

export interface Property {
  readonly name: string
  readonly value: Variant
}

const property = (name: string, type: string, value: Value): Property => ({ name, value: { type, value } })

const INFINITY = 0xffffffffffffffffn
const limit = (text: string): bigint | undefined =>
  text === 'max' ? INFINITY : /^\d{1,20}$/.test(text) && BigInt(text) < INFINITY ? BigInt(text) : undefined

/** The kernel's own, where none is given. */
const PERIOD_US = 100_000n
/** systemd counts in percents of a CPU: rounded up, so that the exact quota fits below it. */
const STEP_US = 10_000n

/** A quota below 0 is none. */
const cpuQuota = (quota: bigint | undefined, period: bigint | undefined): Property[] => {
  if (quota === undefined && period === undefined) return []
  const perSecond =
    quota === undefined || quota < 0n
      ? INFINITY
      : (((quota * 1_000_000n) / (period ?? PERIOD_US) + STEP_US - 1n) / STEP_US) * STEP_US
  return [
    ...(period === undefined ? [] : [property('CPUQuotaPeriodUSec', 't', period)]),
    property('CPUQuotaPerSecUSec', 't', perSecond),
  ]
}

/** A list such as `0-3,8` as systemd takes it: a bit for each number, the lowest first. */
export const bitmap = (list: string): number[] | undefined => {
  const bits: number[] = []
  for (const range of list.split(',').map((text) => text.trim())) {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range) ?? []
    if (first === undefined || last === undefined || Number(last) < Number(first)) return undefined
    for (let bit = Number(first); bit <= Number(last); bit++) {
      const byte = bit >> 3
      while (bits.length <= byte) bits.push(0)
      bits[byte] = (bits[byte] ?? 0) | (1 << (bit & 7))
    }
  }
  return bits
}

const LIMITS: Readonly<Record<string, string>> = {
  'memory.max': 'MemoryMax',
  'memory.high': 'MemoryHigh',
  'memory.low': 'MemoryLow',
  'memory.min': 'MemoryMin',
  'memory.swap.max': 'MemorySwapMax',
  'pids.max': 'TasksMax',
}
const CPUSETS: Readonly<Record<string, string>> = { 'cpuset.cpus': 'AllowedCPUs', 'cpuset.mems': 'AllowedMemoryNodes' }

/** What a value of a v2 file is to systemd; nothing where that knows no such property, or not this value of it. */
const ofFile = (file: string, text: string): Property[] => {
  if (LIMITS[file] !== undefined) {
    const value = limit(text)
    return value === undefined ? [] : [property(LIMITS[file], 't', value)]
  }
  if (CPUSETS[file] !== undefined) {
    const value = bitmap(text)
    return value === undefined ? [] : [property(CPUSETS[file], 'ay', value)]
  }
  if (file === 'cpu.weight' && /^\d{1,5}$/.test(text)) return [property('CPUWeight', 't', BigInt(text))]
  const [, quota, period] = (file === 'cpu.max' && /^(max|\d{1,15})(?: (\d{1,15}))?$/.exec(text)) || []
  if (quota === undefined || period === '0') return []
  return cpuQuota(quota === 'max' ? undefined : BigInt(quota), BigInt(period ?? PERIOD_US))
}

/** On cgroup v2: from what is written into the cgroup, linux.resources.unified with it. Of two for one property the last counts. */
const v2Properties = (resources: Resources, ociVersion: string): Property[] =>
  v2Settings(resources, ociVersion).settings.flatMap(({ file, value }) => ofFile(file, value.trim()))

const v1Properties = ({ memory, cpu, blockIO, pids }: Resources, ociVersion: string): Property[] => {
  const tasks = pidsLimit(pids?.limit, ociVersion)
  const bytes = given(memory?.limit)
  const shares = given(cpu?.shares)
  return [
    ...(bytes === undefined ? [] : [property('MemoryLimit', 't', bytes < 0n ? INFINITY : bytes)]),
    ...(shares === undefined ? [] : [property('CPUShares', 't', shares)]),
    ...cpuQuota(given(cpu?.quota), given(cpu?.period)),
    ...(blockIO?.weight ? [property('BlockIOWeight', 't', BigInt(blockIO.weight))] : []),
    ...(tasks === undefined ? [] : [property('TasksMax', 't', limit(tasks) ?? INFINITY)]),
  ]
}

const overlap = (one: AccessRule, other: AccessRule): boolean =>
  (one.type === 'a' || other.type === 'a' || one.type === other.type) &&
  (one.major === undefined || other.major === undefined || one.major === other.major) &&
  (one.minor === undefined || other.minor === undefined || one.minor === other.minor) &&
  [...one.access].some((letter) => other.access.includes(letter))

/** systemd's words for a device: a node, all of a major number, or all of a type. */
const deviceName = ({ type, major, minor }: AccessRule): string | undefined => {
  const kind = type === 'b' ? 'block' : 'char'
  if (major === undefined) return minor === undefined ? `${kind}-*` : undefined
  return minor === undefined ? `${kind}-${major}` : `/dev/${kind}/${major}:${minor}`
}

/**
 * v1 only: there systemd writes the devices controller of each of its units, and a list of what is allowed is all it can write. Where rules
 * are no such list, what a later one cuts into is left out. On v2 its filter is one of several that all have to agree.
 */
const deviceProperties = (resources: Resources): Property[] => {
  const rules = accessRules(resources.devices)
  const last = rules.findLastIndex(
    ({ type, major, minor, access }) =>
      type === 'a' && major === undefined && minor === undefined && access.length === 3,
  )
  const after = rules.slice(last + 1)
  const allowsAll = rules[last]?.allow === true
  if (allowsAll && after.every(({ allow }) => allow))
    return [property('DevicePolicy', 's', 'auto'), property('DeviceAllow', 'a(ss)', [])]
  const allowed = after.filter(
    (rule, index) => rule.allow && !after.slice(index + 1).some((later) => !later.allow && overlap(later, rule)),
  )
  return [
    property('DevicePolicy', 's', 'strict'),
    property(
      'DeviceAllow',
      'a(ss)',
      allowed.flatMap((rule) => {
        const name = deviceName(rule)
        return name === undefined ? [] : [[name, rule.access]]
      }),
    ),
  ]
}

/** What changes with linux.resources. */
export const resourceProperties = (resources: Resources, ociVersion: string, unified: boolean): Property[] => {
  if (unified) return v2Properties(resources, ociVersion)
  return [...(resources.devices ? deviceProperties(resources) : []), ...v1Properties(resources, ociVersion)]
}

/** Figures are kept of everything, as they are without systemd. */
const ACCOUNTING = ['MemoryAccounting', 'CPUAccounting', 'TasksAccounting']
const IO_ACCOUNTING = { unified: 'IOAccounting', v1: 'BlockIOAccounting' } as const

export const accountingProperties = (unified: boolean): Property[] =>
  [...ACCOUNTING, unified ? IO_ACCOUNTING.unified : IO_ACCOUNTING.v1].map((name) => property(name, 'b', true))

export const ANNOTATION = 'org.systemd.property.'

/** What makes a unit this container's. */
const OWN = new Set(['PIDs', 'Slice'])

/** A property whose documentation has it in seconds (TimeoutStopSec) is one of microseconds (TimeoutStopUSec) to programs. */
const inMicroseconds = (name: string, { type, value }: Variant): Property => {
  if (!/[a-z]Sec$/.test(name)) return { name, value: { type, value } }
  const seconds = typeof value === 'number' || typeof value === 'bigint' ? Number(value) : Number.NaN
  const micro = Math.round(seconds * 1_000_000)
  if (!Number.isSafeInteger(micro) || micro < 0) throw new SyntaxError('expected a number of seconds')
  return property(`${name.slice(0, -3)}USec`, 't', BigInt(micro))
}

/** Annotations `org.systemd.property.NAME`, whose values are in GVariant's text format. */
export const annotatedProperties = (annotations: Spec['annotations'] = {}): Property[] =>
  Object.entries(annotations)
    .filter(([key]) => key.startsWith(ANNOTATION))
    .map(([key, text]) => {
      const name = key.slice(ANNOTATION.length)
      try {
        if (OWN.has(name)) throw new SyntaxError('that is not for the configuration to say')
        if (!/^[A-Z][A-Za-z0-9]{2,}$/.test(name)) throw new SyntaxError('that is no name of a property')
        return inMicroseconds(name, parseVariant(text))
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error
        throw new BerthError('invalid', `annotations: "${key}": ${JSON.stringify(text)}: ${error.message}`, {
          pointer: `/annotations/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`,
        })
      }
    })
