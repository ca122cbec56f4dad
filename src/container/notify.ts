/** Readiness of the container for whoever runs us as a service (sd_notify(3)): $NOTIFY_SOCKET. */

import type { CommandRequest, RunStep } from '../controller/types.ts'
import { type Plan, READ_FLAGS } from '../plan/ops.ts'
import type { Spec } from '../spec/types.ts'
import type { ContainerPaths } from './layout.ts'
import type { ContainerState } from './state.ts'

/** Where the container sees its socket: as with runc. */
const INSIDE = '/run/notify'
const NAME = 'notify.sock'

const caller = ({ env }: CommandRequest): string => env.NOTIFY_SOCKET ?? ''

/** The caller's own socket is not for the container: it would believe all that is said there. */
export const withNotify = (spec: Spec, request: CommandRequest, { notify }: ContainerPaths): Spec => {
  const { process } = spec
  if (caller(request) === '' || process === undefined) return spec
  return {
    ...spec,
    process: { ...process, env: [...(process.env ?? []), `NOTIFY_SOCKET=${INSIDE}/${NAME}`] },
    mounts: [
      ...(spec.mounts ?? []),
      { destination: INSIDE, type: 'bind', source: notify, options: ['bind', 'ro', 'nosuid', 'nodev', 'noexec'] },
    ],
  }
}

export const notifyDir = (request: CommandRequest, { notify }: ContainerPaths): Plan =>
  caller(request) === '' ? [] : [{ op: 'mkdir', path: notify, mode: 0o755, flags: 0 }]

/** Around what starts a container that was made with such a socket. `wait`: until it is ready. */
export const notifyPlan = async (
  step: RunStep,
  request: CommandRequest,
  { notify }: ContainerPaths,
  { init }: ContainerState,
  wait: boolean,
): Promise<(plan: Plan) => Plan> => {
  if (caller(request) === '') return (plan) => plan
  const there = (await step('notify', [{ op: 'stat', path: notify, flags: READ_FLAGS.missingOk }])).bytes(0)
  if (there === undefined) return (plan) => plan
  return (plan) => [
    {
      op: 'notify',
      path: `${notify}/${NAME}`,
      caller: caller(request),
      pid: init.pid,
      start: init.startTime,
      wait: wait ? 1 : 0,
      plan,
    },
  ]
}
