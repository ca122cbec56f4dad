/** S3 (CVE-2021-30465) and S10 (CVE-2024-45310): names below a container's root that change while its mounts are made. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, it } from 'node:test'
import { Attacker, Canary, forMs, noCompiler } from '../harness/attack.ts'
import { Bundle, notHere } from '../harness/bundle.ts'
import { nothingLeft, snapshot } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

/** Longer in test/soak/races.test.ts, which runs this file. */
const MS = Number(process.env.RACE_MS ?? 1500)
const id = `s3-${process.pid}`

/** A directory of the host that two containers share, and a bundle with mounts below it. */
class Shared implements Disposable {
  readonly volume = mkdtempSync(join(tmpdir(), 'berth-volume-'))
  readonly canary = new Canary()
  readonly bundle = new Bundle(['/bin/cat', '/proc/self/mountinfo'])
  constructor(...destinations: readonly string[]) {
    const { mounts } = this.bundle.config
    mounts.push({ destination: '/vol', type: 'bind', source: this.volume, options: ['rbind', 'rw'] })
    for (const destination of destinations) mounts.push({ destination, type: 'tmpfs', source: 'attacked', options: [] })
    this.bundle.write()
  }
  [Symbol.dispose](): void {
    this.bundle[Symbol.dispose]()
    this.canary[Symbol.dispose]()
    rmSync(this.volume, { recursive: true, force: true })
  }
}

describe('S3, S10: mount targets that change', { skip: notHere || noCompiler }, () => {
  afterEach(() => berth(['delete', '--force', id]))

  /** Creates containers as long as the racer races. Each is refused, or has its mount where it can do no harm: below its root. */
  const attackFor = async (shared: Shared, ...race: readonly string[]): Promise<void> => {
    const before = snapshot()
    let refused = 0
    let made = 0
    {
      await using _racer = await Attacker.start('race', ...race)
      await forMs(MS, async () => {
        const done = await berth(['run', '--bundle', shared.bundle.dir, id])
        shared.canary.check()
        if (done.code === 0) {
          made++
          assert.match(done.stdout, / - tmpfs attacked /)
        } else {
          refused++
          assert.match(done.stderr, /^berth: run: mounts\[\d+\].*\/vol\//)
        }
      })
    }
    assert.ok(made + refused > 3, `${made} made, ${refused} refused`)
    await nothingLeft(before)
  }

  for (const [name, target] of [
    ['the host’s files by an absolute path', (canary: Canary) => canary.dir],
    ['the host’s files by a path of ..', (canary: Canary) => `../../../../../../..${canary.dir}`],
    ['its own /proc', () => '/proc/self'],
    ['a descriptor of the process that mounts', () => '/proc/self/fd/4'],
  ] as const)
    it(`S3: a directory that is exchanged with a symlink to ${name}`, async () => {
      using shared = new Shared('/vol/a/inner')
      mkdirSync(join(shared.volume, 'a'))
      symlinkSync(target(shared.canary), join(shared.volume, 'b'))
      await attackFor(shared, 'swap', join(shared.volume, 'a'), join(shared.volume, 'b'))
      assert.equal(existsSync(join(shared.canary.dir, 'inner')), false)
    })

  for (const [name, target] of [
    ['nothing on the host', (canary: Canary) => join(canary.dir, 'new')],
    ['nothing above the root', (canary: Canary) => `../../../../../../../..${canary.dir}/new`],
  ] as const)
    it(`S10: a target that is missing, and then a symlink to ${name}`, async () => {
      using shared = new Shared('/vol/a/inner', '/vol/a')
      await attackFor(shared, 'dangle', join(shared.volume, 'a'), target(shared.canary))
      assert.equal(existsSync(join(shared.canary.dir, 'new')), false)
    })

  it('S10: symlinks to nothing and to each other make directories below the root, or an error', async () => {
    using shared = new Shared('/vol/dangling/x', '/vol/up/x')
    symlinkSync('/made/by/the/runtime', join(shared.volume, 'dangling'))
    symlinkSync('../../../../../made', join(shared.volume, 'up'))
    const done = await berth(['run', '--bundle', shared.bundle.dir, id])
    assert.match(done.stdout, / \/made\/by\/the\/runtime\/x .* - tmpfs attacked /, done.stderr)
    assert.match(done.stdout, / \/made\/x .* - tmpfs attacked /)
    assert.equal(existsSync('/made'), false)
    symlinkSync('loop', join(shared.volume, 'loop'))
    shared.bundle.config.mounts.push({ destination: '/vol/loop/x', type: 'tmpfs', source: 'attacked', options: [] })
    shared.bundle.write()
    const loop = await berth(['run', '--bundle', shared.bundle.dir, id])
    assert.equal(loop.code, 1)
    assert.match(loop.stderr, /mounts\[\d+\].*\/vol\/loop/)
    shared.canary.check()
  })
})
