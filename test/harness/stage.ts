/** What tests of a shim without containerd stand on: called in a `describe`, it sets everything up, and sees that nothing is left. */
import { chmodSync } from 'node:fs'
import { after, afterEach, before, beforeEach } from 'node:test'
import type { Config } from './bundle.ts'
import { nothingLeft, snapshot } from './host.ts'
import { closeClients, eventsSocket, Image } from './life.ts'
import { Daemon } from './shim.ts'

export interface Stage {
  /** One a test. */
  readonly daemon: Daemon
  readonly events: ReturnType<typeof eventsSocket>
  /** One for all tests: every user may look at it. */
  readonly image: Image
  /** The configuration of a program, and of a script for the container's shell. */
  program(args: readonly string[]): Config
  shell(script: string): Config
}

export function stage(): Stage {
  let image: Image
  let base: Config
  let daemon: Daemon
  let events: ReturnType<typeof eventsSocket>
  let pristine: Set<string>
  before(() => {
    image = new Image()
    chmodSync(image.dir, 0o755)
    base = image.config([])
  })
  after(() => image[Symbol.dispose]())
  beforeEach(() => {
    pristine = snapshot()
    daemon = new Daemon()
    events = eventsSocket(daemon)
  })
  afterEach(async () => {
    closeClients()
    events.close()
    daemon[Symbol.dispose]()
    await nothingLeft(pristine)
  })
  const program = (args: readonly string[]): Config => ({ ...base, process: { ...base.process, args } })
  return {
    get daemon() {
      return daemon
    },
    get events() {
      return events
    },
    get image() {
      return image
    },
    program,
    shell: (script) => program(['/bin/sh', '-c', script]),
  }
}
