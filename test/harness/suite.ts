/** Hooks of suites whose tests make containers: what every one of them has to do around its tests. */
import { after, afterEach, before, beforeEach } from 'node:test'
import { nothingLeft, snapshot } from './host.ts'
import { closeClients, eventsSocket, Image } from './life.ts'
import { berth } from './run.ts'
import { Daemon } from './shim.ts'
import { User } from './user.ts'

/** Deletes the container of this name after each test of the suite that calls it, and fails where a test has left anything. */
export const deletesAfterEach = (id: string): void => {
  let pristine: Set<string>
  beforeEach(() => {
    pristine = snapshot()
  })
  afterEach(async () => {
    await berth(['delete', '--force', id])
    await nothingLeft(pristine)
  })
}

/** Makes an ordinary user for the suite that calls it, and fails where its tests have left anything. */
export const hasUser = (made: (user: User) => void): void => {
  let pristine: Set<string>
  let user: User
  before(async () => {
    pristine = snapshot()
    user = await User.make()
    made(user)
  })
  after(async () => {
    await user[Symbol.asyncDispose]()
    await nothingLeft(pristine)
  })
}

/** Stands in for containerd in each test of the suite that calls it, and fails where a test has left anything. */
export const hasDaemon = (
  made: (daemon: Daemon, image: Image, events: ReturnType<typeof eventsSocket>) => void,
): void => {
  let pristine: Set<string>
  let daemon: Daemon
  let image: Image
  let events: ReturnType<typeof eventsSocket>
  beforeEach(() => {
    pristine = snapshot()
    daemon = new Daemon()
    image = new Image()
    events = eventsSocket(daemon)
    made(daemon, image, events)
  })
  afterEach(async () => {
    closeClients()
    events.close()
    daemon[Symbol.dispose]()
    image[Symbol.dispose]()
    await nothingLeft(pristine)
  })
}
