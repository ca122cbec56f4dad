/** Containers under a policy with a module: what the node has for them, and a root file system with files that modules speak of. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bring } from './attack.ts'
import { Bundle, type Config } from './bundle.ts'
import { parentOf } from './host.ts'
import { berth, type Finished } from './run.ts'

/** Refuses what is named in it, and allows all else. */
export const refusing = (condition: string, verdict = "'deny'"): string =>
  `export const onSyscall = async (event) => (${condition}) ? ${verdict} : 'allow'`

/** /data with an open file, a secret one, and one of root's alone; and programs that try all doors. */
export const judgedBundle = (args: readonly string[], change: (config: Config) => void = () => {}): Bundle => {
  const bundle = new Bundle(args, (all) => {
    all.root.readonly = false
    for (const set of ['bounding', 'effective', 'permitted'])
      all.process.capabilities[set] = [
        ...all.process.capabilities.bounding,
        'CAP_DAC_OVERRIDE',
        'CAP_MKNOD',
        'CAP_SETUID',
      ]
    change(all)
  })
  const rootfs = join(bundle.dir, 'rootfs')
  chmodSync(rootfs, 0o755)
  mkdirSync(join(rootfs, 'data'))
  chmodSync(join(rootfs, 'data'), 0o777)
  writeFileSync(join(rootfs, 'data/secret'), 'secret\n')
  writeFileSync(join(rootfs, 'data/open'), 'open\n')
  writeFileSync(join(rootfs, 'data/mine'), 'mine\n', { mode: 0o600 })
  symlinkSync('/data/secret', join(rootfs, 'data/link'))
  for (const name of ['doors', 'senders', 'judged']) bring(bundle, name)
  return bundle
}

/** A directory for the node's own file and its module. */
export class JudgingNode implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-module-'))
  readonly file = join(this.dir, 'config.json')

  /** The node's own file, with such a module, and what else its policy says: flags of the command line. */
  config(source: string, module: object = {}, policy: object = {}): readonly string[] {
    const path = join(this.dir, 'module.mjs')
    writeFileSync(path, source)
    writeFileSync(this.file, JSON.stringify({ policy: { ...policy, module: { path, ...module } } }))
    return ['--config', this.file]
  }

  /** Runs a command in a container of this id. */
  async run(
    id: string,
    flags: readonly string[],
    args: readonly string[],
    change?: (config: Config) => void,
  ): Promise<Finished> {
    using bundle = judgedBundle(args, change)
    return await berth([...flags, 'run', '--bundle', bundle.dir, id])
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** The supervisor of the only container there is, and who stands between it and its worker. */
export const supervisorOf = (): { readonly supervisor: number; readonly between: number } => {
  for (const pid of pidsOf('berth-judge')) {
    const parent = parentOf(pid)
    if (parent !== 1 && pidsOf('berth-judge').includes(parent)) return { supervisor: parent, between: pid }
  }
  throw new Error('there is no supervisor')
}

const pidsOf = (name: string): readonly number[] =>
  readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name
      } catch {
        return false // it has ended meanwhile
      }
    })
