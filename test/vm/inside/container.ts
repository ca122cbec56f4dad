/** What the tests inside of a virtual machine share: one container at a time, its cgroup's files, and the promise that nothing is left. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { afterEach, beforeEach } from 'node:test'
import { Bundle, type Config } from '../../harness/bundle.ts'
import { nothingLeft, snapshot } from '../../harness/host.ts'
import { berth, type Finished } from '../../harness/run.ts'

export const id = 'c1'
export const CGROUPS = '/sys/fs/cgroup'
export const dir = `${CGROUPS}/berth-${id}`
export const read = (path: string): string => readFileSync(path, 'utf8').trim()
/** A file of the container's cgroup. */
export const file = (name: string): string => read(`${dir}/${name}`)

/** Of containers that are still there. */
const bundles: Bundle[] = []

/** Each test starts and ends with a host on which nothing of berth's is. */
export const cleanly = (): void => {
  let before: Set<string>
  beforeEach(() => {
    before = snapshot()
  })
  afterEach(async () => {
    await berth(['delete', '--force', id])
    for (const bundle of bundles.splice(0)) bundle[Symbol.dispose]()
    await nothingLeft(before)
  })
}

/** Runs a shell script in a container, to its end. */
export const run = async (script: string, change?: (config: Config) => void): Promise<Finished> => {
  using bundle = new Bundle(['/bin/sh', '-c', script], change)
  return await berth(['run', '--bundle', bundle.dir, id])
}

/** Creates and starts a container. */
export const start = async (script: string, change?: (config: Config) => void): Promise<void> => {
  const bundle = new Bundle(['/bin/sh', '-c', script], change)
  bundles.push(bundle)
  // a user of another namespace has to get there
  for (const path of [bundle.dir, `${bundle.dir}/rootfs`]) chmodSync(path, 0o755)
  const done = await berth(['run', '--detach', '--bundle', bundle.dir, id])
  assert.equal(done.stderr, '')
  assert.equal(done.code, 0)
}

/** The message of a create that is refused, after which nothing is there. */
export const refused = async (change: (config: Config) => void): Promise<string> => {
  using bundle = new Bundle(['/bin/true'], change)
  const done = await berth(['create', '--bundle', bundle.dir, id])
  assert.equal(done.code, 1, done.stdout)
  assert.ok(!existsSync(dir), 'its cgroup is left')
  return done.stderr
}

export const exec = (script: string): Promise<Finished> => berth(['exec', id, '/bin/sh', '-c', script])

export const initPid = async (): Promise<number> => JSON.parse((await berth(['state', id])).stdout).pid
