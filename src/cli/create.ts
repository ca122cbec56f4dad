/** `berth create` */

import type { Announcement } from '../container/announce.ts'
import { type CreateOptions, createContainer } from '../container/create.ts'
import type { CreateFlags } from '../container/state.ts'
import type { Context, Flags, Verb } from './verb.ts'

/** Flags of `exec` too. */
export const ANNOUNCE_FLAGS: Flags = {
  'pid-file': { type: 'string', describe: 'file to write the pid of the process to' },
  'pidfd-socket': { type: 'string', describe: 'UNIX socket that is sent a pidfd of the process' },
}

/** Flags that `create` and `run` share. */
export const CREATE_FLAGS: Flags = {
  bundle: { type: 'string', alias: 'b', describe: 'directory of the bundle (default: the working directory)' },
  'console-socket': { type: 'string', describe: 'UNIX socket that is sent the master of the terminal' },
  ...ANNOUNCE_FLAGS,
  'no-pivot': { type: 'boolean', describe: 'change the root without pivot_root (a root on a ramdisk)' },
  'no-new-keyring': { type: 'boolean', describe: "keep the caller's session keyring" },
  'preserve-fds': { type: 'string', describe: 'pass this many more descriptors to the process' },
}

export const announcement = (context: Context): Announcement => ({
  pidFile: context.path('pid-file'),
  pidfdSocket: context.path('pidfd-socket'),
})

/** The part of a container's making that its later plans depend on. */
export const createFlags = (context: Context): CreateFlags => ({
  noPivot: context.flag('no-pivot'),
  noNewKeyring: context.flag('no-new-keyring'),
  systemdCgroup: context.globals.systemdCgroup,
  preserveFds: context.number('preserve-fds', 0) + context.request.listenFds,
})

type CreateWish = Partial<Pick<CreateOptions, 'id' | 'policy' | 'command' | 'watch' | 'timed' | 'silent'>>

/** `create`, and the first half of `run`. */
export const create = (context: Context, detach: boolean, of: CreateWish = {}) =>
  createContainer(context.request, context.step, {
    root: context.globals.root,
    id: of.id ?? context.first,
    bundle: context.path('bundle') ?? context.request.cwd,
    announcement: announcement(context),
    consoleSocket: context.path('console-socket'),
    detach,
    flags: createFlags(context),
    nodeConfig: context.globals.nodeConfig,
    ...of,
  })

export const verb: Verb = {
  usage: 'ID',
  flags: {
    ...CREATE_FLAGS,
    timing: { type: 'boolean', describe: 'print to stderr how many microseconds each phase took' },
    trace: { type: 'string', describe: 'file to write the same to, operation by operation, for trace viewers' },
  },
  args: [1, 1],
  run: async (context) => {
    const timed = context.flag('timing') || context.given('trace')
    const silent = (warnings: readonly string[]) =>
      !timed && [...warnings, ...context.notes, ...context.warnings].length === 0
    const { warnings, gaps, traces } = await create(context, true, { timed, silent })
    context.notes.push(...warnings)
    context.warnings.push(...gaps)
    return traces === undefined ? {} : (await import('./timing.ts')).timingReport(context, traces)
  },
}
