/** The program: answers once with what names stand for, or looks them up again and again. */

import { ftruncateSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { lookUpBy } from '../resolver.ts'
import { FIRST, startWorker, take } from '../start.ts'
import type { NamesConfig, Refresh } from './config.ts'
import { lookAll } from './look.ts'
import { changes, renewed } from './refresh.ts'

const keepUp = (
  { seconds, allow, addresses, channel, shown }: Refresh,
  look: () => ReturnType<typeof lookAll>,
): void => {
  const socket = new Socket({ fd: FIRST + channel })
  // Who changes the tries ends with the container.
  socket.on('error', () => {}).on('close', () => process.exit(0))
  socket.resume()
  let now = addresses
  const show = (): void => {
    const text = Buffer.from(JSON.stringify(now))
    // Whoever reads it half way sees no JSON, and goes by what create had.
    ftruncateSync(FIRST + shown)
    writeSync(FIRST + shown, text, 0, text.length, 0)
  }
  const again = async (): Promise<void> => {
    try {
      const next = renewed(now, await look())
      const records = changes(allow, now, next)
      if (records.length > 0) socket.write(Buffer.concat(records))
      now = next
      show()
    } catch (error) {
      // More addresses than a policy may have, say: those of before stay.
      console.error(error instanceof Error ? error.message : error)
    }
    setTimeout(again, seconds * 1000)
  }
  setTimeout(again, seconds * 1000)
}

void startWorker(async (text) => {
  const config = JSON.parse(text) as NamesConfig
  const lookUp = lookUpBy(take(FIRST + config.hosts), take(FIRST + config.resolvConf))
  const look = () => lookAll(config.names, lookUp)
  if (config.refresh === undefined) return JSON.stringify(await look())
  keepUp(config.refresh, look)
  return ''
})
