/** `berth controller`: a controller that stays; what the one that runs has to say; and its end. native/launcher/command.c answers where none runs. */

import type { ControllerStatus } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import type { Verb } from './verb.ts'

export const verb: Verb = {
  usage: '[status|stop]',
  flags: { json: { type: 'boolean', describe: 'status for programs' } },
  args: [0, 1],
  run: async (context) => {
    const { controller } = context.request
    if (controller === undefined) throw new BerthError('internal', 'no controller serves this')
    switch (context.args[0]) {
      case undefined:
        await controller.hold()
        return {}
      case 'status': {
        const status = controller.status()
        return { stdout: context.flag('json') ? `${JSON.stringify(status, null, 2)}\n` : render(status) }
      }
      case 'stop':
        controller.stop()
        return {}
      default:
        throw new BerthError('usage', `unknown word ${JSON.stringify(context.first)}: expected status or stop`)
    }
  },
}

const mib = (bytes: number): string => `${Math.round(bytes / (1 << 20))} MiB`

const render = (status: ControllerStatus): string => {
  const { pid, build, uptimeMs, sessions, holds, requests, memory, memoryBound, idleMs } = status
  const rows = [
    ['pid', pid],
    ['build', build],
    ['up', duration(uptimeMs)],
    ['connections', sessions],
    ['requests', requests],
    ['memory', `${mib(memory)}, at most ${mib(memoryBound)}`],
    ['leaves', holds > 0 ? 'when it is stopped' : `after ${idleMs / 1000} s in which nobody asks`],
  ]
  return rows.map(([name, value]) => `${`${name}:`.padEnd(13)}${value}\n`).join('')
}

const duration = (ms: number): string => {
  const seconds = Math.floor(ms / 1000)
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  return [
    ...(hours > 0 ? [`${hours} h`] : []),
    ...(hours + minutes > 0 ? [`${minutes} min`] : []),
    `${seconds % 60} s`,
  ].join(' ')
}
