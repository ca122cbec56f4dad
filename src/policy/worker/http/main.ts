/** The proxy as a worker: what was handed over becomes its parts, and connections come by a channel. */

import * as childProcess from 'node:child_process'
import { closeSync, writeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { lookUpBy } from '../resolver.ts'
import { take } from '../start.ts'
import { Authority } from './authority.ts'
import type { HttpConfig } from './config.ts'
import { Counters } from './counters.ts'
import { Credentials } from './credentials.ts'
import { nameService } from './names.ts'
import { type Destination, HttpProxy } from './proxy.ts'

const authorityOf = async ({ intercept, authority }: HttpConfig): Promise<Authority | undefined> => {
  if (intercept === '') return undefined
  if (authority === undefined) return await Authority.open(undefined)
  return await Authority.open({ certificate: take(authority.certificate), key: take(authority.key) })
}

interface Channels {
  /** How Node takes descriptors: the channel of a child, which processes that are not Node may be at the other end of. */
  readonly _forkChild: (fd: number, serialization: 'json') => void
}

const isDestination = (value: unknown): value is Destination =>
  typeof value === 'object' && value !== null && 'address' in value && 'port' in value

/** Resolves once connections can come. */
export const serveHttp = async (config: HttpConfig, lost: () => void): Promise<void> => {
  const authority = await authorityOf(config)
  if (config.publish !== undefined) {
    if (authority) writeSync(config.publish, authority.certificate)
    closeSync(config.publish)
  }
  const counters = new Counters(config.counters)
  const proxy = new HttpProxy({
    config,
    names: nameService(lookUpBy(take(config.hosts), take(config.resolvConf))),
    roots: take(config.roots),
    credentials: new Credentials(config.credentials),
    authority,
    refused: (counter) => counters.add(counter),
  })
  // Before the listeners, so that these keep it open.
  const { _forkChild: openChannel } = childProcess as unknown as Channels
  openChannel(config.channel, 'json')
  process.on('message', (destination: unknown, handle: unknown) => {
    const socket = handle as Socket | undefined
    if (socket === undefined) return
    if (isDestination(destination)) proxy.accept(socket, destination)
    else socket.destroy()
  })
  process.on('disconnect', lost)
}
