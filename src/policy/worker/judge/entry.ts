/** The program. */

import { FIRST, startWorker } from '../start.ts'
import { parseConfig } from './config.ts'
import { serveJudges } from './main.ts'

void startWorker(async (text) => {
  await serveJudges(parseConfig(text, FIRST), () => process.exit(0))
  return ''
})
