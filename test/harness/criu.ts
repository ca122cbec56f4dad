/** CRIU for tests: the host's where it is new enough, else Debian's newest, unpacked into a directory of its own. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { notHere } from './bundle.ts'
import { root } from './host.ts'

/** Older ones fail on kernels of today. */
const LEAST = 4
const PLACES = ['/usr/sbin/criu', '/usr/local/sbin/criu', '/usr/bin/criu']
const unpacked = process.env.BERTH_CRIU ?? '/var/tmp/berth-criu'

const isNew = (path: string): boolean => {
  const { stdout = '' } = spawnSync(path, ['--version'], { encoding: 'utf8' })
  return Number(/^Version: (\d+)/m.exec(stdout ?? '')?.[1] ?? 0) >= LEAST
}

const find = (): string | undefined => {
  const host = PLACES.find((path) => existsSync(path) && isNew(path))
  if (host !== undefined || !existsSync('/usr/bin/apt-get') || process.getuid?.() !== 0) return host
  const path = join(unpacked, 'pkg/usr/sbin/criu')
  if (!existsSync(path))
    try {
      execFileSync(join(root, 'test/containerd/matrix'), ['newest', 'criu', unpacked], { stdio: 'ignore' })
    } catch {
      return undefined
    }
  return isNew(path) ? path : undefined
}

export const criu = notHere === false ? find() : undefined

/** What CRIU itself finds missing in this kernel. */
const lacking = (path: string): string | false => {
  const { status, stdout, stderr } = spawnSync(path, ['check'], { encoding: 'utf8' })
  return status === 0 ? false : `CRIU can't work here: ${`${stdout}${stderr}`.trim().split('\n').at(-1)}`
}

/** Why tests of checkpoints can't run here, or false. */
export const noCriu: string | false =
  notHere || (criu === undefined ? `needs CRIU ${LEAST} or newer (Debian's package criu)` : lacking(criu))

/** What CRIU leaves behind where it is killed: an empty directory that it has mounted on, in a namespace that is gone. */
export const removeMountRoots = (): void => {
  for (const name of readdirSync('/tmp')) if (name.startsWith('.criu.mntns.')) rmdirSync(join('/tmp', name))
}

/**
 * A program that executes another where CRIU lies in one of the usual places, by a mount of its own: a shim is told of no other. Made in
 * `dir`.
 */
export const withCriu = (dir: string): string => {
  const path = join(dir, 'with-criu')
  const steps = ['mount -t tmpfs criu /usr/local/sbin', `ln -s ${criu} /usr/local/sbin/criu`, 'exec "$0" "$@"']
  writeFileSync(path, `#!/bin/sh\nexec unshare --mount sh -c '${steps.join(' && ')}' "$@"\n`, { mode: 0o755 })
  return path
}
