/** `berth learn`: a policy from a run that is watched. */

import { posix } from 'node:path'
import type { Created } from '../container/create.ts'
import { readOp } from '../container/inspect.ts'
import { startAndWait } from '../container/run.ts'
import { BerthError } from '../errors.ts'
import { hostArch } from '../host/arch.ts'
import { homeOfContainer } from '../learn/home.ts'
import { readObserved, usedNetwork } from '../learn/observed.ts'
import { learnPolicy, mergePolicies, type Peaks, policyText } from '../learn/policy.ts'
import { endObserver, observedFile, watched } from '../learn/watch.ts'
import { Namespaces } from '../plan/namespaces.ts'
import { OP_FLAGS, READ_FLAGS, WRITE_FLAGS } from '../plan/ops.ts'
import { askHost, HOST } from '../policy/asked.ts'
import { loadPolicy } from '../policy/document.ts'
import { MAX_POLICY } from '../policy/source.ts'
import { allowsNetwork } from '../policy/types.ts'
import { create } from './create.ts'
import { parseDuration } from './duration.ts'
import { commandId, commandWish, WORKDIR_FLAG } from './host-command.ts'
import type { Context, Verb } from './verb.ts'

const MAX_OBSERVED = 48 << 20
/** As of timeout(1). */
const TIMED_OUT = 124
const MAX_FIGURE = 4096

export const verb: Verb = {
  usage: '-- COMMAND [ARGUMENT...] (or --bundle DIR)',
  flags: {
    output: { type: 'string', alias: 'o', describe: 'file to write the policy to (default: standard output)' },
    merge: { type: 'boolean', describe: 'let pass what the policy in that file does, too' },
    bundle: { type: 'string', alias: 'b', describe: 'directory of a bundle' },
    timeout: { type: 'string', describe: 'end the run after this time (30s, 5m), and write what was learned by then' },
    collapse: { type: 'string', describe: 'so many paths of a directory stand for all of it' },
    'collapse-prefix': { type: 'list', describe: 'what lies below this directory stands for all of it' },
    'force-sensitive-collapse': { type: 'boolean', describe: 'that may be a home directory, or one with keys' },
    ...WORKDIR_FLAG,
  },
  args: [0, 0],
  command: true,
  run: async (context) => {
    const { step, request } = context
    const ofBundle = context.path('bundle') !== undefined
    if (ofBundle === (context.command !== undefined))
      throw new BerthError('usage', 'either -- COMMAND or --bundle is needed')
    const timeout = context.text('timeout')
    const timeoutMs = timeout === undefined ? 0 : Math.ceil(Number(parseDuration('timeout', timeout)) / 1e6)
    const output = context.path('output')
    if (context.flag('merge') && output === undefined) throw new BerthError('usage', '--merge needs --output')
    const earlier = context.flag('merge') ? await readPolicy(context, output ?? '') : undefined
    const machine = hostArch()
    const created = await create(context, false, {
      id: await commandId(context),
      ...(ofBundle ? {} : { command: { ...commandWish(context), network: 'host' } }),
      watch: (spec, paths, facts) => watched(spec, paths, facts, machine, timeoutMs),
    })
    context.notes.push(...created.warnings)
    context.warnings.push(...created.gaps)
    const home = ofBundle
      ? await homeOfContainer(step, created.spec, created.compiled.rootfs)
      : (request.env.HOME ?? '')
    const exitCode = await startAndWait(step, request, created, false)
    const { observations, peaks, host } = await gather(context, created)
    context.warnings.push(...(await created.remove()))

    const timedOut = observations.some(({ seen }) => seen === 'timeout')
    if (exitCode !== 0 && !timedOut)
      return { exitCode, stderr: `berth: learn: the run ended with ${exitCode}: no policy is written\n` }
    const { spec } = created
    const options = {
      home: home === '' ? '' : posix.resolve('/', home),
      collapse: context.number('collapse', 0),
      prefixes: context.list('collapse-prefix').map((path) => context.resolve(path)),
      force: context.flag('force-sensitive-collapse'),
    }
    const run = {
      observations,
      peaks,
      what: (spec.process?.args ?? []).join(' '),
      ownPids: new Namespaces(spec).isNew('pid'),
    }
    const { policy: learned, guarded, refused } = learnPolicy(run, host, options)
    if (timedOut) context.warnings.push('the time was over: the policy lets pass what was done by then')
    await warn(context, guarded, refused, { ...learned.files }, ofBundle)
    const policy = earlier === undefined ? learned : mergePolicies(earlier, learned)
    if (!ofBundle && usedNetwork(observations) && !allowsNetwork(policy))
      context.warnings.push("what it used of the host's network is in no list: run it with --network host")
    const text = policyText(policy)
    if (output !== undefined)
      await step('output', [
        { op: 'write', path: output, data: [text], flags: WRITE_FLAGS.create | WRITE_FLAGS.atomic, mode: 0o644 },
      ])
    return { exitCode: timedOut ? TIMED_OUT : 0, stdout: output === undefined ? text : '' }
  },
}

const readPolicy = async ({ step }: Context, path: string) => {
  const bytes = (await step('earlier', [readOp(path, MAX_POLICY)])).bytes(0)
  return bytes === undefined ? undefined : loadPolicy(bytes, path)
}

const FIGURES = ['memory.peak', 'memory.max_usage_in_bytes', 'pids.peak']

/** What was seen, the most that the cgroups had, and what the host can enforce. */
const gather = async ({ step }: Context, { paths, state }: Created) => {
  const files = state.cgroupPaths.flatMap((dir) => FIGURES.map((name) => ({ name, path: `${dir}/${name}` })))
  const results = await step('observed', [
    endObserver(paths),
    { op: 'read', path: observedFile(paths), max: MAX_OBSERVED, flags: 0 },
    ...HOST,
    ...files.map(({ path }) => readOp(path, MAX_FIGURE, OP_FLAGS.tolerate)),
  ])
  const first = 2 + HOST.length
  const figure = (kind: string): number | undefined => {
    const found = files.flatMap(({ name }, at) =>
      name.startsWith(kind) ? Number(results.text(first + at) ?? Number.NaN) : [],
    )
    const known = found.filter((value) => Number.isSafeInteger(value) && value > 0)
    return known.length === 0 ? undefined : Math.max(...known)
  }
  const { landlock, network, supervises } = askHost(results, 2)
  const peaks: Peaks = { memory: figure('memory'), processes: figure('pids') }
  return {
    observations: readObserved(results.bytes(1) ?? new Uint8Array()),
    peaks,
    host: { landlock, network: network === '' || supervises },
  }
}

const SHOWN = 10

/** What is worth a second look: directories that hold more than was used. */
const warn = async (
  context: Context,
  guarded: readonly string[],
  refused: readonly string[],
  lists: Readonly<Partial<Record<string, readonly string[]>>>,
  ofBundle: boolean,
): Promise<void> => {
  for (const path of refused)
    context.warnings.push(
      `"${path}" was used as a whole, and is in no list${path === '/' ? '' : ' (--force-sensitive-collapse)'}: the policy will not let that pass`,
    )
  if (guarded.length === 0) return
  const listed = ofBundle
    ? undefined
    : await context.step(
        'siblings',
        guarded.map((path) => ({ op: 'list', path, flags: READ_FLAGS.missingOk, opFlags: OP_FLAGS.tolerate })),
      )
  const known = new Set(Object.values(lists).flatMap((paths) => paths ?? []))
  for (const [index, path] of guarded.entries()) {
    const names = (listed?.text(index) ?? '').split('\0').filter((name) => name !== '' && !known.has(`${path}/${name}`))
    const some = names.slice(0, SHOWN).join(', ')
    const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : ''
    context.warnings.push(`"${path}" is in the policy as a whole${some === '' ? '' : `, with ${some}${more}`}`)
  }
}
