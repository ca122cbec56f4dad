/** The machine itself: what the other tests in this directory rest on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bootVm, nodeTests, noVm, readChecks, showChecks } from '../harness/vm.ts'

test('a virtual machine has cgroup v2 with its controllers, and runs berth', { skip: noVm }, async (context) => {
  const result = await bootVm({
    files: { 'vm/given': 'content' },
    script: `
check() { name=$1; shift; if out=$("$@" 2>&1); then echo "ok $name"; else echo "not ok $name"; echo "$out" | sed 's/^/  /'; fi; }
check 'its files are there' grep -q content /vm/given
for c in cpu cpuset io memory pids hugetlb rdma; do check "controller $c" grep -qw $c /sys/fs/cgroup/cgroup.controllers; done
check 'only cgroup v2' sh -c '! grep -q " - cgroup " /proc/self/mountinfo'
check 'berth features' sh -c '/berth/bin/berth features | grep -q ociVersionMin'
exit 7`,
  })
  assert.equal(result.status, 7, `${result.output}\n${result.console}`)
  await showChecks(context, { ...result, status: 0 })
})

test("Node's tests run in it, and say what failed", { skip: noVm }, async () => {
  const { output, status } = await bootVm({
    script: nodeTests(['/vm/inside.test.ts']),
    files: {
      'vm/inside.test.ts': `
import assert from 'node:assert'
import { test } from 'node:test'
test('is root', () => assert.equal(process.getuid(), 0))
test('is skipped', { skip: 'no reason' }, () => {})
test('fails', () => assert.equal(1, 2, 'one is not two'))`,
    },
  })
  assert.equal(status, 1)
  const [first, second, third] = readChecks(output)
  assert.deepEqual([first?.name, first?.ok, second?.skipped, third?.ok], ['is root', true, true, false])
  assert.match(third?.why ?? '', /one is not two/)
})

test('a machine that hangs is ended', { skip: noVm }, async () => {
  await assert.rejects(bootVm({ script: 'echo waiting; sleep 1000', timeoutMs: 6_000 }), /not off after 6000 ms/)
})
