import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Results } from '../../src/controller/types.ts'
import { BerthError } from '../../src/errors.ts'
import { compileCreate } from '../../src/plan/create.ts'
import { compileExec } from '../../src/plan/exec.ts'
import type { Op } from '../../src/plan/ops.ts'
import { planResctrl } from '../../src/plan/resctrl.ts'
import type { IntelRdt } from '../../src/spec/types.ts'
import { facts, input, names, plainSpec } from './plan-fixture.ts'

const RESCTRL = '/sys/fs/resctrl'
const host = facts({ resctrl: RESCTRL })
const rdt = (intelRdt: IntelRdt) => {
  const spec = plainSpec()
  return { ...spec, linux: { ...spec.linux, intelRdt } }
}
const plan = (intelRdt: IntelRdt) => planResctrl(rdt(intelRdt), 'c1', host)
const said = (ops: readonly Op[]): string[] =>
  ops.map((op) =>
    op.op === 'write'
      ? `${op.path} < ${op.data.map((part) => (typeof part === 'string' ? part : '{pid}')).join('')}`
      : `${op.op} ${'path' in op ? op.path : ''}`,
  )

/** Judges a host on which these files are: directories have an empty text. */
const judge = (intelRdt: IntelRdt, files: Readonly<Record<string, string>>): string | undefined => {
  const { inspect } = plan(intelRdt)
  assert.ok(inspect)
  const at = (index: number): string | undefined => {
    const op = inspect.plan[index]
    return op && 'path' in op ? files[op.path] : undefined
  }
  const results = {
    bytes: (index: number) => (at(index) === undefined ? undefined : Buffer.from(at(index) ?? '')),
    text: at,
  } as unknown as Results
  try {
    inspect.judge(results)
    return undefined
  } catch (error) {
    assert.ok(error instanceof BerthError)
    return error.pointer
  }
}

test('without a closID the class has the id, is made, and goes with the container', () => {
  const { create, join, undo } = plan({ memBwSchema: 'MB:0=20', l3CacheSchema: 'L3:0=f', schemata: ['L2:0=1'] })
  assert.deepEqual(said(create), [`mkdir ${RESCTRL}/c1`, `${RESCTRL}/c1/schemata < L3:0=f\nMB:0=20\nL2:0=1\n`])
  assert.deepEqual(said(join), [`${RESCTRL}/c1/tasks < {pid}`])
  assert.deepEqual(said(undo), [`rmdir ${RESCTRL}/c1`])
  assert.equal(judge({}, {}), undefined)
  assert.equal(judge({}, { [`${RESCTRL}/c1`]: '' }), '/linux/intelRdt')
})

test('a class with a name stays; its monitoring group goes', () => {
  const { create, join, undo } = plan({ closID: 'gold', schemata: ['L3:0=f'], enableMonitoring: true })
  assert.deepEqual(said(create), [
    `mkdir ${RESCTRL}/gold`,
    `${RESCTRL}/gold/schemata < L3:0=f\n`,
    `mkdir ${RESCTRL}/gold/mon_groups/c1`,
  ])
  assert.deepEqual(said(join), [`${RESCTRL}/gold/tasks < {pid}`, `${RESCTRL}/gold/mon_groups/c1/tasks < {pid}`])
  assert.deepEqual(said(undo), [`rmdir ${RESCTRL}/gold/mon_groups/c1`])
  const there = { [`${RESCTRL}/gold`]: '', [`${RESCTRL}/gold/mon_groups/c1`]: '' }
  assert.equal(judge({ closID: 'gold', enableMonitoring: true }, there), '/linux/intelRdt/enableMonitoring')
})

test('the default class, and one that has to be there already, are not made', () => {
  assert.deepEqual(plan({ closID: '/' }).create, [])
  assert.deepEqual(said(plan({ closID: '/' }).join), [`${RESCTRL}/tasks < {pid}`])
  assert.deepEqual(plan({ closID: 'gold' }).create, [])
  assert.equal(judge({ closID: 'gold' }, {}), '/linux/intelRdt/closID')
  assert.equal(judge({ closID: 'gold' }, { [`${RESCTRL}/gold`]: '' }), undefined)
  assert.equal(judge({ closID: 'gold', memBwSchema: 'MB:0=20' }, {}), undefined)
})

test('schemas of a class that is there have to be what it has', () => {
  const there = { [`${RESCTRL}/gold`]: '', [`${RESCTRL}/gold/schemata`]: '    L3:0=07f0;1=001F\n    MB:0= 20;1= 70\n' }
  const gold = (schemas: IntelRdt) => judge({ closID: 'gold', ...schemas }, there)
  assert.equal(gold({ l3CacheSchema: 'L3:0=7f0;1=1f', memBwSchema: 'MB:1=70' }), undefined)
  assert.equal(gold({ l3CacheSchema: 'L3:0=7f0;1=ff' }), '/linux/intelRdt/l3CacheSchema')
  assert.equal(gold({ memBwSchema: 'MB:0=30' }), '/linux/intelRdt/memBwSchema')
  assert.equal(gold({ memBwSchema: 'MB:2=20' }), '/linux/intelRdt/memBwSchema')
})

test('the process is in its class before it runs, an exec too; without a resctrl file system it is an error', () => {
  const spec = rdt({})
  const { create } = compileCreate(input(spec, { facts: host }))
  const order = said(create)
  assert.ok(order.indexOf(`mkdir ${RESCTRL}/c1`) < names(create).indexOf('clone'))
  const joined = order.indexOf(`${RESCTRL}/c1/tasks < {pid}`)
  assert.ok(names(create).indexOf('clone') < joined && joined < names(create).lastIndexOf('resume'))
  const exec = compileExec({
    id: 'c1',
    bundle: '/bundle',
    stateDir: '/run/berth-c1',
    key: 'exec',
    process: { cwd: '/', user: { uid: 0, gid: 0 }, args: ['a'] },
    init: { pid: 7, start: 7n },
    spec,
    cgroupPaths: [],
    facts: host,
    stdio: [0, 1, 2],
    preserveFds: 0,
    afterTerminal: [],
    arch: 'x86_64',
  })
  assert.ok(said(exec).includes(`${RESCTRL}/c1/tasks < {pid}`))
  assert.throws(() => compileCreate(input(spec)), { pointer: '/linux/intelRdt', kind: 'unsupported' })
})
