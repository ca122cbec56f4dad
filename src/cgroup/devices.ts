/** Device access: linux.resources.devices → rules in order of precedence, and these in the notation of the v1 devices controller. */

import { BerthError } from '../errors.ts'
import type { DeviceRule } from '../spec/types.ts'
import { RESOURCES, type Setting } from './setting.ts'

/** A rule with everything said; a later one counts before an earlier one. */
export interface AccessRule {
  readonly allow: boolean
  readonly type: 'a' | 'b' | 'c'
  /** Absent: any. */
  readonly major: number | undefined
  readonly minor: number | undefined
  /** Of r, w and m. */
  readonly access: string
  /** JSON pointer into config.json. */
  readonly source: string
}

/**
 * Allowed to every container, whatever the configuration says: making nodes (not using them), and the devices that the
 * specification puts into every container, with its terminals.
 */
const DEFAULT_ALLOWED = [
  ['c', undefined, undefined, 'm'],
  ['b', undefined, undefined, 'm'],
  ['c', 1, 3, 'rwm'], // null
  ['c', 1, 5, 'rwm'], // zero
  ['c', 1, 7, 'rwm'], // full
  ['c', 1, 8, 'rwm'], // random
  ['c', 1, 9, 'rwm'], // urandom
  ['c', 5, 0, 'rwm'], // tty
  ['c', 5, 1, 'rwm'], // console
  ['c', 5, 2, 'rwm'], // ptmx
  ['c', 136, undefined, 'rwm'], // pts
] as const

const MAX_NUMBER = 0xffffffffn

const number = (value: bigint | undefined, what: string, source: string): number | undefined => {
  if (value === undefined || value < 0n) return undefined
  if (value > MAX_NUMBER)
    throw new BerthError('invalid', `linux.resources.devices: ${value} is no ${what} number of a device`, {
      pointer: `${source}/${what}`,
    })
  return Number(value)
}

const rule = ({ allow, type, major, minor, access }: DeviceRule, source: string): AccessRule => ({
  allow,
  type: type ?? 'a',
  major: number(major, 'major', source),
  minor: number(minor, 'minor', source),
  access: access === undefined || access === '' ? 'rwm' : access,
  source,
})

const isWhole = ({ type, major, minor, access }: AccessRule): boolean =>
  type === 'a' && major === undefined && minor === undefined && /r/.test(access) && /w/.test(access) && /m/.test(access)

/**
 * Nothing is allowed that is not named (a new cgroup has its parent's rules), then come the configuration's rules, then the
 * defaults.
 */
export const accessRules = (rules: readonly DeviceRule[] = []): AccessRule[] => {
  const source = `${RESOURCES}/devices`
  const configured = rules.map((device, index) => rule(device, `${source}/${index}`))
  const first = configured[0]
  const denyAll = rule({ allow: false }, source)
  return [
    ...(first && !first.allow && isWhole(first) ? [] : [denyAll]),
    ...configured,
    ...DEFAULT_ALLOWED.map(([type, major, minor, access]) => ({ allow: true, type, major, minor, access, source })),
  ]
}

const v1Rule = ({ allow, type, major, minor, access, source }: AccessRule): Setting => {
  const file = allow ? 'devices.allow' : 'devices.deny'
  // The kernel takes `a` for everything, whatever follows: a narrower rule of that type would silently be wider than written.
  if (type === 'a') {
    if (major !== undefined || minor !== undefined)
      throw new BerthError('invalid', 'linux.resources.devices: a rule for all types can have no major or minor', {
        pointer: source,
      })
    return { controller: 'devices', file, value: 'a *:* rwm', source }
  }
  return { controller: 'devices', file, value: `${type} ${major ?? '*'}:${minor ?? '*'} ${access}`, source }
}

/** The rules in the order in which they are to be written. */
export const deviceRules = (rules: readonly DeviceRule[] = []): Setting[] => accessRules(rules).map(v1Rule)
