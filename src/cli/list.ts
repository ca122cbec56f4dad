/** `berth list` */

import { describeState, describeTask } from '../container/describe.ts'
import { inspectAll } from '../container/inspect.ts'
import { tasksOfContainerd } from '../container/of-containerd.ts'
import { READ_FLAGS } from '../plan/ops.ts'
import { checkId } from '../spec/id.ts'
import { table } from './table.ts'
import { PASSWD, userNames } from './users.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: '',
  flags: {
    all: {
      type: 'boolean',
      alias: 'a',
      describe: "also those of containerd, which it shows under its namespaces' names",
    },
    format: { type: 'string', alias: 'f', describe: 'table (default) or json' },
    quiet: { type: 'boolean', alias: 'q', describe: 'ids only' },
  },
  args: [0, 0],
  run: async (context) => {
    const { step, globals } = context
    const format = context.choice('format', ['table', 'json'], 'table')
    const results = await step('list', [{ op: 'list', path: globals.root, flags: READ_FLAGS.missingOk }, PASSWD])
    const ids = (results.text(0) ?? '').split('\0').filter(isId)
    const containers = await inspectAll(step, globals.root, ids, { tolerant: true, skipForeign: true })
    const found = context.flag('all') ? await tasksOfContainerd(step, context.request.runDir) : []
    const tasks = found.map(describeTask)
    if (context.flag('quiet')) return { stdout: [...containers, ...tasks].map(({ id }) => `${id}\n`).join('') }
    const nameOf = userNames(results.text(1))
    // Without state.json there is nothing to show yet: neither does runc show a container that is being created.
    const states = containers.flatMap(({ id, state, status, reason }) =>
      state === undefined ? [] : [describeState(id, state, status, nameOf(state.uid), reason)],
    )
    if (format === 'json') {
      const all = [...states, ...tasks]
      return { stdout: `${all.length === 0 ? 'null' : JSON.stringify(all)}\n` }
    }
    const more = (text: string) => (context.flag('all') ? [text] : [])
    return {
      stdout: table([
        ['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER', ...more('CONTAINERD')],
        ...states.map(({ id, pid, status, bundle, created, owner }) => [
          ...[id, String(pid), status, bundle, created, owner],
          ...more('-'),
        ]),
        ...tasks.map(({ id, pid, status, bundle, namespace }) => [
          id,
          String(pid),
          status,
          bundle,
          '-',
          '-',
          namespace,
        ]),
      ]),
    }
  },
}

const isId = (name: string): boolean => {
  try {
    return checkId(name) === name
  } catch {
    return false
  }
}
