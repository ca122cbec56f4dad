/** `create --timing` and `--trace`: who did what when. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Bundle, notHere } from '../harness/bundle.ts'
import { berth } from '../harness/run.ts'
import { deletesAfterEach } from '../harness/suite.ts'
import type { TraceEvent } from '../harness/trace.ts'

const id = `timing-${process.pid}`

describe('timing', { skip: notHere }, () => {
  deletesAfterEach(id)

  it('tells what each process did, and when', async () => {
    using bundle = new Bundle(['/bin/true'])
    const { code, stdout, stderr } = await berth(['create', '--timing', '--bundle', bundle.dir, id])
    assert.deepEqual([code, stdout], [0, ''], stderr)
    const [head = '', ...lines] = stderr.trimEnd().split('\n')
    assert.match(head, /^AT +TOOK +PROCESS +OPERATION$/)
    const rows = lines.map((line) => line.split(/ {2,}/))
    assert.deepEqual(rows[0]?.slice(2), ['launcher', 'start'])
    const did = (who: string) => rows.filter(([, , name]) => name === who).map(([, , , what]) => what ?? '')
    // Twice in one that has not looked at the host yet.
    assert.match(did('controller').join(), /^plan( \(2\))?$/)
    assert.ok(did('monitor').includes('clone'))
    assert.ok(did('init').includes('pivot'))
    for (const [at = '', took = ''] of rows) assert.ok(Number(at) >= 0 && Number(took) >= 0, `${at} ${took}`)
    assert.equal((await berth(['start', id])).code, 0)
  })

  it('writes it for trace viewers', async () => {
    using bundle = new Bundle(['/bin/true'])
    const file = join(bundle.dir, 'trace.json')
    const { code, stderr } = await berth(['create', '--trace', file, '--bundle', bundle.dir, id])
    assert.deepEqual([code, stderr], [0, ''])
    const { traceEvents } = JSON.parse(readFileSync(file, 'utf8')) as { traceEvents: readonly TraceEvent[] }
    const tracks = new Map(traceEvents.filter(({ ph }) => ph === 'M').map(({ tid, args }) => [tid, args?.name]))
    const spans = traceEvents.filter(({ ph }) => ph === 'X')
    const of = (name: string) => spans.findLast((span) => span.name === name)
    // The monitor waits for the init to have made its root, and all that is in the time of the launcher's plan.
    const [remote, resume, pivot] = [of('remote'), of('resume'), of('pivot')]
    assert.ok(remote && resume && pivot)
    assert.deepEqual(
      [remote, resume, pivot].map(({ tid }) => tracks.get(tid)),
      ['launcher', 'monitor', 'init'],
    )
    const within = (inner: TraceEvent, outer: TraceEvent) =>
      outer.ts <= inner.ts && inner.ts + inner.dur <= outer.ts + outer.dur
    assert.ok(within(pivot, remote) && within(resume, remote), JSON.stringify([remote, resume, pivot]))
    assert.ok(pivot.ts + pivot.dur <= resume.ts + resume.dur, JSON.stringify([resume, pivot]))
  })
})
