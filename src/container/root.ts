/** The directory of the containers where `--root` does not say it. */

import { posix } from 'node:path'
import type { CommandRequest, RunStep } from '../controller/types.ts'

const SYSTEM_ROOT = '/run/berth'

/**
 * /run/berth for root, $XDG_RUNTIME_DIR/berth for others. Uid 0 inside a user namespace cannot write /run, though it is "root": as
 * runc does, it counts as another user where USER says so (trap 14).
 */
export const defaultRoot = async (request: CommandRequest, step: RunStep): Promise<string> => {
  const runtimeDir = request.env.XDG_RUNTIME_DIR
  if (runtimeDir === undefined || !posix.isAbsolute(runtimeDir)) return SYSTEM_ROOT
  if (request.uid !== 0) return posix.join(runtimeDir, 'berth')
  const user = request.env.USER ?? ''
  if (user === '' || user === 'root') return SYSTEM_ROOT
  const results = await step('user namespace', [{ op: 'read', path: '/proc/self/uid_map', max: 65536, flags: 0 }])
  const whole = /^\s*0\s+0\s+4294967295\s*$/.test(results.text(0) ?? '')
  return whole ? SYSTEM_ROOT : posix.join(runtimeDir, 'berth')
}
