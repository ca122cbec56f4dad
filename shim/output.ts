/** Where output goes: what a client says of it, read as the reference does (its `createIO`). */

import { BerthError } from '../src/errors.ts'
import { Code, RpcError } from './ttrpc/status.ts'

/** A program that takes the output: its arguments are in the query. */
export interface Logger {
  readonly path: string
  readonly args: readonly string[]
  /** It has to say that it is ready; else it may end the descriptor for that. */
  readonly strict: boolean
}

export type Target =
  | { readonly kind: 'none' }
  | { readonly kind: 'fifo' | 'file'; readonly path: string }
  | { readonly kind: 'logger'; readonly logger: Logger }

const NONE: Target = { kind: 'none' }

/** One file or program takes both outputs, whatever `stderr` names; a program even where it names nothing. */
export const outputTargets = (stdout: string, stderr: string): { readonly stdout: Target; readonly stderr: Target } => {
  const out = targetOf(stdout)
  if (out.kind === 'logger') return { stdout: out, stderr: out }
  if (out.kind === 'file') return { stdout: out, stderr: stderr === '' ? NONE : out }
  const error = targetOf(stderr)
  if (error.kind === 'logger') throw invalid(stderr, 'a logging program takes stdout as well, which names none')
  return { stdout: out, stderr: error }
}

/** A path is a FIFO; else the scheme says what it is. */
export const targetOf = (text: string): Target => {
  if (text === '') return NONE
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/s.exec(text)
  if (match === null) return { kind: 'fifo', path: text }
  const [, scheme = '', rest = ''] = match
  switch (scheme) {
    case 'fifo':
      return { kind: 'fifo', path: rest }
    case 'file':
      return { kind: 'file', path: pathOf(text, rest) }
    case 'binary':
    case 'binary-v2':
      return {
        kind: 'logger',
        logger: { path: pathOf(text, rest), args: argsOf(text, rest), strict: scheme !== 'binary' },
      }
    default:
      throw ioFailed(`unknown STDIO scheme ${scheme}`)
  }
}

/** With the reference's words before it. */
export const ioFailed = (message: string): RpcError =>
  new RpcError(Code.unknown, `failed to create init process I/O: ${message}`)

const pathOf = (text: string, rest: string): string => {
  const path = decoded(text, /^[^?#]*/.exec(rest)?.[0] ?? '')
  if (!path.startsWith('/')) throw invalid(text, 'the path must be absolute')
  return path
}

/** Keys and values by turns, each key once, with its first value. */
const argsOf = (text: string, rest: string): string[] => {
  const query = /^[^?#]*\?([^#]*)/.exec(rest)?.[1] ?? ''
  const args = new Map<string, string>()
  for (const pair of query.split('&').filter((part) => part !== '')) {
    const [, key = '', value = ''] = /^([^=]*)=?(.*)$/s.exec(pair) ?? []
    const name = decoded(text, key.replaceAll('+', ' '))
    if (!args.has(name)) args.set(name, decoded(text, value.replaceAll('+', ' ')))
  }
  return [...args].flat()
}

const decoded = (text: string, part: string): string => {
  try {
    const plain = decodeURIComponent(part)
    if (!plain.includes('\0')) return plain
  } catch {
    // said below
  }
  throw invalid(text, `"${part}" is not escaped as in a URI`)
}

const invalid = (text: string, why: string): BerthError => new BerthError('invalid', `stdio "${text}": ${why}`)
