/** hooks → hook operations, each with the container's state on its standard input. */

import type { Hook, Hooks, Spec } from '../spec/types.ts'
import type { Op, Template } from './ops.ts'
import { DEFAULT_PATH } from './path.ts'

export type HookKind = keyof Hooks
/** A container's status as the specification has it. */
export type ContainerStatus = 'creating' | 'created' | 'running' | 'stopped'

const STATUS: Readonly<Record<HookKind, ContainerStatus>> = {
  // Written for what version 1.0 called created, and asked for by the public validation suite; crun says so too, runc "creating".
  prestart: 'created',
  createRuntime: 'creating',
  createContainer: 'creating',
  startContainer: 'created',
  poststart: 'running',
  poststop: 'stopped',
}

/** Every kind, in the order in which they run. */
export const HOOK_KINDS = Object.keys(STATUS) as readonly HookKind[]

/** As Go's encoding/json writes strings: readers may compare what they get with what they know from other runtimes (trap 13). */
export const goString = (text: string): string =>
  JSON.stringify(text).replace(
    /[<>&\u2028\u2029\u007f]|\\[bf]/g,
    (match) => `\\u${(match === '\\b' ? 8 : match === '\\f' ? 12 : match.charCodeAt(0)).toString(16).padStart(4, '0')}`,
  )

/**
 * The state (runtime.md, "State"): compact, keys in the order of the specification, a stopped container without a pid. Where `pid` is not
 * known yet it is that of the process last cloned.
 */
export const stateTemplate = (
  spec: Spec,
  id: string,
  bundle: string,
  status: ContainerStatus,
  pid?: number,
): Template => {
  const head = `{"ociVersion":${goString(spec.ociVersion)},"id":${goString(id)},"status":"${status}"`
  const annotations = Object.entries(spec.annotations ?? {})
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map(([key, value]) => `${goString(key)}:${goString(value)}`)
  const tail = `,"bundle":${goString(bundle)}${annotations.length > 0 ? `,"annotations":{${annotations.join(',')}}` : ''}}`
  return status === 'stopped'
    ? [head + tail]
    : [`${head},"pid":`, pid === undefined ? { hole: 'pid' } : String(pid), tail]
}

/** Kinds that start in the bundle, as with crun (and runc, but for poststop); the others are in the container by then. */
const IN_BUNDLE: ReadonlySet<HookKind> = new Set(['prestart', 'createRuntime', 'poststart', 'poststop'])

/** The hooks of one kind, in order. Without an environment of its own a hook has a PATH: with other runtimes it would have theirs. */
export const planHooks = (spec: Spec, kind: HookKind, id: string, bundle: string, opFlags = 0): Op[] =>
  (spec.hooks?.[kind] ?? []).map((hook: Hook, index) => ({
    op: 'hook',
    path: hook.path,
    args: hook.args && hook.args.length > 0 ? hook.args : [hook.path],
    env: hook.env?.length ? hook.env : [`PATH=${DEFAULT_PATH}`],
    cwd: IN_BUNDLE.has(kind) ? bundle : '',
    input: stateTemplate(spec, id, bundle, STATUS[kind]),
    timeoutMs: (hook.timeout ?? 0) * 1000,
    opFlags,
    pointer: `/hooks/${kind}/${index}`,
  }))
