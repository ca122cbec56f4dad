/**
 * The manual page, from the tables of flags that the command line is parsed by.
 *
 * Usage: node scripts/gen-man.ts FILE
 */
import { writeFileSync } from 'node:fs'
import packageJson from '../package.json' with { type: 'json' }
import { GLOBAL_FLAGS, VERBS } from '../src/cli/main.ts'
import type { Flags } from '../src/cli/verb.ts'

/** Text as roff takes it literally. */
const literal = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .replaceAll('“', '\\(lq')
    .replaceAll('”', '\\(rq')
    .replace(/^([.'])/gm, '\\&$1')

const flagLines = (flags: Flags): string[] =>
  Object.entries(flags).flatMap(([name, { type, alias, describe }]) => {
    const value = type === 'boolean' ? '' : ` \\fI${name.toUpperCase().replaceAll('-', '_')}\\fR`
    const short = alias === undefined ? '' : `\\fB\\-${literal(alias)}\\fR, `
    return ['.TP', `${short}\\fB\\-\\-${literal(name)}\\fR${value}`, literal(describe)]
  })

export const manPage = async (): Promise<string> => {
  const lines = [
    '.\\" Made by scripts/gen-man.ts.',
    `.TH BERTH 8 "" "berth ${packageJson.version}"`,
    '.SH NAME',
    'berth \\- an OCI container runtime and containerd shim',
    '.SH SYNOPSIS',
    '\\fBberth\\fR [\\fIflags\\fR] \\fICOMMAND\\fR [\\fIflags\\fR] [\\fIarguments\\fR]',
    '.SH DESCRIPTION',
    literal(
      'berth runs containers as the OCI runtime specification describes them, with the commands and flags of runc. create builds the whole ' +
        'sandbox, installs the whole policy, and holds the process one step before execve; start only lets it go.',
    ),
    '.SH FLAGS',
    ...flagLines(GLOBAL_FLAGS),
    '.SH COMMANDS',
  ]
  for (const [name, { describe, load }] of Object.entries(VERBS)) {
    const { usage, flags } = (await load()).verb
    lines.push(`.SS "berth ${name} ${Object.keys(flags).length > 0 ? '[flags] ' : ''}${literal(usage)}"`.trimEnd())
    lines.push(`${literal(describe[0]?.toUpperCase() + describe.slice(1))}.`, ...flagLines(flags))
  }
  lines.push(
    '.SH ENVIRONMENT',
    '.TP',
    '\\fBBERTH_CONTROLLER_IDLE\\fR',
    'Seconds after which a controller that this command starts leaves when nothing needs it (300).',
    '.TP',
    '\\fBBERTH_SHIM_PROTOCOL\\fR',
    'Of containerd: \\fBttrpc\\fR (the default) or \\fBgrpc\\fR, what shims that it starts are spoken to in.',
    '.TP',
    '\\fBXDG_RUNTIME_DIR\\fR',
    'Holds the run directory of users other than root, and of root of a user namespace (/run/user/UID where it is not set).',
    '.SH FILES',
    '.TP',
    '\\fI/etc/berth/config.json\\fR',
    "The node's own file: a policy that holds for every container, the directory of named ones, the path of CRIU.",
    '.TP',
    '\\fI/etc/berth/policies/NAME.json\\fR',
    'The policy of containers with the annotation io.berth.policy=NAME.',
    '.TP',
    '\\fI/run/berth\\fR',
    'Containers; \\fI.controller\\fR in it has the sockets and logs of controllers.',
    '.SH EXIT STATUS',
    '0: done. 1: failed. 2: the command line is wrong. \\fBrun\\fR and \\fBexec\\fR: the status of the process, 128 and the number of the',
    'signal that ended it; \\fBexec\\fR: 255 where it failed itself. \\fBlearn\\fR: the same, 124 where the time was over.',
    '.SH SEE ALSO',
    '\\fBrunc\\fR(8), \\fBcontainerd\\fR(8), https://github.com/opencontainers/runtime\\-spec',
  )
  return `${lines.join('\n')}\n`
}

const [file] = process.argv.slice(2)
if (import.meta.main && file !== undefined) writeFileSync(file, await manPage())
