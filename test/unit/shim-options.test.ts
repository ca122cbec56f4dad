/** What the options of a client or a handler come to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { containerd } from '../../shim/proto/messages.gen.js'
import { parseOptions, readOptions } from '../../shim/task/options.ts'
import { resultsOf } from '../../src/controller/results.ts'
import type { RunStep } from '../../src/controller/types.ts'
import type { Plan } from '../../src/plan/ops.ts'

const { RuncOptions, RuntimeOptions } = containerd.options
const noStep: RunStep = () => assert.fail('no step is needed')
const runc = (message: containerd.options.RuncOptions.$Properties) => ({
  typeUrl: 'containerd.runc.v1.Options',
  value: RuncOptions.encode(message).finish(),
})
const handler = (message: containerd.options.RuntimeOptions.$Properties) => ({
  typeUrl: 'runtimeoptions.v1.Options',
  value: RuntimeOptions.encode(message).finish(),
})
const body = (text: string) => handler({ configBody: new TextEncoder().encode(text) })

test('none, and those of other runtimes, are none', async () => {
  assert.deepEqual(await readOptions(undefined, '/x', noStep), {})
  assert.deepEqual(await readOptions({ typeUrl: 'a.b.Options', value: Uint8Array.of(255) }, '/x', noStep), {})
  assert.deepEqual(await readOptions(handler({ typeUrl: 'x' }), '/x', noStep), {})
})

test("runc's", async () => {
  const options = runc({ noPivotRoot: true, noNewKeyring: true, ioUid: 7, shimCgroup: '/s', binaryName: 'runc' })
  assert.deepEqual(await readOptions(options, '/x', noStep), {
    noPivot: true,
    noNewKeyring: true,
    ioUid: 7,
    shimCgroup: '/s',
  })
})

test('a path in the form of systemd means systemd', async () => {
  for (const options of [undefined, runc({}), body('')])
    assert.deepEqual(await readOptions(options, 'a.slice:b:c', noStep), { systemdCgroup: true })
})

test("a handler's table", async () => {
  const text =
    'TypeUrl = ""\nSystemdCgroup = true\nNoPivotRoot = false\nNoNewKeyring = true\nIoUid = 0\nShimCgroup = ""\n'
  assert.deepEqual(await readOptions(body(text), '/x', noStep), { systemdCgroup: true, noNewKeyring: true, ioUid: 0 })
})

test("a handler's file", async () => {
  const plans: Plan[] = []
  const step: RunStep = async (_name, plan) => {
    plans.push(plan)
    return resultsOf({ error: undefined, results: new Map([[0, new TextEncoder().encode('IoUid = 12')]]) })
  }
  assert.deepEqual(await readOptions(handler({ configPath: '/etc/o.toml' }), '/x', step), { ioUid: 12 })
  assert.deepEqual(
    plans.flat().map((op) => op.op === 'read' && op.path),
    ['/etc/o.toml'],
  )
  await assert.rejects(readOptions(handler({ configPath: 'o.toml' }), '/x', noStep), /no absolute path/)
})

for (const [text, message] of [
  ['systemdcgroup = true', 'here: unknown key "systemdcgroup"; did you mean "SystemdCgroup"?'],
  ['[a]\nb = 1', 'here: unknown key "a"; did you mean "IoUid"?'],
  ['Root = "/run/runc"', 'here: "Root" is for runc and means nothing to this runtime: remove it'],
  ['SystemdCgroup = "yes"', 'here: SystemdCgroup has to be true or false'],
  ['IoUid = -1', 'here: IoUid has to be a user id'],
  ['IoUid = 1.5', 'here: IoUid has to be a user id'],
  ['ShimCgroup = "a/b"', 'here: ShimCgroup has to be the absolute path of a cgroup'],
  ['ShimCgroup = "/a/../b"', 'here: ShimCgroup has to be the absolute path of a cgroup'],
] as const)
  test(`refused: ${JSON.stringify(text)}`, async () => {
    await assert.rejects(parseOptions(text, 'here'), { message })
  })

test('what is no TOML is told in a line', async () => {
  await assert.rejects(parseOptions('SystemdCgroup', 'here'), /^BerthError: here: Invalid TOML document: [^\n]+$/)
})
