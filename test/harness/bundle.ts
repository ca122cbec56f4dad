/** Bundles around a busybox root file system, in a temporary directory. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { binary } from './host.ts'

export const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path))
/** Why integration tests can't run here, or false. */
export const notHere: string | false =
  process.getuid?.() !== 0
    ? 'needs root'
    : !existsSync(binary)
      ? 'needs bin/berth: run make'
      : busybox === undefined
        ? 'needs busybox-static'
        : false

// biome-ignore lint/suspicious/noExplicitAny: a test changes any part of the document
export type Config = any

/** A root file system with busybox and its applets. */
export function makeRootfs(dir: string): void {
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'root'])
    mkdirSync(join(dir, name), { recursive: true })
  cpSync(busybox ?? '', join(dir, 'bin/busybox'))
  const applets = execFileSync(join(dir, 'bin/busybox'), ['--list'], { encoding: 'utf8' }).split('\n')
  for (const applet of applets)
    if (applet !== '' && applet !== 'busybox') symlinkSync('busybox', join(dir, 'bin', applet))
  writeFileSync(join(dir, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/:/bin/sh\n')
  writeFileSync(join(dir, 'etc/group'), 'root:x:0:\nu:x:1000:\n')
}

let template: string | undefined
/** A rootfs made once per test process; copied by hard links. */
function rootfsTemplate(): string {
  if (template === undefined) {
    const dir = mkdtempSync(join(tmpdir(), 'berth-rootfs-'))
    makeRootfs(dir)
    process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
    template = dir
  }
  return template
}

export class Bundle implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-bundle-'))
  config: Config

  /** What `berth spec` writes, with these arguments and no terminal. */
  constructor(args: readonly string[] = ['/bin/true'], change?: (config: Config) => void) {
    execFileSync('cp', ['-al', rootfsTemplate(), join(this.dir, 'rootfs')])
    execFileSync(binary, ['spec', '--bundle', this.dir])
    this.config = JSON.parse(execFileSync('cat', [join(this.dir, 'config.json')], { encoding: 'utf8' }))
    this.config.process.args = [...args]
    this.config.process.terminal = false
    change?.(this.config)
    this.write()
  }

  write(): void {
    writeFileSync(join(this.dir, 'config.json'), JSON.stringify(this.config))
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true })
  }
}
