/** What each verb's module exports, and what it is given. */

import { posix } from 'node:path'
import type { CommandAnswer, CommandRequest, RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'

export interface Flag {
  /** `list`: may be given more than once. */
  readonly type: 'string' | 'boolean' | 'list'
  readonly alias?: string
  readonly describe: string
}
export type Flags = Readonly<Record<string, Flag>>

export interface Verb {
  /** Shown after the verb's name. */
  readonly usage: string
  readonly flags: Flags
  /** Least and most arguments. */
  readonly args: readonly [number, number]
  /** What follows the first argument is not ours to parse (the command of `exec`). */
  readonly stopAtFirst?: boolean
  /** What follows `--`, if that is given, is a command; it stands in the place of the arguments. */
  readonly command?: boolean
  /** Exit code where it fails, if that is not 1 (and the command line was one). */
  readonly failure?: number
  readonly run: (context: Context) => Promise<Partial<CommandAnswer>>
}

/** The flags before the verb. */
export interface Globals {
  /** Absolute. */
  readonly root: string
  readonly systemdCgroup: boolean
  /** The node's own file, absolute. */
  readonly nodeConfig: string
  /** Absolute. */
  readonly criu: string | undefined
}

/** One invocation of a verb. */
export class Context {
  readonly request: CommandRequest
  readonly step: RunStep<CommandAnswer>
  readonly globals: Globals
  readonly args: readonly string[]
  /** What follows `--`. */
  readonly command: readonly string[] | undefined
  readonly #values: ReadonlyMap<string, readonly (string | boolean)[]>
  /** What went wrong on the way, to be said in any case. */
  readonly warnings: string[] = []
  /** What of the configuration has no effect, to be said where someone asks (--debug) or in the log. */
  readonly notes: string[] = []

  constructor(
    request: CommandRequest,
    step: RunStep<CommandAnswer>,
    globals: Globals,
    args: readonly string[],
    values: ReadonlyMap<string, readonly (string | boolean)[]>,
    command?: readonly string[],
  ) {
    this.request = request
    this.step = step
    this.globals = globals
    this.args = args
    this.command = command
    this.#values = values
  }

  /** The container's id, or what else the first argument is. */
  get first(): string {
    return this.args[0] ?? ''
  }

  /** The value of a flag; the last one where it was given more than once. */
  text(name: string): string | undefined {
    const value = this.#values.get(name)?.at(-1)
    return typeof value === 'string' && value !== '' ? value : undefined
  }

  flag(name: string): boolean {
    return this.#values.get(name)?.at(-1) === true
  }

  given(name: string): boolean {
    return (this.#values.get(name)?.length ?? 0) > 0
  }

  list(name: string): readonly string[] {
    return (this.#values.get(name) ?? []).map(String)
  }

  /** A decimal number that fits 32 bits, or what it is where the flag is not given. */
  number(name: string, otherwise: number): number {
    const text = this.text(name)
    return text === undefined ? otherwise : parseNumber(name, text)
  }

  numbers(name: string): readonly number[] {
    return this.list(name).map((text) => parseNumber(name, text))
  }

  /** A path as the caller means it. */
  path(name: string): string | undefined {
    const text = this.text(name)
    return text === undefined ? undefined : this.resolve(text)
  }

  resolve(path: string): string {
    return posix.resolve(this.request.cwd, path)
  }

  /** One of a few words. */
  choice(name: string, choices: readonly string[], otherwise: string): string {
    const text = this.text(name) ?? otherwise
    if (!choices.includes(text))
      throw new BerthError('usage', `--${name} ${JSON.stringify(text)}: expected ${choices.join(' or ')}`)
    return text
  }
}

const parseNumber = (name: string, text: string): number => {
  if (!/^(0|[1-9]\d{0,9})$/.test(text) || Number(text) > 0xffffffff)
    throw new BerthError('usage', `--${name} ${JSON.stringify(text)}: expected a decimal number below 4294967296`)
  return Number(text)
}
