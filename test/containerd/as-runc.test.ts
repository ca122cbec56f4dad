/**
 * The shim behaves as runc's: the same scenes are played to both, and compared by codes, texts, events and their order. What differs is in
 * as-runc.jsonl, a difference a line, each with a row of docs/containerd.md that has the reason; one that is listed and does not occur fails.
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { type Played, play, type Shim } from '../harness/compare.ts'
import { noVersion } from '../harness/containerd.ts'
import { type Difference, Differences, type Known, type Rewording } from '../harness/differences.ts'
import { leftOver, nothingLeft, root, shimBinary, snapshot } from '../harness/host.ts'
import { atATime, closeClients, Image } from '../harness/life.ts'
import { scenes } from '../harness/scenes/all.ts'
import { SHELL } from '../harness/sequences.ts'

const DEBIAN = '/usr/bin/containerd-shim-runc-v2'
const list = join(root, 'test/containerd/as-runc.jsonl')
const known: Known[] = readFileSync(list, 'utf8')
  .split('\n')
  .filter(Boolean)
  .map((line) => JSON.parse(line))
/** By their rows. */
const rewordings: readonly Rewording[] = [
  {
    why: 'whose error it is',
    at: /^(Create|Start)/,
    runc: /^(2 OCI runtime create failed: )runc create failed: /,
    berth: '$1',
  },
  { why: 'pid of the delete call', at: /^delete/, runc: /^\{"pid":"pid \d+",/, berth: '{' },
  { why: 'an OOM kill that was none', at: /^events$/, runc: / oom,/g, berth: '', sometimes: true },
]

const METHODS =
  'State Create Start Delete Pids Pause Resume Checkpoint Kill Exec ResizePty CloseIO Update Wait Stats Connect Shutdown'.split(
    ' ',
  )

type Wanted = (shim: string, scene: string) => boolean

/** Rows of the table of differences: their first column. */
const rows = (): string[] => {
  const [, section = ''] = readFileSync(join(root, 'docs/containerd.md'), 'utf8').split(
    '## Where it differs from runc’s shim\n',
  )
  const table = section.split('\n## ')[0] ?? ''
  return [...table.matchAll(/^\| ([^|]+) \|.*\|$/gm)].flatMap(([, name = '']) => (name.trim() === '' ? [] : [name]))
}

/** A shim of runc's that dies leaves its socket and its container's cgroups. */
const clear = (things: readonly string[]): void => {
  for (const thing of things.toSorted().reverse()) {
    const [kind, path = ''] = thing.split(' ')
    if (kind === 'cgroup') rmdirSync(path)
    if (kind === 'socket') rmSync(path)
  }
}

const noReference = noVersion('2.1') || (existsSync(DEBIAN) ? false : "needs Debian's containerd")

describe('as runc', { skip: noReference }, () => {
  const played = new Map<string, Map<string, Played>>()
  const differences = new Differences(known, rewordings)
  const unknown = (version: string, scene: string): readonly (Difference | string)[] => {
    const [runc, berth] = [version, 'berth'].map((name) => played.get(name)?.get(scene))
    return runc && berth ? differences.unknown(version, scene, runc, berth) : [scene]
  }
  let unpacked: string
  let left: string

  before(async () => {
    unpacked = mkdtempSync(join(tmpdir(), 'berth-reference-'))
    await promisify(execFile)(join(root, 'test/containerd/matrix'), ['provision', '2.1', unpacked])
    const references: Shim[] = [
      { name: '1.6', binary: DEBIAN },
      { name: '2.1', binary: join(unpacked, 'pkg/usr/bin/containerd-shim-runc-v2') },
    ]
    assert.match(execFileSync(DEBIAN, ['-v'], { encoding: 'utf8' }), /1\.6\./)
    using image = new Image()
    writeFileSync(join(image.dir, 'bin/orphan'), '#!/bin/nope\n', { mode: 0o755 })
    const config = image.config(SHELL)
    let count = 0
    const playAll = async (shims: readonly Shim[], wanted: Wanted = () => true): Promise<void> => {
      const jobs = Object.entries(scenes).flatMap(([scene, sequence]) => {
        const number = count++
        return shims.filter(({ name }) => wanted(name, scene)).map((shim) => ({ shim, scene, number, sequence }))
      })
      await atATime(jobs.length, 6, async (index) => {
        const job = jobs[index]
        if (job === undefined) return
        const { shim, scene, number, sequence } = job
        const one = await play(shim, number, sequence, image, config)
        played.set(shim.name, (played.get(shim.name) ?? new Map()).set(scene, one))
      })
    }
    const pristine = snapshot()
    await playAll([{ name: 'berth', binary: shimBinary }])
    left = await nothingLeft(pristine).then(
      () => '',
      (error: Error) => error.message,
    )
    await playAll(references)
    // What runc's shim tells it does not always tell: where something is amiss it has another chance, and berth's has none.
    for (let again = 0; again < 2; again++)
      await playAll(references, (version, scene) => unknown(version, scene).length > 0)
    clear(leftOver(pristine))
  })
  after(() => {
    closeClients()
    if (unpacked) rmSync(unpacked, { recursive: true, force: true })
  })

  for (const version of ['1.6', '2.1'])
    it(`answers and tells what the shim of ${version} does, but for what is listed`, () => {
      assert.deepEqual(
        Object.keys(scenes).flatMap((scene) => unknown(version, scene)),
        [],
      )
    })

  it('differs in all that is listed', () => {
    assert.deepEqual(differences.missing, [])
  })

  it('has a reason for each difference', () => {
    assert.deepEqual(new Set(rows()), new Set([...known, ...rewordings].map(({ why }) => why)))
  })

  it('is asked everything', (t) => {
    const asked = [...(played.get('berth')?.values() ?? [])].flatMap((one) => [...one.keys()])
    t.diagnostic(`${Object.keys(scenes).length} scenes, ${asked.length} answers and events`)
    for (const method of METHODS)
      assert.ok(
        asked.some((at) => at.startsWith(`${method} `)),
        method,
      )
  })

  it('leaves nothing', () => {
    assert.equal(left, '')
  })
})
