/** One container with one policy, made by three callers: berth's command line, ctr, and CRI. What it can do is the same. */
import assert from 'node:assert/strict'
import { dirname } from 'node:path'
import { describe, it } from 'node:test'
import { attack, noCompiler } from '../harness/attack.ts'
import { Bundle, notHere } from '../harness/bundle.ts'
import { image, noCri, runtime } from '../harness/containerd.ts'
import { CriHost } from '../harness/cri-host.ts'
import { until } from '../harness/host.ts'
import { berth } from '../harness/run.ts'

const VERSION = '2.1'
const id = `callers-${process.pid}`
const ANNOTATIONS = {
  'io.berth.policy.inline': JSON.stringify({
    files: { execute: ['/bin', '/t'], read: ['/etc'], write: ['/tmp', '/dev/null'], deny: ['/etc/group'] },
    network: { allow: ['127.0.0.2:7000'], allowBind: ['7000', '0'] },
    tcp: { connect: [7000] },
    scopes: { abstractSockets: true },
    syscalls: {
      deny: ['@mount', 'symlink'],
      rules: [{ names: ['chmod'], args: [{ index: 1, op: 'SCMP_CMP_EQ', value: 0o711 }] }],
    },
    limits: { openFiles: 77, processes: 12 },
  }),
  'io.berth.limits.openFiles': '66',
}
/** Where the host's programs are in the container. */
const PROGRAMS = { source: dirname(attack('doors')), destination: '/t/doors' }
const SENDERS = { source: dirname(attack('senders')), destination: '/t/senders' }

/** Tries every kind of rule. Sockets for ping and of virtual machines are left out, as callers' own sysctls and filters have a say in them. */
const SCRIPT = `
exec 2>&1
echo files; /t/doors/doors read /etc/passwd; /t/doors/doors read /bin/busybox; /t/doors/doors read /etc/group; /t/doors/doors read /proc/version
echo x >/tmp/f && cat /tmp/f; (echo x >/etc/new); cp /bin/busybox /tmp/sh && /tmp/sh true
echo network; /t/senders/senders to 127.0.0.1 7000; /t/senders/senders to 127.0.0.2 7000; /t/senders/senders to 127.0.0.2 7001
/t/senders/senders bind 7000; /t/senders/senders bind 7001; /t/senders/senders sockets | grep -v -e ping -e vsock
echo system calls; ln -s /etc /tmp/link; chmod 711 /tmp/f; chmod 700 /tmp/f && echo changed; mount -t tmpfs none /tmp
echo limits; ulimit -n; (for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13; do sleep 100 & done)
echo done`

describe('one policy', { skip: notHere || noCompiler || noCri(VERSION) }, () => {
  const host = new CriHost(VERSION)

  const byHand = async (): Promise<string> => {
    using bundle = new Bundle(['/bin/sh', '-c', SCRIPT], (config) => {
      config.root.readonly = false
      config.annotations = ANNOTATIONS
      for (const { source, destination } of [PROGRAMS, SENDERS])
        config.mounts.push({ source, destination, type: 'bind', options: ['rbind', 'ro'] })
    })
    return (await berth(['run', '--bundle', bundle.dir, id])).stdout
  }
  const byCtr = async (): Promise<string> => {
    const annotations = Object.entries(ANNOTATIONS).flatMap(([key, text]) => ['--annotation', `${key}=${text}`])
    const mounts = [PROGRAMS, SENDERS].flatMap(({ source, destination }) => [
      '--mount',
      `type=bind,src=${source},dst=${destination},options=rbind:ro`,
    ])
    const flags = ['--rm', '--runtime', runtime, ...annotations, ...mounts]
    return (await host.containerd.ctr(['run', ...flags, image, id, '/bin/sh', '-c', SCRIPT])).stdout
  }
  const byCri = async (): Promise<string> => {
    const pod = await host.pod('berth')
    const container = await pod.start(SCRIPT, (config) => {
      Object.assign(config.annotations, ANNOTATIONS)
      config.mounts = [PROGRAMS, SENDERS].map(({ source, destination }) => ({
        hostPath: source,
        containerPath: destination,
        readonly: true,
      }))
    })
    await container.ended()
    await until('its log', () => container.log().some(({ text }) => text === 'done'))
    const text = container.log().map(({ text }) => `${text}\n`)
    await host.remove(pod)
    return text.join('')
  }

  it('holds alike by hand, with ctr and through CRI', async () => {
    const mine = await byHand()
    assert.equal(await byCtr(), mine)
    assert.equal(await byCri(), mine)
    const said = [
      ...['open EACCES', '/etc/new: Permission denied', 'connect EPERM', 'connect open', 'tcp4 open', 'tcp4 EPERM'],
      ...['raw EPERM', 'link: Operation not permitted', 'f: Operation not permitted', 'changed', '66', "can't fork"],
    ]
    for (const part of [...said, 'done']) assert.ok(mine.includes(part), part)
  })

  it('is told of a container of a pod, with what it has refused', async () => {
    const pod = await host.pod('berth')
    const container = await pod.start('nc 127.0.0.1 7000; echo done; exec sleep 1000', (config) => {
      Object.assign(config.annotations, ANNOTATIONS)
    })
    await until('its refusal', () => container.log().some(({ text }) => text === 'done'))
    const inspected = async (of: string) => JSON.parse((await berth(['inspect', '--json', of])).stdout || '{}')
    await until('the shim has written it down', async () => (await inspected(container.id)).id === container.id)
    const { namespace, policies, enforced, denied } = await inspected(container.id)
    assert.equal(namespace, 'k8s.io')
    assert.deepEqual(policies[0].network, JSON.parse(ANNOTATIONS['io.berth.policy.inline']).network)
    assert.equal(enforced.network, 'BPF programs of the cgroup')
    assert.deepEqual(denied, [{ from: 'annotations', rule: 'network.allow', denied: 1 }])
    // That which holds the pod's namespaces has none, in a shim that both have.
    assert.deepEqual((await inspected(pod.id)).policies, [])
    await host.remove(pod)
  })
})
