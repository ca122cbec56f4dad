/**
 * Executes mutated configurations on the kernel: for a machine that may be lost, never for a host. Whatever a case asks for, no command hangs, each says in
 * one line why it failed, and nothing is left. Arguments: the number of the first case, how many.
 */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Bundle } from '../harness/bundle.ts'
import { nothingLeft, snapshot } from '../harness/host.ts'
import { berth } from '../harness/run.ts'
import { compileMutation } from './compile.ts'
import { mutation } from './mutate.ts'

const [first = 0, count = 100] = process.argv.slice(2).map(Number)
/** Cases between two looks at what is left; a failure is then pinned down by running them one by one. */
const BATCH = 20
const LIMIT = 60_000

/** The cgroups above the one that a configuration names: whoever names them keeps them. Deepest first. */
const parentsOf = (text: string): string[] => {
  const path: unknown = JSON.parse(text).linux?.cgroupsPath
  if (typeof path !== 'string') return []
  const full = join('/sys/fs/cgroup', path.startsWith('/') ? '' : 'berth', path)
  const parents: string[] = []
  for (let dir = dirname(full); dir.startsWith('/sys/fs/cgroup/'); dir = dirname(dir)) parents.push(dir)
  return parents
}

const command = async (number: number, ...args: string[]) => {
  const done = await berth(args, { timeout: LIMIT, killSignal: 'SIGKILL' })
  const line = done.stderr.trim()
  const plain = done.code === 0 || (done.code === 1 && line.startsWith('berth: ') && !line.includes('internal error'))
  if (!plain) throw new Error(`case ${number}: ${args[0]} ended with ${done.code ?? done.signal}: ${line}`)
  return done.code === 0
}

const execute = async (number: number, bundle: Bundle): Promise<void> => {
  writeFileSync(`${bundle.dir}/config.json`, mutation(number).text)
  const id = `case-${number}`
  const created = await command(number, 'create', '--bundle', bundle.dir, id)
  if (!created) return
  await command(number, 'start', id)
  if (!(await command(number, 'delete', '--force', id))) throw new Error(`case ${number}: delete --force failed`)
}

// What is refused without the kernel being asked is for the unit test; of the rest nothing is left out.
const numbers: number[] = []
for (let number = first; numbers.length < count; number++)
  if (compileMutation(number) === 'planned') numbers.push(number)
await berth(['features'])
const before = snapshot()
let created = 0
for (let at = 0; at < numbers.length; at += BATCH) {
  const batch = numbers.slice(at, at + BATCH)
  using bundle = new Bundle()
  for (const number of batch) await execute(number, bundle)
  for (const dir of batch.flatMap((number) => parentsOf(mutation(number).text))) spawnSync('rmdir', [dir])
  created += batch.length
  await nothingLeft(before).catch((error) => {
    throw new Error(`cases ${batch[0]} to ${batch.at(-1)}: ${error.message}`)
  })
}
console.log(`ok ${created} configurations executed, from case ${numbers[0]} to case ${numbers.at(-1)}`)
