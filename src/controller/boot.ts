/**
 * Entry of the controller's process: runs its program (main.ts, bundled) from what V8 has compiled of it when it was built, for a controller that
 * has to boot does so while somebody waits. What does not fit (another V8, other flags) V8 finds out itself: it is then compiled as usual.
 */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Script } from 'node:vm'

/** The program's file without its ending; named by its content, so that what was compiled of another is none of its. */
declare const PROGRAM: string

type Program = (load: NodeJS.Require, dirname: string) => void

const filename = join(import.meta.dirname, `${PROGRAM}.js`)
const compiled = readFileSync(join(import.meta.dirname, `${PROGRAM}.compiled`))
const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData: compiled })
if (script.cachedDataRejected)
  process.stderr.write(
    `berth controller: ${PROGRAM}.compiled is of another V8, or of other flags: the start takes longer\n`,
  )
;(script.runInThisContext() as Program)(require, import.meta.dirname)
