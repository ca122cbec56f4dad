/** A copy of the installation, for tests that break it. */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { binary, dist, until } from './host.ts'

export class Installation implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'berth-install-'))
  readonly dist = join(this.dir, 'dist')
  readonly node = join(this.dist, 'node')
  readonly controller = join(this.dist, 'controller.js')
  readonly shim = join(this.dir, 'bin/containerd-shim-berth-v2')
  readonly berth = join(this.dir, 'bin/berth')

  constructor() {
    mkdirSync(join(this.dir, 'bin'))
    cpSync(binary, this.berth)
    symlinkSync('berth', this.shim)
    cpSync(dist, this.dist, { recursive: true, filter: (path) => path !== join(dist, 'node') })
    this.restoreNode()
  }

  /** Puts a program in the place of Node. */
  replaceNode(program: string): void {
    rmSync(this.node, { force: true })
    cpSync(realpathSync(program), this.node)
  }
  restoreNode(): void {
    rmSync(this.node, { force: true })
    symlinkSync(realpathSync(join(dist, 'node')), this.node)
  }

  /** A controller that does something of its own, after which it may import `real.js`. */
  replaceController(text: string): void {
    cpSync(this.controller, join(this.dist, 'real.js'))
    writeFileSync(this.controller, text)
  }
  restoreController(): void {
    cpSync(join(this.dist, 'real.js'), this.controller)
  }

  /** Controllers of this installation. */
  controllers(): number[] {
    return readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry))
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(this.controller)
        } catch {
          return false // it has ended
        }
      })
      .map(Number)
  }
  async endControllers(): Promise<void> {
    for (const pid of this.controllers())
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // it has ended
      }
    await until('no controller', () => this.controllers().length === 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endControllers()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
