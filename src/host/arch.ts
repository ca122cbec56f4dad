/** The machine's own instruction set. */

import { BerthError } from '../errors.ts'
import type { Arch } from '../plan/process.ts'

/** The controller runs on the machine whose containers it compiles. */
export const hostArch = (): Arch => {
  if (process.arch === 'x64') return 'x86_64'
  if (process.arch === 'arm64') return 'aarch64'
  throw new BerthError('unsupported', `no support for the processor architecture "${process.arch}"`)
}
