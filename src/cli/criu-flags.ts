/** Flags of `checkpoint` and `restore`: runc's. */

import { posix } from 'node:path'
import { type CriuOptions, checkCgroupsMode, checkEmptyNamespaces } from '../criu/options.ts'
import { BerthError } from '../errors.ts'
import type { Context, Flags } from './verb.ts'

/** Where images are, as with runc. */
const IMAGES = 'checkpoint'

export const CRIU_FLAGS: Flags = {
  'image-path': { type: 'string', describe: `directory of the images (default: ${IMAGES}, in the working directory)` },
  'work-path': {
    type: 'string',
    describe: "directory of CRIU's log and what it works with (default: the container's own)",
  },
  'tcp-established': { type: 'boolean', describe: 'with established TCP connections' },
  'tcp-skip-in-flight': { type: 'boolean', describe: 'leave out TCP connections that are being made' },
  'ext-unix-sk': { type: 'boolean', describe: 'with UNIX sockets whose other end is outside' },
  'shell-job': { type: 'boolean', describe: 'with a session or group of processes that began outside' },
  'file-locks': { type: 'boolean', describe: 'with locks on files' },
  'link-remap': { type: 'boolean', describe: 'with open files that have been unlinked but have other names' },
  'auto-dedup': { type: 'boolean', describe: 'no memory twice in the images of a chain' },
  'manage-cgroups-mode': { type: 'string', describe: 'soft (default), full, strict or ignore' },
  'empty-ns': { type: 'list', describe: 'leave the content of this namespace out: network' },
  'lazy-pages': { type: 'boolean', describe: 'not supported' },
}

const LATER = ['lazy-pages', 'page-server', 'status-fd'] as const

export const criuOptions = (context: Context): CriuOptions => {
  for (const name of LATER)
    if (context.flag(name) || context.text(name) !== undefined)
      throw new BerthError('unsupported', `--${name}: memory is not sent from one host to another: copy the images`)
  const mode = context.text('manage-cgroups-mode')
  return {
    tcpEstablished: context.flag('tcp-established'),
    tcpSkipInFlight: context.flag('tcp-skip-in-flight'),
    extUnixSk: context.flag('ext-unix-sk'),
    shellJob: context.flag('shell-job'),
    fileLocks: context.flag('file-locks'),
    linkRemap: context.flag('link-remap'),
    autoDedup: context.flag('auto-dedup'),
    emptyNamespaces: checkEmptyNamespaces(context.list('empty-ns'), '--empty-ns'),
    ...(mode === undefined ? {} : { cgroupsMode: checkCgroupsMode(mode, '--manage-cgroups-mode') }),
  }
}

export const imagePath = (context: Context): string =>
  context.path('image-path') ?? posix.join(context.request.cwd, IMAGES)

/** Kept with the container unless another place is named. */
export const workPath = (context: Context, containerDir: string): string =>
  context.path('work-path') ?? posix.join(containerDir, 'criu.work')
