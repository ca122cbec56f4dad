/** Command lines, parsed by yargs. */

import yargs from 'yargs'
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
export const parseArgs = (argv: readonly string[], { usage, flags, stopAtFirst, commands = {} }: Grammar): Parsed => {
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
