/** Pods through CRI, on each version: their shims and namespaces, what a restart of containerd leaves of them, their end. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { noCri, versions } from '../harness/containerd.ts'
import type { Message, Pod } from '../harness/cri.ts'
import { CriHost } from '../harness/cri-host.ts'
import { hasEnded, until } from '../harness/host.ts'

const FOREVER = 'while :; do sleep 1000; done'
const TYPES = ['ipc', 'mnt', 'net', 'pid', 'user', 'uts'] as const
type Type = (typeof TYPES)[number]

const namespace = (pid: number | 'self', type: Type): string => readlinkSync(`/proc/${pid}/ns/${type}`)
/** The namespaces that two processes have in common. */
const shared = (one: number, other: number | 'self'): Type[] =>
  TYPES.filter((type) => namespace(one, type) === namespace(other, type))
const sandboxPid = async (pod: Pod): Promise<number> => (await pod.status()).info.pid

for (const version of versions)
  describe(`pods over CRI with containerd ${version}`, { skip: noCri(version) }, () => {
    const host = new CriHost(version)

    it('have one shim each, however many containers are in them', async () => {
      const [, first] = await host.pair()
      const containers = await Promise.all([1, 2, 3].map(() => first.start(FOREVER)))
      assert.equal(host.monitors().length, 1)
      const second = await host.pod('berth')
      await second.start(FOREVER)
      assert.equal(host.monitors().length, 2)
      assert.equal(host.monitors(second).length, 1)
      // The end of one member or pod is not that of others.
      await containers[0]?.remove()
      await host.remove(second)
      await until('one shim', () => host.monitors().length === 1)
      assert.deepEqual(await containers[1]?.exec('echo here'), { code: 0, stdout: 'here\n', stderr: '' })
      await Promise.all(containers.slice(1).map((container) => container.remove()))
    })

    it('have a sandbox and containers in the namespaces that runc gives them', async () => {
      const seen = await host.same(async (pod) => {
        const [a, b] = await Promise.all([pod.start(FOREVER), pod.start(FOREVER)])
        const [sandbox, one, other] = await Promise.all([sandboxPid(pod), a.pid(), b.pid()])
        // Real pids of the host: each is in the cgroup of its container.
        for (const [pid, { id }] of [[sandbox, pod] as const, [one, a] as const, [other, b] as const])
          assert.match(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), new RegExp(`/pod${pod.config.metadata.uid}/${id}`))
        const common = [shared(sandbox, 'self'), shared(one, 'self'), shared(one, sandbox), shared(one, other)]
        const ip = (await a.exec("ip -o -4 addr show eth0 | awk '{print $4}'")).stdout.trim()
        assert.equal(ip.split('/')[0], (await pod.status()).network.ip)
        await Promise.all([a.remove(), b.remove()])
        return common
      })
      assert.deepEqual(seen.slice(2), [
        ['ipc', 'net', 'user', 'uts'],
        ['ipc', 'net', 'user', 'uts'],
      ])
    })

    it('carry what the sandbox asks for', async () => {
      const seen = await host.same(
        async (pod) => {
          const container = await pod.start(FOREVER)
          const files = '/proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced'
          const { stdout } = await container.exec(`cat ${files}`)
          const { annotations, runtimeHandler, info } = await pod.status()
          assert.equal(runtimeHandler, pod.handler)
          return [stdout, annotations.note, info.runtimeSpec.annotations.note]
        },
        (config) => {
          config.linux.sysctls = { 'net.ipv4.ip_unprivileged_port_start': '80', 'kernel.shm_rmid_forced': '1' }
          config.annotations.note = 'mine'
        },
      )
      assert.deepEqual(seen, ['80\n1\n', 'mine', 'mine'])
    })

    it('may share a pid namespace', async () => {
      const seen = await host.same(
        async (pod) => {
          const a = await pod.start(`sleep 4000 & ${FOREVER}`)
          const b = await pod.start(FOREVER)
          const common = shared(await a.pid(), await sandboxPid(pod))
          const count = async () => (await b.exec('ps -o args | grep -cx "sleep 4000"')).stdout.trim()
          await until('its child', async () => (await count()) === '1')
          // Nothing but the shim ends the others of a container whose init ends.
          await a.call('StopContainer')
          const { exitCode } = await a.ended()
          return [common, await count(), exitCode]
        },
        (config) => {
          config.linux.securityContext.namespaceOptions.pid = 'POD'
        },
      )
      assert.deepEqual(seen, [['ipc', 'net', 'pid', 'user', 'uts'], '0', 137])
    })

    it('take a container into the pid namespace of another', async () => {
      const common = await host.same(async (pod) => {
        const target = await pod.start(FOREVER)
        const options = { pid: 'TARGET', targetId: target.id }
        const debug = await pod.start(FOREVER, (config) => {
          config.linux.securityContext.namespaceOptions = options
        })
        const types = shared(await debug.pid(), await target.pid())
        const { stdout } = await debug.exec('ps -o args | grep -c "^/bin/sh -c while"')
        await debug.call('StopContainer')
        assert.equal((await target.status()).state, 'CONTAINER_RUNNING')
        await Promise.all([debug.remove(), target.remove()])
        return { types, stdout }
      })
      assert.deepEqual(common, { types: ['ipc', 'net', 'pid', 'user', 'uts'], stdout: '2\n' })
    })

    it("may be in the host's namespaces", async () => {
      const seen = await host.same(
        async (pod) => {
          const container = await pod.start(`sleep 5000 & ${FOREVER}`)
          const pid = await container.pid()
          const types = shared(pid, 'self')
          assert.equal((await container.exec(`test -d /proc/${process.pid}`)).code, 0)
          await container.call('StopContainer')
          await until('its end', () => hasEnded(pid))
          return [types, (await container.status()).exitCode]
        },
        (config) => {
          config.linux.securityContext.namespaceOptions = { network: 'NODE', pid: 'NODE', ipc: 'NODE' }
          delete config.hostname
        },
      )
      assert.deepEqual(seen, [['ipc', 'net', 'pid', 'user', 'uts'], 137])
    })

    it('may have a user namespace', async (t) => {
      if (version === '1.6') return t.skip('containerd 1.6 has none')
      const { runtimeHandlers } = await host.cri.call('Status', {})
      const features = runtimeHandlers.find(({ name }: Message) => name === 'berth')?.features
      if (version !== '1.7' && !features?.userNamespaces) return t.skip('the shim tells no features')
      const ids = [{ hostId: 100_000, containerId: 0, length: 65536 }]
      const pod = await host.pod('berth', (config) => {
        config.linux.securityContext.namespaceOptions.usernsOptions = { mode: 'POD', uids: ids, gids: ids }
      })
      const mine = await pod.start(`echo again >/dev/stdout; touch /x; ls -ln /x; ${FOREVER}`)
      const other = await pod.start(FOREVER, (config) => {
        config.linux.securityContext.runAsUser = { value: 1000 }
      })
      const [pid, sandbox] = [await mine.pid(), await sandboxPid(pod)]
      assert.deepEqual(shared(pid, sandbox), ['ipc', 'net', 'user', 'uts'])
      assert.notEqual(namespace(pid, 'user'), namespace('self', 'user'))
      const uid = (of: number) => /^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${of}/status`, 'utf8'))?.[1]
      assert.deepEqual([uid(pid), uid(await other.pid())], ['100000', '101000'])
      await until('its log', () => mine.log().length > 1)
      assert.equal(mine.log()[0]?.text, 'again')
      assert.match(mine.log()[1]?.text ?? '', /^-rw-r--r-- +1 0 +0 /)
      for (const container of [mine, other])
        assert.deepEqual(await container.exec('echo out >/dev/stdout; echo err >/dev/stderr'), {
          code: 0,
          stdout: 'out\n',
          stderr: 'err\n',
        })
      await host.remove(pod)
    })

    it('live through a restart of containerd', async () => {
      const [, pod] = await host.pair()
      const stays = await pod.start("trap 'exit 9' TERM; while :; do sleep 1000 & wait; done")
      const ends = await pod.start('while ! test -e /end; do sleep 0.02; done; echo bye; exit 5')
      const pid = await ends.pid()
      await stays.exec('true')
      const [monitor] = host.monitors(pod)
      await host.restart(async () => {
        // Ends while containerd is not there.
        const root = `/proc/${pid}/root`
        assert.ok(existsSync(root))
        writeFileSync(`${root}/end`, '')
        await until('its end', () => hasEnded(pid))
      })
      assert.deepEqual(host.monitors(pod), [monitor])
      assert.equal((await ends.ended()).exitCode, 5)
      assert.equal((await stays.status()).state, 'CONTAINER_RUNNING')
      assert.deepEqual(await stays.exec('echo back; exit 2'), { code: 2, stdout: 'back\n', stderr: '' })
      const more = await pod.start('exit 4')
      assert.equal((await more.ended()).exitCode, 4)
      await stays.call('StopContainer', { timeout: 10 })
      assert.equal((await stays.ended()).exitCode, 9)
      await Promise.all([stays, ends, more].map((container) => container.remove()))
    })

    it('end with all that is in them, once and for all', async () => {
      const pod = await host.pod('berth')
      const running = await pod.start(FOREVER)
      const created = await pod.create(FOREVER)
      const pids = [await sandboxPid(pod), await running.pid()]
      await host.cri.call('StopPodSandbox', { podSandboxId: pod.id })
      assert.ok(pids.every(hasEnded))
      assert.equal((await pod.status()).state, 'SANDBOX_NOTREADY')
      assert.equal((await running.status()).exitCode, 137)
      assert.equal((await created.status()).state, 'CONTAINER_CREATED')
      await host.cri.call('StopPodSandbox', { podSandboxId: pod.id })
      await host.remove(pod)
      await host.cri.call('RemovePodSandbox', { podSandboxId: pod.id })
      await assert.rejects(pod.status(), /not found|does not exist/)
    })

    it('are told of, and can be removed, when their shim was killed', async () => {
      const pod = await host.pod('berth')
      const container = await pod.start(FOREVER)
      const pid = await container.pid()
      for (const monitor of host.monitors(pod)) process.kill(monitor, 'SIGKILL')
      assert.notEqual((await container.ended()).exitCode, 0)
      await until('not ready', async () => (await pod.status()).state === 'SANDBOX_NOTREADY')
      await until('its end', () => hasEnded(pid))
      await host.remove(pod)
    })
  })
