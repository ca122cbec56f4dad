/** Commands on the host's root: what they are shown of its mounts, and what becomes of changes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseMountinfo } from '../../src/cgroup/mountinfo.ts'
import { applyChanges, type Change, changeLines, readChanges } from '../../src/layer/changes.ts'
import { commandSpec, type HostCommand } from '../../src/layer/command.ts'
import { overlayOf, overlayOptions } from '../../src/layer/layer.ts'
import { shownMounts, visibleMounts } from '../../src/layer/mounts.ts'
import { ByteWriter } from '../../src/plan/bytes.ts'
import { LAYER } from '../../src/plan/ops.ts'
import { stringifyJson } from '../../src/spec/json.ts'
import { loadSpec } from '../../src/spec/load.ts'

const mounts = (...lines: readonly string[]) =>
  parseMountinfo(
    lines
      .map((line) => {
        const [id, parent, at, type, options = 'rw'] = line.split(' ')
        return `${id} ${parent} 0:1 / ${at} ${options} - ${type} none rw\n`
      })
      .join(''),
  )

test('mounts that are mounted over, or lie below such, are not visible', () => {
  const found = visibleMounts(
    mounts(
      '10 1 / ext4',
      '11 10 /data ext4',
      '12 11 /data/sub xfs',
      '13 10 /mnt/a tmpfs',
      '14 10 /mnt tmpfs',
      '15 14 /mnt/b tmpfs',
      '16 11 /data tmpfs',
      '17 10 /database tmpfs',
    ),
  )
  assert.deepEqual(
    found.map(({ id, mountPoint }) => `${id} ${mountPoint}`),
    ['10 /', '16 /data', '17 /database', '14 /mnt', '15 /mnt/b'],
  )
})

test('what each mount becomes', () => {
  const all = mounts(
    '10 1 / ext4',
    '11 10 /proc proc',
    '12 11 /proc/sys/fs/binfmt_misc binfmt_misc',
    '13 10 /dev devtmpfs',
    '14 13 /dev/shm tmpfs',
    '15 10 /home ext4 rw,noexec,nodev',
    '16 10 /boot/efi vfat',
    '17 10 /etc/hosts ext4',
    '18 10 /usr ext4 ro',
    '19 10 /run tmpfs',
    '20 19 /run/berth/x/layer tmpfs',
    '21 10 /var/lib/c/merged overlay',
    '22 10 /odd,name ext4',
    '23 10 /run/netns/x nsfs',
    '24 10 /srv/docker.sock tmpfs',
  )
  const files = ['/etc/hosts', '/srv/docker.sock']
  const directories = new Set(all.map(({ mountPoint }) => mountPoint).filter((path) => !files.includes(path)))
  const doors = new Set(['/srv/docker.sock'])
  const fates = (writable: string) =>
    shownMounts(all, { writable, runDir: '/run/berth', directories, doors }).map(
      ({ mountPoint, fate, options }) => `${mountPoint} ${fate}${options.length > 0 ? ` ${options}` : ''}`,
    )
  assert.deepEqual(fates('/'), [
    '/ layer',
    '/home layer noexec',
    '/odd,name bind',
    '/run layer',
    '/usr still',
    '/boot/efi bind',
    '/etc/hosts bind',
  ])
  assert.deepEqual(fates('/home').slice(0, 2), ['/ still', '/home layer noexec'])
})

const COMMAND: HostCommand = {
  args: ['make'],
  env: { PATH: '/bin', NOTIFY_SOCKET: '/run/notify', TOKEN: 's3cret' },
  secrets: ['TOKEN'],
  cwd: '/src',
  terminal: false,
  uid: 0,
  gid: 0,
  groups: [4],
  umask: 0o027,
  rootless: false,
  hostNetwork: false,
}

test('the configuration of a command: its caller, no more rights than files take, namespaces of its own', () => {
  const overlay = overlayOf('/run/berth/x', 1, '/home')
  const shape = {
    shown: [
      { mountPoint: '/', fate: 'layer', options: [] },
      { mountPoint: '/home', fate: 'still', options: ['noexec'] },
      { mountPoint: '/etc/hosts', fate: 'bind', options: [] },
    ],
    overlays: new Map([['/home', overlay]]),
  } as const
  const spec = commandSpec(COMMAND, shape)
  const { process, mounts: list = [], linux } = spec
  assert.deepEqual(process?.user, { uid: 0, gid: 0, umask: 0o027, additionalGids: [4] })
  assert.deepEqual([process?.env, process?.cwd, process?.noNewPrivileges], [['PATH=/bin'], '/src', true])
  const bounding = process?.capabilities?.bounding ?? []
  for (const name of ['SYS_ADMIN', 'MKNOD', 'NET_RAW', 'NET_ADMIN', 'SYS_PTRACE', 'SYS_MODULE', 'DAC_READ_SEARCH'])
    assert.ok(!bounding.includes(`CAP_${name}`), name)
  assert.deepEqual(
    linux?.namespaces?.map(({ type }) => type),
    ['pid', 'mount', 'ipc', 'network'],
  )
  assert.deepEqual(list.slice(-2), [
    {
      destination: '/home',
      type: 'overlay',
      source: 'overlay',
      options: [...overlayOptions(overlay, false), 'ro', 'nosuid', 'nodev', 'noexec'],
    },
    {
      destination: '/etc/hosts',
      type: 'bind',
      source: '/etc/hosts',
      options: ['bind', 'ro', 'private', 'nosuid', 'nodev'],
    },
  ])
  // It is one that any configuration could be.
  assert.deepEqual(loadSpec(new TextEncoder().encode(stringifyJson(spec)), 'test', { runnable: true }).warnings, [])

  const user = commandSpec({ ...COMMAND, uid: 7, gid: 8, rootless: true, hostNetwork: true }, shape)
  assert.deepEqual(user.linux?.uidMappings, [{ containerID: 7, hostID: 7, size: 1 }])
  assert.deepEqual(user.process?.capabilities?.bounding, [])
  assert.deepEqual(
    user.linux?.namespaces?.map(({ type }) => type),
    ['pid', 'mount', 'ipc', 'user'],
  )
})

const FILE = 0o100644
const DIRECTORY = 0o040755
const change = (kind: Change['kind'], path: string, mode = FILE, links = 1, inode = 1n): Change => ({
  kind,
  path,
  mode,
  links,
  inode,
})

test('changes are read from what a scan gives', () => {
  const out = new ByteWriter()
  out.u8(LAYER.add).u32(FILE).u64(5n).u32(2).str('a/b')
  out.u8(LAYER.remove).u32(DIRECTORY).u64(6n).u32(1).str('c')
  assert.deepEqual(readChanges(out.finish()), [
    change('add', 'a/b', FILE, 2, 5n),
    change('remove', 'c', DIRECTORY, 1, 6n),
  ])
})

test('changes are told by file, and applied in an order that can be repeated', () => {
  const overlay = overlayOf('/state', 0, '/home')
  const changes = [
    change('directory', 'me', DIRECTORY),
    change('add', 'me/link', FILE, 2, 9n),
    change('add', 'me/file', FILE, 2, 9n),
    change('newDirectory', 'me/new', DIRECTORY),
    change('newDirectory', 'me/new/deep', DIRECTORY),
    change('change', 'me/new/deep/x', FILE),
    change('remove', 'me/old', DIRECTORY),
    change('gone', 'me/old/y', FILE),
  ]
  assert.deepEqual(changeLines(overlay, changes), [
    ['A', '/home/me/link'],
    ['A', '/home/me/file'],
    ['M', '/home/me/new/deep/x'],
    ['D', '/home/me/old/y'],
  ])
  const steps = applyChanges(overlay, changes).map(({ op }) =>
    op.op === 'layer-link'
      ? `link ${op.path} ${op.to}`
      : 'path' in op
        ? `${op.op.replace('layer-', '')} ${op.path}`
        : '?',
  )
  assert.deepEqual(steps, [
    'remove me/old',
    'place me/new',
    'place me/new/deep',
    'place me/file',
    'place me/new/deep/x',
    'link me/file me/link',
    'attributes me/new/deep',
    'attributes me/new',
    'attributes me',
    'attributes ',
  ])
  assert.deepEqual(applyChanges(overlay, []), [])
})
