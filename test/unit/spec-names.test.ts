import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ALL_CAPABILITIES,
  CAPABILITY_NAMES,
  capabilityBit,
  capabilityMask,
  capabilityNames,
} from '../../src/spec/capabilities.ts'
import { checkId } from '../../src/spec/id.ts'
import { RLIMIT_NAMES, rlimitResource } from '../../src/spec/rlimits.ts'
import { parseSignal, signalName } from '../../src/spec/signals.ts'
import { sysctlNamespace, sysctlPath } from '../../src/spec/sysctl.ts'
import { parseUser } from '../../src/spec/user.ts'

const invalid = (message: RegExp) => ({ name: 'BerthError', kind: 'invalid', message })

test('capabilities: names and bits', () => {
  assert.equal(capabilityBit('CAP_CHOWN'), 0)
  assert.equal(capabilityBit('CAP_SYS_ADMIN'), 21)
  assert.equal(capabilityBit('CAP_AUDIT_READ'), 37)
  assert.equal(capabilityBit('CAP_CHECKPOINT_RESTORE'), 40)
  for (const name of ['cap_chown', 'CHOWN', 'CAP_FOO', 'constructor'])
    assert.equal(capabilityBit(name), undefined, name)
  assert.equal(CAPABILITY_NAMES.length, 41)
})

test('capabilities: masks', () => {
  assert.equal(capabilityMask(['CAP_KILL', 'CAP_KILL', 'CAP_BPF', 'CAP_FOO']), (1n << 5n) | (1n << 39n))
  assert.equal(capabilityMask(), 0n)
  assert.equal(capabilityMask(CAPABILITY_NAMES), ALL_CAPABILITIES)
  assert.equal(ALL_CAPABILITIES, 0x1ff_ffff_ffffn)
  assert.deepEqual(capabilityNames((1n << 40n) | 1n | (1n << 45n)), ['CAP_CHOWN', 'CAP_CHECKPOINT_RESTORE', 'CAP_45'])
})

test('rlimits: numbers of the kernel', () => {
  assert.equal(rlimitResource('RLIMIT_CPU'), 0)
  assert.equal(rlimitResource('RLIMIT_NPROC'), 6)
  assert.equal(rlimitResource('RLIMIT_NOFILE'), 7)
  assert.equal(rlimitResource('RLIMIT_AS'), 9)
  assert.equal(rlimitResource('RLIMIT_RTTIME'), 15)
  assert.equal(rlimitResource('NOFILE'), undefined)
  assert.equal(RLIMIT_NAMES.length, 16)
})

test('signals: every accepted form', () => {
  const cases: readonly (readonly [string, number])[] = [
    ['KILL', 9],
    ['SIGKILL', 9],
    ['sigterm', 15],
    ['9', 9],
    ['0', 0],
    ['64', 64],
    ['IOT', 6],
    ['SIGPOLL', 29],
    ['SYS', 31],
    ['RTMIN', 34],
    ['SIGRTMIN+3', 37],
    ['SIGRTMIN+30', 64],
    ['SIGRTMAX', 64],
    ['SIGRTMAX-1', 63],
  ]
  for (const [text, number] of cases) assert.equal(parseSignal(text), number, text)
})

test('signals: everything else is refused by name', () => {
  assert.throws(() => parseSignal('FOO'), invalid(/^unknown signal "FOO"$/))
  for (const text of [
    '',
    ' 9',
    '9 ',
    '-9',
    '+9',
    '09',
    '65',
    '1e1',
    '0x9',
    'SIG',
    'SIG9',
    'SIGSIGKILL',
    'RTMIN+31',
    'RTMAX+1',
    'RTMAX-31',
    'RTMIN-1',
    'KILL\n',
  ]) {
    assert.throws(() => parseSignal(text), invalid(/^unknown signal /), text)
  }
})

test('signals: every number has a name that parses back', () => {
  for (let signal = 1; signal <= 64; signal++) {
    const name = signalName(signal)
    // 32 and 33 belong to the C library.
    if (signal === 32 || signal === 33) assert.equal(name, undefined)
    else assert.equal(parseSignal(name ?? assert.fail(`no name for ${signal}`)), signal)
  }
  assert.equal(signalName(0), undefined)
  assert.equal(signalName(65), undefined)
})

test('ids: the grammar (S14)', () => {
  for (const id of ['a', 'A-1_b+c.d', '_x', '+x', '0', 'x..y', 'x'.repeat(255)]) assert.equal(checkId(id), id)
  for (const id of ['.', '..', '.hidden', '-x', 'a/b', '../x', 'a b', 'a\n', 'a\0', 'é', 'a:b', 'a\\b', '*']) {
    assert.throws(() => checkId(id), invalid(/^container id .* is invalid: /), id)
  }
  assert.throws(() => checkId(''), invalid(/^container id is empty$/))
  assert.throws(() => checkId('x'.repeat(256)), invalid(/longer than 255 characters$/))
})

test('users: strict decimal (S13)', () => {
  assert.deepEqual(parseUser('0'), { uid: 0 })
  assert.deepEqual(parseUser('1000:100'), { uid: 1000, gid: 100 })
  assert.deepEqual(parseUser('4294967294:4294967294'), { uid: 4294967294, gid: 4294967294 })
  for (const text of [
    '',
    '+0',
    '-1',
    '1:',
    ':1',
    ':',
    '1:2:3',
    ' 1',
    '1 ',
    '1\n',
    '01',
    '0x1',
    '1e3',
    '1.0',
    'root',
    '4294967295',
    '4294967296',
    '1:4294967295',
    '18446744073709551616',
    '１',
  ]) {
    assert.throws(() => parseUser(text), invalid(/^user .* is invalid: expected UID\[:GID\]/), text)
  }
})

test('sysctls: paths', () => {
  assert.equal(sysctlPath('net.ipv4.ip_forward'), 'net/ipv4/ip_forward')
  assert.equal(sysctlPath('net/ipv4/conf/eth0.1/forwarding'), 'net/ipv4/conf/eth0.1/forwarding')
  assert.equal(sysctlPath('net.ipv4.conf.eth0/1.forwarding'), 'net/ipv4/conf/eth0.1/forwarding')
  for (const key of ['', 'net', 'net.', '.net', 'net..x', 'net/../kernel/x', 'net/./x', '/net/x', 'net.//.x.y']) {
    assert.equal(sysctlPath(key), undefined, key)
  }
})

test('sysctls: the namespace that keeps them apart', () => {
  assert.equal(sysctlNamespace('net/core/somaxconn'), 'network')
  assert.equal(sysctlNamespace('kernel/shm_rmid_forced'), 'ipc')
  assert.equal(sysctlNamespace('fs/mqueue/msg_max'), 'ipc')
  assert.equal(sysctlNamespace('kernel/domainname'), 'uts')
  for (const path of ['kernel/core_pattern', 'kernel/hostname', 'vm/swappiness', 'fs/file-max', 'network/x']) {
    assert.equal(sysctlNamespace(path), undefined, path)
  }
})
