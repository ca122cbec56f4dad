/** What `state` and `list` show of a container. */

import type { Template } from '../plan/ops.ts'
import { REASON } from '../policy/source.ts'
import type { ContainerdTask } from './of-containerd.ts'
import type { ContainerState } from './state.ts'
import type { Status } from './status.ts'

export type DescribedState = Pick<ContainerState, 'ociVersion' | 'bundle' | 'rootfs' | 'created' | 'annotations'> & {
  readonly init: { readonly pid: number }
}

/** The state of a container as runc prints it; `owner` is a name, or "" where it is not asked for. */
export const describeState = (id: string, state: DescribedState, status: Status, owner: string, reason?: string) => ({
  ociVersion: state.ociVersion,
  id,
  pid: status === 'stopped' ? 0 : state.init.pid,
  status,
  bundle: state.bundle,
  rootfs: state.rootfs,
  created: state.created,
  ...annotationsOf(state.annotations, reason),
  owner,
})

/** One of containerd's, as `list --all` shows it. */
export const describeTask = ({ id, namespace, status, init, bundle, reason }: ContainerdTask) => ({
  id,
  namespace,
  pid: status === 'stopped' ? 0 : init.pid,
  status,
  bundle,
  ...(reason === undefined ? {} : { reason }),
})

/** With why it has ended, once that is known. */
const annotationsOf = (own: Readonly<Record<string, string>>, reason: string | undefined) => {
  const annotations = reason === undefined ? own : { ...own, [REASON]: reason }
  return Object.keys(annotations).length === 0 ? {} : { annotations: sorted(annotations) }
}

const sorted = (map: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.keys(map)
      .sort()
      .map((key) => [key, map[key] ?? '']),
  )

/** As `state` prints it. */
export const stateText = (id: string, state: DescribedState, status: Status, reason?: string): string =>
  JSON.stringify(describeState(id, state, status, '', reason), null, 2)

/** The same where the pid is yet to come. A line like this one is in no string: there it would have its quotes and its end escaped. */
export const stateTextTemplate = (id: string, state: Omit<DescribedState, 'init'>, status: Status): Template => {
  const line = '\n  "pid": '
  const [head = '', tail = ''] = stateText(id, { ...state, init: { pid: 0 } }, status).split(`${line}0`)
  return [head + line, { hole: 'pid' }, tail]
}

/** What ended a container, of its exit.json, which a monitor wrote whole. */
export const endReason = (exit: string | undefined): string | undefined => /"reason":"([a-z]+)"/.exec(exit ?? '')?.[1]
