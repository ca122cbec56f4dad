/** `berth exec` */

import { announcePid, announcePidfd } from '../container/announce.ts'
import { execInContainer, execProcess, subCgroups } from '../container/exec.ts'
import { readOp } from '../container/inspect.ts'
import { needCompiled } from '../container/recompile.ts'
import { afterTerminal } from '../container/terminal.ts'
import { awaitProcess } from '../container/wait.ts'
import { BerthError } from '../errors.ts'
import { checkId } from '../spec/id.ts'
import { loadProcess } from '../spec/load.ts'
import type { Process, Spec } from '../spec/types.ts'
import { parseUser } from '../spec/user.ts'
import { ANNOUNCE_FLAGS, announcement } from './create.ts'
import type { Context, Verb } from './verb.ts'

const MAX_PROCESS = 16 << 20

export const verb: Verb = {
  usage: 'ID COMMAND [ARGUMENT...] (or --process FILE ID)',
  flags: {
    'console-socket': { type: 'string', describe: 'UNIX socket that is sent the master of the terminal' },
    cwd: { type: 'string', describe: 'working directory in the container' },
    env: { type: 'list', alias: 'e', describe: 'NAME=VALUE, on top of the container’s environment' },
    tty: { type: 'boolean', alias: 't', describe: 'give the process a terminal' },
    user: { type: 'string', alias: 'u', describe: 'UID[:GID]' },
    'additional-gids': { type: 'list', alias: 'g', describe: 'further group' },
    process: { type: 'string', alias: 'p', describe: 'file with the process as JSON' },
    detach: { type: 'boolean', alias: 'd', describe: 'do not wait for the process' },
    ...ANNOUNCE_FLAGS,
    'process-label': { type: 'string', describe: 'SELinux label' },
    apparmor: { type: 'string', describe: 'AppArmor profile' },
    'no-new-privs': { type: 'boolean', describe: 'set no_new_privs' },
    cap: { type: 'list', alias: 'c', describe: 'further capability' },
    'preserve-fds': { type: 'string', describe: 'pass this many more descriptors to the process' },
    cgroup: { type: 'list', describe: '[CONTROLLER:]PATH below the container’s cgroup' },
    'no-subreaper': { type: 'boolean', describe: 'accepted for compatibility' },
    'ignore-paused': { type: 'boolean', describe: 'also in a paused container' },
  },
  args: [1, Number.POSITIVE_INFINITY],
  stopAtFirst: true,
  // Told from the exit code of a command, as far as that can be: what runc gives.
  failure: 255,
  run: async (context) => {
    const { step, globals, request } = context
    const { id, paths, state, status, recompiled } = await needCompiled(step, globals.root, checkId(context.first))
    if (status === 'stopped') throw new BerthError('state', `cannot exec in a stopped container: "${id}"`)
    if (status === 'paused' && !context.flag('ignore-paused'))
      throw new BerthError('state', `cannot exec in a paused container (use --ignore-paused to override): "${id}"`)
    const { spec, facts } = recompiled()
    const wanted = await wantedProcess(context, spec)
    const { terminal = false } = wanted
    const process = terminal && request.rows > 0 && request.cols > 0 ? sized(wanted, request) : wanted
    const detach = context.flag('detach')
    const announced = announcement(context)
    const told = announced.pidfdSocket !== undefined
    const started = await execInContainer(step, {
      state,
      stateDir: paths.dir,
      spec,
      facts,
      process,
      cgroupPaths: subCgroups(state.cgroupPaths, context.list('cgroup'), facts),
      preserveFds: context.number('preserve-fds', 0) + request.listenFds,
      afterTerminal: afterTerminal({ terminal, detach, consoleSocket: context.path('console-socket') }),
      announce: announcePid(announced),
      wait: !detach && !terminal && !told,
    })
    if (told) await step('announce', announcePidfd(announced, 'setns', started.process))
    return detach ? {} : { exitCode: started.exitCode ?? (await awaitProcess(step, started.process, terminal)) }
  },
}

const sized = (process: Process, { rows, cols }: { rows: number; cols: number }): Process =>
  process.consoleSize === undefined ? { ...process, consoleSize: { height: rows, width: cols } } : process

/** The process of --process FILE, or the container's own as changed by the flags. */
const wantedProcess = async (context: Context, spec: Spec): Promise<Process> => {
  const { step, args } = context
  const file = context.path('process')
  if (file !== undefined) {
    const bytes = (await step('process', [readOp(file, MAX_PROCESS)])).bytes(0)
    if (bytes === undefined) throw new BerthError('not-found', `--process: "${file}" does not exist`, { subject: file })
    const { process, warnings } = loadProcess(bytes, file)
    context.notes.push(...warnings)
    return process
  }
  if (args.length < 2) throw new BerthError('usage', 'no command is given: expected ID COMMAND, or --process FILE ID')
  const cwd = context.text('cwd')
  if (cwd !== undefined && !cwd.startsWith('/'))
    throw new BerthError('invalid', `--cwd ${JSON.stringify(cwd)}: expected an absolute path`)
  const user = context.text('user')
  return execProcess(spec, {
    args: args.slice(1),
    tty: context.flag('tty'),
    cwd,
    env: context.list('env'),
    user: user === undefined ? undefined : parseUser(user),
    additionalGids: context.numbers('additional-gids'),
    caps: context.list('cap'),
    noNewPrivs: context.flag('no-new-privs'),
    apparmor: context.text('apparmor'),
    processLabel: context.text('process-label'),
  })
}
