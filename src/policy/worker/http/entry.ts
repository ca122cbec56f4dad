/** The proxy as a program. */

import { FIRST, startWorker } from '../start.ts'
import { parseConfig } from './config.ts'
import { serveHttp } from './main.ts'

void startWorker(async (config) => {
  await serveHttp(parseConfig(config, FIRST), () => process.exit(0))
  return ''
})
