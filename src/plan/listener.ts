/** linux.seccomp.listenerPath: the agent that is asked for each call with SCMP_ACT_NOTIFY gets the listener before the process needs it. */

import { posix } from 'node:path'
import type { Spec } from '../spec/types.ts'
import { type ContainerStatus, goString, stateTemplate } from './hooks.ts'
import { type Op, REPORTS, type Template } from './ops.ts'

const LISTENER_SLOT = 59
const SOCKET_SLOT = 58

/** Whose filter it is. */
export interface Notified {
  readonly spec: Spec
  readonly id: string
  /** Absolute. */
  readonly bundle: string
  readonly key: string
  readonly status: ContainerStatus
  /** The container's init, where that is another process. */
  readonly initPid?: number
}

/** The container process state (config-linux.md), keys in the order of the specification. */
const message = ({ spec, id, bundle, status, initPid }: Notified): Template => {
  const metadata = spec.linux?.seccomp?.listenerMetadata
  return [
    `{"ociVersion":${goString(spec.ociVersion)},"fds":["seccompFd"],"pid":`,
    { hole: 'pid' },
    `${metadata ? `,"metadata":${goString(metadata)}` : ''},"state":`,
    ...stateTemplate(spec, id, bundle, status, initPid),
    '}',
  ]
}

/** Outside: takes the listener from the process and sends it to the agent, over a connection of its own. */
export const handOverListener = (notified: Notified): Op[] => {
  const { spec, bundle, key } = notified
  const pointer = '/linux/seccomp/listenerPath'
  const path = posix.resolve(bundle, spec.linux?.seccomp?.listenerPath ?? '')
  return [
    { op: 'resume', key, until: REPORTS.listener, slot: LISTENER_SLOT, pointer: '/linux/seccomp' },
    { op: 'connect', path, slot: SOCKET_SLOT, pointer },
    { op: 'send-fd', to: SOCKET_SLOT, fd: LISTENER_SLOT, data: message(notified), pointer },
    { op: 'close', slot: SOCKET_SLOT },
    { op: 'close', slot: LISTENER_SLOT },
  ]
}
