/** `berth doctor`: what this host can enforce, and how to get what is missing. Everything is tried by the launcher, with the caller's rights. */

import { type Check, examine, sound } from '../host/examine.ts'
import { connectProbe, investigate, probed } from '../host/findings.ts'
import type { Context, Verb } from './verb.ts'

export const verb: Verb = {
  usage: '',
  flags: { json: { type: 'boolean', describe: 'for programs' } },
  args: [0, 0],
  run: async (context) => {
    const checks = await look(context)
    const fine = sound(checks)
    const stdout = context.flag('json') ? `${JSON.stringify({ sound: fine, checks }, null, 2)}\n` : render(checks)
    return { exitCode: fine ? 0 : 1, stdout }
  },
}

const look = async ({ step, request }: Context): Promise<Check[]> => {
  const { plan, sockets, findings } = investigate({
    uid: request.uid,
    path: request.env.PATH,
    runtimeDir: request.env.XDG_RUNTIME_DIR,
    runDir: request.runDir,
    build: request.build ?? 'unknown',
  })
  const results = await step('host', plan)
  const found = sockets(results)
  const tried = await step('controllers', found.map(connectProbe))
  const controllers = found.map((socket, index) => ({ socket, listens: probed(tried, index).errno === 0 }))
  return examine(findings(results, controllers))
}

const render = (checks: readonly Check[]): string => {
  const width = Math.max(...checks.map(({ name }) => name.length))
  const lines: string[] = []
  let area = ''
  for (const check of checks) {
    if (check.area !== area) {
      area = check.area
      lines.push(`${lines.length > 0 ? '\n' : ''}${area}`)
    }
    const state = check.ok ? 'ok' : check.required ? 'MISSING' : 'missing'
    lines.push(`  ${state.padEnd(7)}  ${check.name.padEnd(width)}  ${check.found}`.trimEnd())
    if (check.ok) continue
    lines.push(`${' '.repeat(11)}needed by: ${check.needs.join(', ')}`, `${' '.repeat(11)}to get it: ${check.fix}`)
  }
  const lacking = checks.filter(({ ok, required }) => !ok && required).map(({ name }) => name)
  lines.push(
    '',
    lacking.length === 0
      ? 'containers can be created here'
      : `no container can be created here without: ${lacking.join(', ')}`,
  )
  return lines.map((line) => `${line}\n`).join('')
}
