/** The program: descriptor 3 has its configuration, 4 is where it says that it is ready, those that it was given follow. */

import { closeSync, readFileSync, writeSync } from 'node:fs'
import { parseConfig } from './config.ts'
import { serveHttp } from './main.ts'

const CONFIG = 3
const READY = 4
const FIRST = 5

const say = (text: string): void => {
  writeSync(READY, text)
  closeSync(READY)
}

const text = readFileSync(CONFIG, 'utf8')
closeSync(CONFIG)
try {
  await serveHttp(parseConfig(text, FIRST), () => process.exit(0))
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exit(1)
}
say('r')
