/** `berth state` */

import { type Container, need } from '../container/inspect.ts'
import type { ContainerState } from '../container/state.ts'
import { checkId } from '../spec/id.ts'
import type { Verb } from './verb.ts'

/** The state of a container as runc prints it; `owner` is a name, or "" where it is not asked for. */
export const describeState = (id: string, state: ContainerState, status: Container['status'], owner: string) => ({
  ociVersion: state.ociVersion,
  id,
  pid: status === 'stopped' ? 0 : state.init.pid,
  status,
  bundle: state.bundle,
  rootfs: state.rootfs,
  created: state.created,
  ...(Object.keys(state.annotations).length === 0 ? {} : { annotations: sorted(state.annotations) }),
  owner,
})

const sorted = (map: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.keys(map)
      .sort()
      .map((key) => [key, map[key] ?? '']),
  )

export const verb: Verb = {
  usage: 'ID',
  flags: {},
  args: [1, 1],
  run: async ({ step, globals, first }) => {
    const { id, state, status } = await need(step, globals.root, checkId(first))
    return { stdout: JSON.stringify(describeState(id, state, status, ''), null, 2) }
  },
}
