/** The operations on a container's unit: systemd is asked for it over D-Bus. */

import { type Call, marshalCall, PID, type Value, type Variant } from '../cgroup/systemd/dbus.ts'
import {
  accountingProperties,
  annotatedProperties,
  type Property,
  resourceProperties,
} from '../cgroup/systemd/properties.ts'
import type { Unit } from '../cgroup/systemd/unit.ts'
import { BerthError } from '../errors.ts'
import type { Resources, Spec } from '../spec/types.ts'
import { POINTER } from './cgroup-ops.ts'
import { type HostFacts, isRootless } from './facts.ts'
import { OP_FLAGS, type Op } from './ops.ts'

/** From the connection to the end of the job. Long enough for a host that starts a hundred pods at once. */
const TIMEOUT_MS = 30_000
const NO_SUCH_UNIT = 'org.freedesktop.systemd1.NoSuchUnit'
const UNIT_EXISTS = 'org.freedesktop.systemd1.UnitExists'

/** The service manager that containers are units of. */
export interface Manager {
  /** That of a user, not the host's. */
  readonly user: boolean
  /** Its own cgroup: what it starts is below. */
  readonly root: string
  readonly sockets: readonly string[]
}

/**
 * The manager's own socket comes first: it answers where no D-Bus daemon does. The host's is at its root, a user's where systemd
 * starts it for a session (user@.service).
 */
export const managerOf = (facts: HostFacts): Manager => {
  if (!facts.systemd)
    throw new BerthError(
      'unsupported',
      '--systemd-cgroup: systemd is not the init of this host (there is no /run/systemd/system)',
      {
        pointer: POINTER,
      },
    )
  const { hostUid: uid, cgroup } = facts
  if (!isRootless(facts))
    return { user: false, root: '', sockets: ['/run/systemd/private', '/run/dbus/system_bus_socket'] }
  if (cgroup.mode !== 'unified')
    throw new BerthError(
      'unsupported',
      '--systemd-cgroup: for users other than root it needs a host with cgroup v2 only',
      {
        pointer: POINTER,
      },
    )
  const own = /^.*\/user@\d+\.service(?=\/|$)/.exec(cgroup.v2?.own ?? '')?.[0]
  const run = `/run/user/${uid}`
  return {
    user: true,
    root: own ?? `/user.slice/user-${uid}.slice/user@${uid}.service`,
    sockets: [`${run}/systemd/private`, `${run}/bus`],
  }
}

interface Request {
  readonly member: string
  readonly arguments: readonly Variant[]
  /** Sent before it; its answer is not waited for. */
  readonly before?: Pick<Request, 'member' | 'arguments'>
  /** Errors that leave things as they should be. */
  readonly accept?: readonly string[]
  /** The answer is a job, which is waited for. */
  readonly job: boolean
  /** Not sent where there is no such path. */
  readonly onlyIf?: string
  readonly pointer?: string
  readonly opFlags?: number
}

const MANAGER: Pick<Call, 'destination' | 'path' | 'interface'> = {
  destination: 'org.freedesktop.systemd1',
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager',
}
const JOB_REMOVED = 'JobRemoved'
const BUS = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
} as const
/** A bus wants to be greeted first, and asked for signals; systemd's own socket refuses the one, and nobody minds, and needs not the other. */
const HELLO: Call = { ...BUS, serial: 1, member: 'Hello', arguments: [] }
const WATCH_JOBS: Call = {
  ...BUS,
  serial: 2,
  noReply: true,
  member: 'AddMatch',
  arguments: [
    {
      type: 's',
      value: `type='signal',sender='${MANAGER.destination}',interface='${MANAGER.interface}',member='${JOB_REMOVED}'`,
    },
  ],
}
const SERIAL = 4

const call = ({ sockets }: Manager, unit: string, request: Request): Op => {
  const { member, before, accept = [], job, onlyIf = '', pointer, opFlags } = request
  const earlier = before ? marshalCall({ ...MANAGER, ...before, serial: 3, noReply: true }) : []
  return {
    op: 'dbus',
    sockets,
    subject: `${member} ${unit}`,
    data: [
      ...marshalCall(HELLO),
      ...(job ? marshalCall(WATCH_JOBS) : []),
      ...earlier,
      ...marshalCall({ ...MANAGER, member, arguments: request.arguments, serial: SERIAL }),
    ],
    serial: SERIAL,
    signal: job ? JOB_REMOVED : '',
    accept,
    onlyIf,
    timeoutMs: TIMEOUT_MS,
    ...(opFlags === undefined ? {} : { opFlags }),
    ...(pointer === undefined ? {} : { pointer }),
  }
}

const text = (value: string): Variant => ({ type: 's', value })
const properties = (list: readonly Property[]): Variant => ({
  type: 'a(sv)',
  value: list.map(({ name, value }): Value => [name, value]),
})

/** Of two values for a property the later one is meant, but systemd would take a list as an addition to the one before. */
const distinct = (list: readonly Property[]): Property[] => [...new Map(list.map((item) => [item.name, item])).values()]

export interface UnitInput {
  readonly unit: Unit
  readonly manager: Manager
  readonly spec: Spec
  readonly id: string
  readonly unified: boolean
}

/** What the unit is, whatever the annotations say to it. */
const unitProperties = ({ unit, spec, id, unified }: UnitInput): Property[] => [
  { name: 'Description', value: text(`berth container ${id}`) },
  ...(unit.isSlice
    ? [{ name: 'Wants', value: { type: 'as', value: [unit.slice] } }]
    : [
        { name: 'Slice', value: text(unit.slice) },
        { name: 'Delegate', value: { type: 'b', value: true } },
        { name: 'PIDs', value: { type: 'au', value: [PID] } },
      ]),
  { name: 'DefaultDependencies', value: { type: 'b', value: false } },
  // Gone with the container's end, also where that was a failure to systemd.
  { name: 'CollectMode', value: text('inactive-or-failed') },
  ...accountingProperties(unified),
  ...resourceProperties(
    unified ? (spec.linux?.resources ?? {}) : { devices: [], ...spec.linux?.resources },
    spec.ociVersion,
    unified,
  ),
]

/** Starts the unit with the process that was cloned before: it is in its cgroup when this is done. */
export const startUnit = (input: UnitInput): Op => {
  const { unit, manager, spec } = input
  const list = distinct([...unitProperties(input), ...annotatedProperties(spec.annotations)])
  return call(manager, unit.name, {
    member: 'StartTransientUnit',
    arguments: [text(unit.name), text('fail'), properties(list), { type: 'a(sa(sv))', value: [] }],
    // One of that name that has failed, of a runtime that did not say that it may go, is no obstacle.
    before: { member: 'ResetFailedUnit', arguments: [text(unit.name)] },
    // Slices are there for more than one container.
    accept: unit.isSlice ? [UNIT_EXISTS] : [],
    job: true,
    pointer: POINTER,
  })
}

/** Ends the unit. `dir` is its cgroup: without it there is nothing to end. */
export const stopUnit = ({ unit, manager, spec }: UnitInput, dir: string): Op[] => {
  const stays = annotatedProperties(spec.annotations).some(({ name }) => name === 'CollectMode')
  return [
    call(manager, unit.name, {
      member: 'StopUnit',
      arguments: [text(unit.name), text('replace')],
      accept: [NO_SUCH_UNIT],
      job: true,
      onlyIf: dir,
      opFlags: OP_FLAGS.keepGoing,
    }),
    ...(stays
      ? [
          call(manager, unit.name, {
            member: 'ResetFailedUnit',
            arguments: [text(unit.name)],
            accept: [NO_SUCH_UNIT],
            job: false,
            opFlags: OP_FLAGS.tolerate,
          }),
        ]
      : []),
  ]
}

/** Tells systemd of limits that are new, for as long as the unit is there; `[]` where it has no word for any of them. */
export const updateUnit = (
  manager: Manager,
  name: string,
  resources: Resources,
  ociVersion: string,
  unified: boolean,
): Op[] => {
  const list = distinct(resourceProperties(resources, ociVersion, unified))
  if (list.length === 0) return []
  return [
    call(manager, name, {
      member: 'SetUnitProperties',
      arguments: [text(name), { type: 'b', value: true }, properties(list)],
      job: false,
      pointer: '/linux/resources',
    }),
  ]
}
