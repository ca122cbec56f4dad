/**
 * Entry of the controller: `controller.js --listen-fd N | --serve-fd N [--idle SECONDS]`. Started by a launcher or monitor, confined,
 * with its socket as descriptor N. This is the composition root: the one place that knows both src and shim.
 */

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { ControllerServer } from './server.ts'

const log = (line: string): void => {
  process.stderr.write(`berth controller ${process.pid}: ${line}\n`)
}

const usage = (): never => {
  log('usage: controller.js --listen-fd N | --serve-fd N [--idle SECONDS]')
  process.exit(2)
}

const number = (text: string | undefined): number | undefined => {
  if (text === undefined) return undefined
  return /^\d{1,9}$/.test(text) ? Number(text) : usage()
}

const { values } = parseArgs({
  options: { 'listen-fd': { type: 'string' }, 'serve-fd': { type: 'string' }, idle: { type: 'string' } },
})
const listenFd = number(values['listen-fd'])
const serveFd = number(values['serve-fd'])
if ((listenFd === undefined) === (serveFd === undefined)) usage()

// Read once, at start: it lies beside this file, in the directory this build was installed to.
const build = readFileSync(new URL('build-id', import.meta.url), 'utf8').trim()

const server = new ControllerServer({
  services: {
    build,
    commands: async () => (await import('../cli/main.ts')).runCommand,
    shims: async () => (await import('../../shim/main.ts')).createShim,
    fronts: async () => (await import('../../shim/grpc/front.ts')).serveGrpc,
    log,
  },
  idleMs: (number(values.idle) ?? 300) * 1000,
  onLeft: () => process.exit(0),
})

process.on('unhandledRejection', (reason) => {
  log(`unhandled rejection: ${reason instanceof Error ? reason.stack : String(reason)}`)
})
process.on('uncaughtException', (error) => {
  // What was interrupted is unknown. Agents replay what is unanswered to the next controller.
  log(`uncaught exception: ${error.stack ?? error.message}`)
  process.exit(1)
})
process.on('SIGTERM', () => server.leave('asked to'))

if (listenFd !== undefined) server.listen(listenFd)
else if (serveFd !== undefined) server.serve(serveFd)
