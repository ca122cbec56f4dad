/** Device access: linux.resources.devices → rules in the notation of the v1 devices controller. */

import { BerthError } from '../errors.ts'
import type { DeviceRule } from '../spec/types.ts'
import { RESOURCES, type Setting } from './setting.ts'

/**
 * Allowed to every container, whatever the configuration says: making nodes (not using them), and the devices that the
 * specification puts into every container, with its terminals.
 */
const DEFAULT_ALLOWED = [
  'c *:* m',
  'b *:* m',
  'c 1:3 rwm', // null
  'c 1:5 rwm', // zero
  'c 1:7 rwm', // full
  'c 1:8 rwm', // random
  'c 1:9 rwm', // urandom
  'c 5:0 rwm', // tty
  'c 5:1 rwm', // console
  'c 5:2 rwm', // ptmx
  'c 136:* rwm', // pts
]

const number = (value: bigint | undefined): string => (value === undefined || value < 0n ? '*' : String(value))

const rule = (device: DeviceRule, source: string): Setting => {
  const file = device.allow ? 'devices.allow' : 'devices.deny'
  const type = device.type ?? 'a'
  // The kernel takes `a` for everything, whatever follows: a narrower rule of that type would silently be wider than written.
  if (type === 'a') {
    if (number(device.major) !== '*' || number(device.minor) !== '*')
      throw new BerthError('invalid', 'linux.resources.devices: a rule for all types can have no major or minor', {
        pointer: source,
      })
    return { controller: 'devices', file, value: 'a *:* rwm', source }
  }
  const access = device.access === undefined || device.access === '' ? 'rwm' : device.access
  return {
    controller: 'devices',
    file,
    value: `${type} ${number(device.major)}:${number(device.minor)} ${access}`,
    source,
  }
}

/**
 * The rules in the order in which they are to be written: nothing is allowed that is not named (a new cgroup has its parent's rules),
 * then the configuration's, then the defaults.
 */
export const deviceRules = (rules: readonly DeviceRule[] = []): Setting[] => {
  const source = `${RESOURCES}/devices`
  const configured = rules.map((device, index) => rule(device, `${source}/${index}`))
  const denyAll: Setting = { controller: 'devices', file: 'devices.deny', value: 'a *:* rwm', source }
  const first = configured[0]
  const all = first?.value === denyAll.value ? configured : [denyAll, ...configured]
  return [...all, ...DEFAULT_ALLOWED.map((value) => ({ controller: 'devices', file: 'devices.allow', value, source }))]
}
