/** The command line: `berth [flags] VERB [flags] [arguments]`. */

import packageJson from '../../package.json' with { type: 'json' }
import type { CommandAnswer, CommandRequest, RunCommand, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { NODE_CONFIG } from '../policy/source.ts'
import { OCI_VERSION } from '../spec/default.ts'
import { exitCodeOf } from './exit.ts'
import { type Log, type LogEntry, writeLog } from './log.ts'
import { type Parsed, parseArgs } from './parse.ts'
import { Context, type Flags, type Verb } from './verb.ts'

export const GLOBAL_FLAGS: Flags = {
  debug: { type: 'boolean', describe: 'also say what of the configuration has no effect' },
  log: { type: 'string', describe: 'append errors to this file' },
  'log-format': { type: 'string', describe: 'text (default) or json' },
  root: { type: 'string', describe: 'directory of the containers (default: /run/berth, or $XDG_RUNTIME_DIR/berth)' },
  config: { type: 'string', describe: `the node's own file (default: ${NODE_CONFIG})` },
  criu: { type: 'string', describe: "path of CRIU (default: what the node's own file names, or where it usually is)" },
  'systemd-cgroup': { type: 'boolean', describe: 'cgroupsPath is of the form slice:prefix:name' },
  rootless: { type: 'string', describe: 'accepted for compatibility: true, false or auto' },
  'no-controller': { type: 'boolean', describe: 'use a controller of this command alone' },
  version: { type: 'boolean', alias: 'v', describe: 'print the version' },
}

interface VerbEntry {
  readonly describe: string
  readonly load: () => Promise<{ readonly verb: Verb }>
}

export const VERBS: Readonly<Record<string, VerbEntry>> = {
  create: { describe: 'create a container: everything but its start', load: () => import('./create.ts') },
  start: { describe: 'start a created container', load: () => import('./start.ts') },
  state: { describe: 'print the state of a container', load: () => import('./state.ts') },
  kill: { describe: 'send a signal to a container', load: () => import('./kill.ts') },
  delete: { describe: 'remove a container', load: () => import('./delete.ts') },
  run: { describe: 'create and start a container, and wait for it', load: () => import('./run.ts') },
  commit: {
    describe: 'apply to the host what a command that was kept has changed',
    load: () => import('./commit.ts'),
  },
  update: { describe: 'change the limits of a container', load: () => import('./update.ts') },
  pause: { describe: 'freeze the processes of a container', load: () => import('./pause.ts') },
  resume: { describe: 'let the processes of a paused container run again', load: () => import('./resume.ts') },
  list: { describe: 'list containers', load: () => import('./list.ts') },
  events: {
    describe: 'print OOM kills and figures of a container, or its figures once',
    load: () => import('./events.ts'),
  },
  ps: { describe: 'show the processes of a container', load: () => import('./ps.ts') },
  checkpoint: { describe: 'write the processes of a container down', load: () => import('./checkpoint.ts') },
  restore: { describe: 'let a container go on from a checkpoint', load: () => import('./restore.ts') },
  exec: { describe: 'run a further process in a container', load: () => import('./exec.ts') },
  spec: { describe: 'write a config.json to start from', load: () => import('./spec.ts') },
  features: { describe: 'print what this runtime supports', load: () => import('./features.ts') },
  doctor: { describe: 'tell what this host can enforce', load: () => import('./doctor.ts') },
  policy: { describe: 'tell what a policy comes to on this host', load: () => import('./policy.ts') },
  inspect: {
    describe: 'show the policies of a container, and what they have refused',
    load: () => import('./inspect.ts'),
  },
  learn: { describe: 'run something, and write the policy that lets it pass', load: () => import('./learn.ts') },
  controller: {
    describe: 'hold a controller (as a service), say how the one that runs is, or stop it',
    load: () => import('./controller.ts'),
  },
  plan: { describe: 'show what create would do', load: () => import('./plan.ts') },
}

export const runCommand: RunCommand = async (request, step) => {
  const reporter = new Reporter(step)
  try {
    return await dispatch(request, step, reporter)
  } catch (error) {
    return reporter.answer(error)
  }
}

const dispatch = async (
  request: CommandRequest,
  step: RunStep<CommandAnswer>,
  reporter: Reporter,
): Promise<CommandAnswer> => {
  const global = await parseArgs(request.argv, {
    usage: 'berth [flags] COMMAND [flags] [arguments]',
    flags: GLOBAL_FLAGS,
    stopAtFirst: true,
    commands: Object.fromEntries(Object.entries(VERBS).map(([name, { describe }]) => [name, describe])),
  })
  // Before anything can go wrong: where to say that it did.
  const globals = new Context(
    request,
    step,
    { root: '', systemdCgroup: false, nodeConfig: '', criu: undefined },
    [],
    global.values,
  )
  const json = globals.choice('log-format', ['text', 'json'], 'text') === 'json'
  const path = globals.path('log')
  if (path !== undefined) reporter.log = { path, json }

  if (globals.flag('version')) return printed(`berth version ${packageJson.version}\nspec: ${OCI_VERSION}\n`)
  const [name, ...rest] = global.args
  if (global.help !== undefined) return printed(global.help)
  if (name === undefined) throw new BerthError('usage', 'no command is given (see berth --help)')
  const entry = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined
  if (entry === undefined) throw new BerthError('usage', `unknown command ${JSON.stringify(name)} (see berth --help)`)
  reporter.verb = name

  const { verb } = await entry.load()
  const { flags, stopAtFirst = false } = verb
  reporter.failure = verb.failure
  const end = verb.command ? rest.indexOf('--') : -1
  const own = end < 0 ? rest : rest.slice(0, end)
  const parsed = await parseArgs(own, { usage: `berth ${name} [flags] ${verb.usage}`.trimEnd(), flags, stopAtFirst })
  if (parsed.help !== undefined) return printed(parsed.help)
  const command = end < 0 ? undefined : rest.slice(end + 1)
  if (command === undefined) checkCount(verb, parsed)
  const root = globals.path('root') ?? request.runDir
  const context = new Context(
    request,
    step,
    {
      root,
      systemdCgroup: globals.flag('systemd-cgroup'),
      nodeConfig: globals.path('config') ?? NODE_CONFIG,
      criu: criuPath(globals),
    },
    parsed.args,
    parsed.values,
    command,
  )
  const { exitCode = 0, stdout = '', stderr = '', again = false } = await verb.run(context)
  // An engine may give the container's own output as stderr: what is only worth knowing stays out of it.
  const notes = path !== undefined || globals.flag('debug') ? context.notes : []
  return { exitCode, stdout, again, stderr: `${stderr}${await reporter.warn([...notes, ...context.warnings])}` }
}

/** Engines give runc's default, a bare name, which is nothing to find a program by. */
const criuPath = (globals: Context): string | undefined =>
  globals.text('criu')?.includes('/') ? globals.path('criu') : undefined

const printed = (stdout: string): CommandAnswer => ({ exitCode: 0, stdout, stderr: '' })

const checkCount = ({ args: [least, most], usage }: Verb, { args }: Parsed): void => {
  if (args.length < least) throw new BerthError('usage', `an argument is missing: expected ${usage}`)
  if (args.length > most)
    throw new BerthError('usage', `unexpected argument ${JSON.stringify(args[most])}: expected ${usage || 'none'}`)
}

/** Says what went wrong: on stderr, and in the log where there is one. */
class Reporter {
  readonly #step: RunStep
  verb: string | undefined
  log: Log | undefined
  /** The verb's own exit code for a failure. */
  failure: number | undefined

  constructor(step: RunStep) {
    this.#step = step
  }

  async answer(error: unknown): Promise<CommandAnswer> {
    const known = error instanceof BerthError
    const reason = known
      ? withPointer(error)
      : `internal error: ${error instanceof Error ? error.stack : String(error)}`
    const message = this.#prefixed(reason)
    const trouble = await this.#record([{ level: 'error', message }])
    const kind = known ? error.kind : 'internal'
    return {
      exitCode: kind === 'usage' ? exitCodeOf(kind) : (this.failure ?? exitCodeOf(kind)),
      stdout: '',
      stderr: `berth: ${oneLine(message)}\n${trouble}`,
    }
  }

  /** Warnings go to the log where there is one. */
  async warn(warnings: readonly string[]): Promise<string> {
    if (warnings.length === 0) return ''
    const messages = warnings.map((warning) => this.#prefixed(warning))
    if (this.log !== undefined) return this.#record(messages.map((message) => ({ level: 'warning', message })))
    return messages.map((message) => `berth: warning: ${oneLine(message)}\n`).join('')
  }

  #prefixed(message: string): string {
    const { verb } = this
    // `berth policy check` and what it is about have one name.
    return verb === undefined || message.startsWith(`${verb}: `) ? message : `${verb}: ${message}`
  }

  async #record(entries: readonly LogEntry[]): Promise<string> {
    if (this.log === undefined) return ''
    try {
      await writeLog(this.#step, this.log, entries)
      return ''
    } catch (error) {
      return `berth: --log: ${error instanceof Error ? oneLine(error.message) : String(error)}\n`
    }
  }
}

/** `mounts[3].destination: …`, where the message does not name the place by itself. */
const withPointer = ({ message, pointer }: BerthError): string => {
  if (pointer === undefined || pointer === '' || message.includes(pointer)) return message
  const place = pointer
    .slice(1)
    .split('/')
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((name, index) => (/^\d+$/.test(name) ? `[${name}]` : index === 0 ? name : `.${name}`))
    .join('')
  return message.includes(place) ? message : `${place}: ${message}`
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ')
