/** linux.cgroupsPath in systemd's form (slice:prefix:name) → the unit of a container and where its cgroup is. */

import { BerthError } from '../../errors.ts'

const POINTER = '/linux/cgroupsPath'
const SLICE = '.slice'
/** systemd's limit, and what it takes in a name. */
const UNIT_MAX = 255
const UNIT_NAME = /^[A-Za-z0-9:_.\\@-]+$/
/** What a scope is called before its dash where the configuration leaves the name to us. */
const OWN_PREFIX = 'berth'

export interface Unit {
  /** `docker-ID.scope`; a slice where the configuration names one. */
  readonly name: string
  readonly isSlice: boolean
  /** The slice that it is in. */
  readonly slice: string
  /** Below the root of a hierarchy, or of the user's service manager. */
  readonly path: string
}

const refuse = (message: string): BerthError =>
  new BerthError('invalid', `linux.cgroupsPath: ${message}`, { pointer: POINTER })

const checkName = (name: string): string => {
  if (name.length > UNIT_MAX)
    throw refuse(`"${name}" is longer than ${UNIT_MAX} characters, so no unit can be called that`)
  if (!UNIT_NAME.test(name)) throw refuse(`"${name}" is no name for a systemd unit`)
  return name
}

/** `a-b.slice` is below `a.slice`: where a slice's cgroup is. `-.slice` is the root. */
export const slicePath = (slice: string): string => {
  if (!slice.endsWith(SLICE) || slice === SLICE) throw refuse(`"${slice}" is no slice: its name has to end in ".slice"`)
  checkName(slice)
  const stem = slice.slice(0, -SLICE.length)
  if (stem === '-') return ''
  const parts = stem.split('-')
  if (parts.includes(''))
    throw refuse(`"${slice}" is no slice: each dash stands between the names of a slice and of one below it`)
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('-')}${SLICE}`).join('')
}

/** The unit of a container. Without a slice it is in system.slice, or in the user's user.slice. */
export const unitOf = (cgroupsPath: string | undefined, id: string, user: boolean): Unit => {
  const text = cgroupsPath || `:${OWN_PREFIX}:${id}`
  const parts = text.split(':')
  if (parts.length !== 3) throw refuse(`"${text}" is not of the form slice:prefix:name, which --systemd-cgroup needs`)
  const [given = '', prefix = '', base = ''] = parts
  if (base === '') throw refuse(`"${text}" has no name after its second colon`)
  // A dash by itself is short for the root slice, as it is for systemd.
  const slice = given === '' ? (user ? 'user.slice' : 'system.slice') : given === '-' ? '-.slice' : given
  const above = slicePath(slice)
  const isSlice = base.endsWith(SLICE)
  const name = checkName(isSlice ? base : `${prefix === '' ? '' : `${prefix}-`}${base}.scope`)
  const path = `${above}/${name}`
  if (isSlice && slicePath(name) !== path) throw refuse(`the slice "${name}" is not right below "${slice}"`)
  return { name, isSlice, slice, path }
}
