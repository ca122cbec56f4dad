import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultSpec } from '../../src/spec/default.ts'
import { stringifyJson } from '../../src/spec/json.ts'
import { loadSpec } from '../../src/spec/load.ts'

const CAPABILITIES = '["CAP_AUDIT_WRITE","CAP_KILL","CAP_NET_BIND_SERVICE"]'

/** The document as written, key order included. */
const expected = (parts: { ptsGroup: string; sys: string; linuxHead: string; namespaces: string }): string =>
  [
    '{"ociVersion":"1.3.0",',
    '"process":{"terminal":true,"user":{"uid":0,"gid":0},"args":["sh"],',
    '"env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","TERM=xterm"],"cwd":"/",',
    `"capabilities":{"bounding":${CAPABILITIES},"effective":${CAPABILITIES},"permitted":${CAPABILITIES}},`,
    '"rlimits":[{"type":"RLIMIT_NOFILE","hard":1024,"soft":1024}],"noNewPrivileges":true},',
    '"root":{"path":"rootfs","readonly":true},"hostname":"berth",',
    '"mounts":[{"destination":"/proc","type":"proc","source":"proc"},',
    '{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},',
    `{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620"${parts.ptsGroup}]},`,
    '{"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=65536k"]},',
    '{"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]},',
    parts.sys,
    '{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["nosuid","noexec","nodev","relatime","ro"]}],',
    `"linux":{${parts.linuxHead}"namespaces":[${parts.namespaces}],`,
    '"maskedPaths":["/proc/acpi","/proc/asound","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug","/sys/firmware","/proc/scsi"],',
    '"readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]}}',
  ].join('')

test('the default configuration', () => {
  assert.equal(
    stringifyJson(defaultSpec()),
    expected({
      ptsGroup: ',"gid=5"',
      sys: '{"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]},',
      linuxHead: '"resources":{"devices":[{"allow":false,"access":"rwm"}]},',
      namespaces: '{"type":"pid"},{"type":"network"},{"type":"ipc"},{"type":"uts"},{"type":"mount"}',
    }),
  )
})

test('the rootless default configuration', () => {
  assert.equal(
    stringifyJson(defaultSpec({ rootless: { uid: 1000, gid: 100 } })),
    expected({
      ptsGroup: '',
      sys: '{"destination":"/sys","type":"none","source":"/sys","options":["rbind","nosuid","noexec","nodev","ro"]},',
      linuxHead:
        '"uidMappings":[{"containerID":0,"hostID":1000,"size":1}],"gidMappings":[{"containerID":0,"hostID":100,"size":1}],',
      namespaces: '{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"},{"type":"user"}',
    }),
  )
})

test('both load again as they were, without a warning', () => {
  for (const spec of [defaultSpec(), defaultSpec({ rootless: { uid: 1000, gid: 1000 } })]) {
    const text = stringifyJson(spec, '\t')
    const loaded = loadSpec(text, 'config.json', { runnable: true })
    assert.deepEqual(loaded.warnings, [])
    assert.equal(stringifyJson(loaded.spec, '\t'), text)
    assert.equal(loaded.spec.process?.rlimits?.[0]?.soft, 1024n)
  }
})
