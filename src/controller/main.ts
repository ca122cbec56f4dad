/**
 * The controller's program: `controller.js [--listen-fd N] [--serve-fd N] [--idle SECONDS]`. Started by a launcher or monitor, confined, with its
 * sockets as descriptors N: one that it listens on, and the connection of whoever started it. This is the composition root: the one place that
 * knows both src and shim.
 */

import { readFileSync } from 'node:fs'
import { ControllerServer } from './server.ts'

const FLAGS = ['--listen-fd', '--serve-fd', '--idle']

/** In its own pid namespace it is 1; who made it says what it is to the host (native/launcher/confine.c). */
const pid = Number(process.env.BERTH_PID ?? process.pid)
const log = (line: string): void => {
  process.stderr.write(`berth controller ${pid}: ${line}\n`)
}

const usage = (): never => {
  log('usage: controller.js [--listen-fd N] [--serve-fd N] [--idle SECONDS]')
  process.exit(2)
}

const values = new Map<string, number>()
for (let at = 2; at < process.argv.length; at += 2) {
  const [flag = '', value = ''] = process.argv.slice(at, at + 2)
  if (!FLAGS.includes(flag) || !/^\d{1,9}$/.test(value)) usage()
  values.set(flag, Number(value))
}
const listenFd = values.get('--listen-fd')
const serveFd = values.get('--serve-fd')
if (listenFd === undefined && serveFd === undefined) usage()

// Read once, at start: it lies beside this file, in the directory this build was installed to.
const build = readFileSync(`${import.meta.dirname}/build-id`, 'utf8').trim()

const server = new ControllerServer({
  services: {
    build,
    commands: async () => (await import('../cli/main.ts')).runCommand,
    shims: async () => (await import('../../shim/main.ts')).createShim,
    fronts: async () => (await import('../../shim/grpc/front.ts')).serveGrpc,
    log,
  },
  idleMs: (values.get('--idle') ?? 300) * 1000,
  pid,
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

void server.begin({ serveFd, listenFd })
