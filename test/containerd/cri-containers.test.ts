/** Containers of pods through CRI, on each version: what they see, their logs, how they end, their limits. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { noCri, versions } from '../harness/containerd.ts'
import type { Container, Message } from '../harness/cri.ts'
import { CriHost } from '../harness/cri-host.ts'
import { until } from '../harness/host.ts'

const MiB = 1 << 20
const FOREVER = 'while :; do sleep 1000; done'

/** What a status says of an end. */
const outcome = ({ exitCode, reason, state }: Message) => ({ exitCode, reason, state })

/** A file of the cgroup of a container's init. */
function cgroupFile(pid: number, controller: string, file: string): string {
  const line = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    .split('\n')
    .find((text) => text.split(':')[1] === controller)
  return readFileSync(`/sys/fs/cgroup/${controller}${line?.split(':')[2]}/${file}`, 'utf8').trim()
}

for (const version of versions)
  describe(`containers over CRI with containerd ${version}`, { skip: noCri(version) }, () => {
    const host = new CriHost(version)

    it('see what they see with runc', async () => {
      const script = `
        id; hostname; pwd; env | sort; cat /etc/hosts /etc/resolv.conf
        grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status
        cat /proc/self/oom_score_adj /proc/1/comm
        ulimit -a
        awk '$5 != "/sys/fs/cgroup" {print $5, $6}' /proc/self/mountinfo # runc 1.1 leaves this one writable on v1
        ls -l /dev | awk '{print $1, $3, $4, $5, $6, $NF}' | grep -v ^total; ls /proc/self/fd
        cat /proc/self/attr/current 2>&1`
      const seen = await host.same(async (pod) => {
        const container = await pod.start(script, (config) => {
          config.envs = [{ key: 'FROM', value: 'kubelet' }]
          config.linux.securityContext.noNewPrivs = true
        })
        await container.ended()
        // The two pods differ in their name and address.
        const { name } = pod.config.metadata
        const lines = container.log().map(({ text }) => text.replaceAll(name, 'NAME').replace(/^192\.0\.2\.\d+/, 'IP'))
        await container.remove()
        return lines
      })
      assert.ok(seen.includes('FROM=kubelet'), seen.join('\n'))
      assert.ok(seen.includes('NoNewPrivs:\t1'))
      assert.ok(seen.includes('Seccomp:\t2'))
    })

    it('write their log as kubelet reads it', async () => {
      const started = Date.now()
      const lines = await host.same(async (pod) => {
        const container = await pod.start(
          "echo one; sleep 0.1; echo two >&2; sleep 0.1; head -c 20000 /dev/zero | tr '\\\\0' x; printf end",
        )
        await container.ended()
        const log = container.log()
        for (const { time } of log) assert.ok(time > started - 1000 && time < Date.now() + 1000)
        await container.remove()
        return log.map(({ stream, tag, text }) => [stream, tag, text.length > 20 ? text.length : text])
      })
      assert.deepEqual(lines.slice(0, 2), [
        ['stdout', 'F', 'one'],
        ['stderr', 'F', 'two'],
      ])
      assert.deepEqual(lines[2], ['stdout', 'P', 16384])
      assert.deepEqual(lines.at(-1), ['stdout', 'P', 20000 + 3 - 16384])
    })

    it('end with their exit code and the reason for it', async () => {
      const ends = await host.same(async (pod) => {
        const scripts = ['exit 0', 'exit 3', 'exit 255', 'exec /bin/nope']
        const containers = await Promise.all(scripts.map((script) => pod.start(script)))
        const ended = await Promise.all(containers.map((container) => container.ended()))
        for (const { startedAt, finishedAt } of ended) assert.ok(startedAt > 0 && finishedAt > 0)
        await Promise.all(containers.map((container) => container.remove()))
        return ended.map(outcome)
      })
      assert.deepEqual(
        ends.map(({ exitCode, reason }) => [exitCode, reason]),
        [
          [0, 'Completed'],
          [3, 'Error'],
          [255, 'Error'],
          [127, 'Error'],
        ],
      )
    })

    it('whose program is missing fail to start, and say which', async () => {
      const end = await host.same(async (pod) => {
        const container = await pod.create('', (config) => {
          config.command = ['/bin/nope']
        })
        const error = await container.call('StartContainer').catch((reason: Error) => reason)
        assert.match(error.message, /\/bin\/nope.*no such file or directory/)
        const status = await container.status()
        assert.match(status.message, /\/bin\/nope.*no such file or directory/)
        await container.remove()
        return outcome(status)
      })
      assert.deepEqual(end, { exitCode: 128, reason: 'StartError', state: 'CONTAINER_EXITED' })
    })

    it('that run out of memory are OOMKilled', async () => {
      const end = await host.same(async (pod) => {
        const container = await pod.start('exec tail /dev/zero', (config) => {
          config.linux.resources.memoryLimitInBytes = 16 * MiB
        })
        const status = await container.ended()
        await container.remove()
        return outcome(status)
      })
      assert.deepEqual(end, { exitCode: 137, reason: 'OOMKilled', state: 'CONTAINER_EXITED' })
    })

    it('are stopped by TERM, and killed where that does not help in time', async () => {
      const ends = await host.same(async (pod) => {
        const stop = async (script: string, timeout: number) => {
          const container = await pod.start(`${script}; echo ready; while :; do sleep 1000 & wait; done`)
          await until('ready', () => container.log().length > 0)
          const begun = Date.now()
          await container.call('StopContainer', { timeout })
          const took = Date.now() - begun
          const status = await container.ended()
          await container.call('StopContainer', { timeout }) // of one that has ended: no error
          await container.remove()
          await container.remove() // of one that is gone: no error
          return { ...outcome(status), late: took > 1000 }
        }
        return [await stop("trap 'exit 7' TERM", 30), await stop("trap '' TERM", 1)]
      })
      assert.deepEqual(
        ends.map(({ exitCode, late }) => [exitCode, late]),
        [
          [7, false],
          [137, true],
        ],
      )
    })

    it('are measured, each and with their pod', async () => {
      for (const pod of await host.pair()) {
        const container = await pod.start(`dd if=/dev/zero of=/dev/null bs=1M count=200 2>/dev/null; echo; ${FOREVER}`)
        await until('some work', () => container.log().length > 0)
        const check = ({ cpu, memory, attributes }: Message) => {
          assert.equal(attributes.id, container.id)
          assert.ok(cpu.usageCoreNanoSeconds.value > 1_000_000, `${cpu.usageCoreNanoSeconds.value} ns`)
          assert.ok(memory.usageBytes.value > 65536 && memory.workingSetBytes.value <= memory.usageBytes.value)
        }
        check((await container.call('ContainerStats')).stats)
        const listed = await host.cri.call('ListContainerStats', { filter: { podSandboxId: pod.id } })
        assert.equal(listed.stats.length, 1)
        check(listed.stats[0])
        const { stats } = await host.cri.call('PodSandboxStats', { podSandboxId: pod.id })
        assert.equal(stats.linux.containers.length, 1)
        check(stats.linux.containers[0])
        assert.ok(stats.linux.memory.usageBytes.value > stats.linux.containers[0].memory.usageBytes.value)
        assert.ok(stats.linux.process.processCount.value >= 2)
        await container.call('StopContainer')
        await container.remove()
      }
    })

    it('get new limits while they run', async () => {
      const limits = await host.same(async (pod) => {
        const container = await pod.start(FOREVER, (config) => {
          config.linux.resources.memoryLimitInBytes = 64 * MiB
        })
        const pid = await container.pid()
        const read = () => ({
          memory: cgroupFile(pid, 'memory', 'memory.limit_in_bytes'),
          shares: cgroupFile(pid, 'cpu', 'cpu.shares'),
          quota: cgroupFile(pid, 'cpu', 'cpu.cfs_quota_us'),
        })
        const before = read()
        await container.call('UpdateContainerResources', {
          linux: { memoryLimitInBytes: 32 * MiB, cpuShares: 512, cpuPeriod: 100_000, cpuQuota: 50_000 },
        })
        const after = read()
        await container.call('StopContainer')
        await container.remove()
        return [before, after]
      })
      assert.deepEqual(limits, [
        { memory: String(64 * MiB), shares: '102', quota: '-1' },
        { memory: String(32 * MiB), shares: '512', quota: '50000' },
      ])
    })

    it('are gone once removed', async () => {
      const [, pod] = await host.pair()
      const container: Container = await pod.start(FOREVER)
      await container.remove() // stops it, too
      await assert.rejects(container.status(), /not found|does not exist/)
      const { containers } = await host.cri.call('ListContainers', { filter: { podSandboxId: pod.id } })
      assert.deepEqual(containers, [])
    })
  })
