/** cgroup v2 with all of its controllers: devices, limits, and the whole life by hand and under containerd's protocol. */
import { test } from 'node:test'
import { bootVm, nodeTests, noVm, showChecks } from '../harness/vm.ts'

const INSIDE = ['devices', 'limits', 'shim'].map((name) => `test/vm/inside/${name}.test.ts`)

test('cgroup v2', { skip: noVm }, async (context) => {
  const result = await bootVm({
    script: nodeTests([...INSIDE, 'test/integration/lifecycle.test.ts']),
    disks: [16],
    cpus: 2,
    memory: 1024,
  })
  await showChecks(context, result)
})

test('the verbs on cgroup v2', { skip: noVm }, async (context) => {
  const result = await bootVm({
    script: nodeTests(['events', 'pause', 'delete'].map((name) => `test/integration/${name}.test.ts`)),
    cpus: 2,
    memory: 1024,
    timeoutMs: 280_000,
  })
  await showChecks(context, result)
})

test('what enforces policies on cgroup v2', { skip: noVm }, async (context) => {
  const result = await bootVm({
    script: nodeTests(['test/integration/guard.test.ts']),
    cpus: 2,
    memory: 1024,
    timeoutMs: 280_000,
  })
  await showChecks(context, result)
})

/** v1 controllers only: no cgroup.kill, no cgroup.events, no hierarchy whose cgroup a process could be born in. */
const LEGACY = `
umount /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for c in cpu,cpuacct cpuset memory devices freezer blkio pids hugetlb net_cls,net_prio; do
  mkdir /sys/fs/cgroup/$c && mount -t cgroup -o $c cgroup /sys/fs/cgroup/$c || exit 9
done
`

test('cgroup v1 without a v2 hierarchy', { skip: noVm }, async (context) => {
  const result = await bootVm({
    script: `${LEGACY}${nodeTests(['test/integration/lifecycle.test.ts', 'test/vm/inside/legacy.test.ts'])}`,
    cpus: 2,
    memory: 1024,
  })
  await showChecks(context, result)
})
