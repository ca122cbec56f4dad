/** How a worker starts: descriptor 3 has its configuration, 4 is where it says that it is ready, those that it was given follow. */

import { closeSync, readFileSync, writeSync } from 'node:fs'

const CONFIG = 3
const READY = 4
/** The first of those that it was given. */
export const FIRST = 5

/** Reads it whole, and closes it: nothing of it is to be had from here again. */
export const take = (fd: number): string => {
  const text = readFileSync(fd, 'utf8')
  closeSync(fd)
  return text
}

const say = (text: string): void => {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; ) at += writeSync(READY, bytes, at)
  closeSync(READY)
}

/** `r`, and behind it the worker's answer to who waits for one; anything else is why it can't go on. */
export const startWorker = async (serve: (config: string) => Promise<string>): Promise<void> => {
  // The log takes no more than the process may write (native/launcher/confine.c), and nobody has to end for that.
  process.stderr.on('error', () => {})
  try {
    say(`r${await serve(take(CONFIG))}`)
  } catch (error) {
    say(error instanceof Error ? error.message : String(error))
    process.exit(1)
  }
}
