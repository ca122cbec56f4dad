/** Options of a handler in containerd's configuration, as they reach the runtime on each version. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { noCri, runtime, versions } from '../harness/containerd.ts'
import type { Pod } from '../harness/cri.ts'
import { CriHost } from '../harness/cri-host.ts'
import { root, shimBinary, until } from '../harness/host.ts'

const SHIMS = '/berth-shims'
const HANDLERS = {
  file: join(root, 'test/fixtures/handler.toml'),
  inline: `IoUid=1000;IoGid=1000;ShimCgroup="${SHIMS}";NoNewKeyring=true`,
  systemd: 'SystemdCgroup=true',
  typo: 'SystemdCgroups=true',
  foreign: 'BinaryName="crun"',
  missing: '/nowhere/handler.toml',
  nogroup: 'ShimCgroup="/berth-nowhere"',
} as const
/** runc's name with this shim for it: options of runc's own type. */
const NAMESAKE = `namesake=io.containerd.runc.v2@${shimBinary}=BinaryName="runc";IoUid=1000;IoGid=1000;NoNewKeyring=true;ShimCgroup="${SHIMS}"`
type Handler = keyof typeof HANDLERS

for (const version of versions)
  describe(`options over CRI with containerd ${version}`, { skip: noCri(version) }, () => {
    const groups = ['pids', 'memory'].map((controller) => join('/sys/fs/cgroup', controller, SHIMS))
    after(async () => {
      for (const group of groups)
        await until(`no shim in ${group}`, () => {
          try {
            rmdirSync(group)
            return true
          } catch {
            return false
          }
        })
    })
    const host = new CriHost(version, [
      ...Object.entries(HANDLERS).map(([name, options]) => `${name}=${runtime}=${options}`),
      NAMESAKE,
    ])
    before(() => {
      for (const group of groups) mkdirSync(group)
    })
    /** 1.6 passes on the name of a file and nothing else. */
    const skip = version === '1.6' ? 'containerd 1.6 does not pass them on' : false

    const applied = async (pod: Pod): Promise<void> => {
      const container = await pod.start("stat -L -c 'owner %u:%g' /dev/stdout; grep -c . /proc/keys; sleep 1000")
      await until('its log', () => container.log().length > 1)
      const [owner] = container.log().map(({ text }) => text)
      // the user is the process's own, as with runc
      assert.equal(owner, 'owner 0:1000')
      const [monitor] = host.monitors(pod)
      const where = readFileSync(`/proc/${monitor}/cgroup`, 'utf8').split('\n')
      for (const controller of ['pids', 'memory'])
        assert.ok(
          where.some((line) => line.endsWith(`:${controller}:${SHIMS}`)),
          where.join('\n'),
        )
      const inside = readFileSync(`/proc/${await container.pid()}/cgroup`, 'utf8')
      assert.ok(!inside.includes(SHIMS), inside)
      await host.remove(pod)
    }

    it('come from the file that ConfigPath names', async () => applied(await host.pod('file')))

    it('come from the table itself', { skip }, async () => applied(await host.pod('inline')))

    it(
      "come as runc's where the shim stands for runc's",
      {
        skip: version === '1.6' ? 'containerd 1.6 knows no runtime_path' : false,
      },
      async () => applied(await host.pod('namesake')),
    )

    const refused: readonly (readonly [Handler, RegExp])[] = [
      ['typo', /the handler's options: unknown key "SystemdCgroups"; did you mean "SystemdCgroup"\?/],
      ['foreign', /the handler's options: "BinaryName" is for runc and means nothing to this runtime: remove it/],
      ['systemd', /systemd/],
      ['nogroup', /ShimCgroup: this host has no cgroup "\/berth-nowhere": make it first/],
    ]
    for (const [handler, message] of refused)
      it(`are refused in words: ${handler}`, { skip }, async () => {
        await assert.rejects(host.pod(handler), message)
      })

    it('from a file that is not there are an error that names it', async () => {
      await assert.rejects(host.pod('missing'), /\/nowhere\/handler\.toml.*no such file/i)
    })
  })
