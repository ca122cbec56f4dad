/** Command lines: those of engines, which are plain, at once, and all others by yargs. */

import { BerthError } from '../errors.ts'
import type { Flags } from './verb.ts'

export interface Parsed {
  readonly values: ReadonlyMap<string, readonly (string | boolean)[]>
  readonly args: readonly string[]
  /** Text to print instead of running anything (--help). */
  readonly help: string | undefined
}

export interface Grammar {
  /** The first line of the help. */
  readonly usage: string
  readonly flags: Flags
  /** The first argument ends the flags. */
  readonly stopAtFirst: boolean
  readonly commands?: Readonly<Record<string, string>>
}

/** Parses one level of a command line: the flags before the verb, or what follows it. */
export const parseArgs = async (argv: readonly string[], grammar: Grammar): Promise<Parsed> =>
  parsePlain(argv, grammar) ?? (await parseAny(argv, grammar))

/**
 * A command line of known flags by their whole names or their letters, each with the value that it takes; undefined for any other. yargs, which
 * would come to the same, takes longer than all else that the controller does for a command.
 */
export const parsePlain = (argv: readonly string[], { flags, stopAtFirst }: Grammar): Parsed | undefined => {
  const values = new Map(Object.keys(flags).map((name): [string, (string | boolean)[]] => [name, []]))
  const args: string[] = []
  for (let at = 0; at < argv.length; at++) {
    const arg = argv[at] ?? ''
    if (!arg.startsWith('-')) {
      if (stopAtFirst) return { values, args: argv.slice(at), help: undefined }
      args.push(arg)
      continue
    }
    const [, long, given, letter] = /^(?:--([a-z][a-z-]*)(?:=(.*))?|-([a-z]))$/s.exec(arg) ?? []
    const byLetter = letter && Object.keys(flags).find((key) => flags[key]?.alias === letter)
    const name = long ?? byLetter ?? ''
    const to = values.get(name)
    if (to === undefined) return undefined
    const isBoolean = flags[name]?.type === 'boolean'
    if (isBoolean && (given !== undefined || to.length > 0)) return undefined
    const value = isBoolean || (given ?? argv[++at])
    if (value === undefined || value === '' || (typeof value === 'string' && value.startsWith('-'))) return undefined
    to.push(value)
  }
  return { values, args, help: undefined }
}

export const parseAny = async (
  argv: readonly string[],
  { usage, flags, stopAtFirst, commands = {} }: Grammar,
): Promise<Parsed> => {
  const { default: yargs } = await import('yargs')
  const parser = yargs()
    .scriptName('berth')
    .usage(usage)
    .help('help')
    .alias('help', 'h')
    .version(false)
    .exitProcess(false)
    .detectLocale(false)
    .showHelpOnFail(false)
    .wrap(120)
    .strictOptions()
    .parserConfiguration({
      'halt-at-non-option': stopAtFirst,
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'strip-aliased': true,
    })
  for (const [name, { type, alias, describe }] of Object.entries(flags))
    parser.option(name, {
      describe,
      type: type === 'boolean' ? 'boolean' : 'string',
      ...(alias === undefined ? {} : { alias }),
      ...(type === 'boolean' ? {} : { requiresArg: true }),
    })
  const width = Math.max(...Object.keys(commands).map((name) => name.length))
  const table = Object.entries(commands).map(([name, text]) => `  ${name.padEnd(width)}  ${text}`)
  if (table.length > 0) parser.epilogue(['Commands:', ...table].join('\n'))

  let failure: string | undefined
  let help: string | undefined
  parser.fail((message, error) => {
    failure ??= message ?? error?.message ?? 'cannot parse the command line'
  })
  const parsed = parser.parse([...argv], {}, (_error, _argv, output) => {
    if (output !== '') help = output
  }) as Readonly<Record<string, unknown>>
  if (failure !== undefined) throw new BerthError('usage', failure.charAt(0).toLowerCase() + failure.slice(1))
  const values = new Map(
    Object.keys(flags).map((name) => [name, [parsed[name] ?? []].flat() as (string | boolean)[]] as const),
  )
  return {
    values,
    args: (parsed._ as readonly unknown[]).map(String),
    help: help === undefined ? undefined : `${help}\n`,
  }
}
