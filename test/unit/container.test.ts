import assert from 'node:assert/strict'
import { test } from 'node:test'
import { containerPaths } from '../../src/container/layout.ts'
import { type ContainerState, decodeState, stateTemplate } from '../../src/container/state.ts'
import { deriveStatus, parseStat, type StatusFacts } from '../../src/container/status.ts'
import { rfc3339 } from '../../src/container/time.ts'
import { exitCode } from '../../src/container/wait.ts'
import { BerthError } from '../../src/errors.ts'
import { statText } from './cli-host.ts'

test('status: what is written is believed as far as the kernel bears it out', () => {
  const init = { pid: 7, startTime: 50n }
  const alive: StatusFacts = { init, sameBoot: true, exited: false, stat: statText(7, 'S', 50n), held: 2, freezer: [] }
  const table: [string, Partial<StatusFacts>, string][] = [
    ['nothing is written yet', { init: undefined }, 'creating'],
    ['parked', { held: 1 }, 'created'],
    ['after its execve', {}, 'running'],
    ['alive without a monitor', { held: undefined }, 'running'],
    ['alive, and its monitor holds nothing of that name', { held: 0 }, 'running'],
    ['gone', { stat: undefined, held: undefined }, 'stopped'],
    ['gone, and the monitor has not noticed yet', { stat: undefined, held: 1 }, 'stopped'],
    ['a zombie', { stat: statText(7, 'Z', 50n) }, 'stopped'],
    ['dead', { stat: statText(7, 'X', 50n) }, 'stopped'],
    [
      'exited, waiting for its namespace to empty',
      { stat: statText(7, 'S', 50n).replace('4194560', '4195596') },
      'stopped',
    ],
    ['its pid belongs to another process', { stat: statText(7, 'S', 51n) }, 'stopped'],
    ['no text of the kernel', { stat: 'x' }, 'stopped'],
    ['as it was before the host was booted again', { sameBoot: false }, 'stopped'],
    ['its end is on disk', { exited: true }, 'stopped'],
    ['frozen (v1)', { freezer: ['FROZEN\n'] }, 'paused'],
    ['freezing (v1)', { freezer: ['', 'FREEZING\n'] }, 'paused'],
    ['thawed (v1)', { freezer: ['THAWED\n'] }, 'running'],
    ['frozen (v2)', { freezer: ['populated 1\nfrozen 1\n'] }, 'paused'],
    ['thawed (v2)', { freezer: ['populated 1\nfrozen 0\n'] }, 'running'],
    ['frozen and gone', { stat: undefined, freezer: ['FROZEN\n'] }, 'stopped'],
  ]
  for (const [name, change, status] of table) assert.equal(deriveStatus({ ...alive, ...change }), status, name)
})

test('/proc/PID/stat: the name may hold anything', () => {
  assert.deepEqual(parseStat(statText(7, 'R', 123n)), {
    gone: false,
    command: 'a (b) c',
    ppid: 1,
    tty: 0,
    cpuTime: 11n,
    startTime: 123n,
  })
  assert.equal(parseStat(''), undefined)
  assert.equal(parseStat('1 (x) S 1'), undefined)
})

test('state.json survives, and what is no state is refused by name', () => {
  const state: ContainerState = {
    id: 'x',
    bundle: '/b',
    ociVersion: '1.0.2',
    init: { pid: 1, startTime: 18446744073709551615n },
    monitor: { pid: 2, startTime: 3n },
    bootId: '5d0b',
    sharedPid: true,
    created: '2026-11-23T00:45:08Z',
    annotations: { a: 'b' },
    rootfs: '/b/rootfs',
    cgroupPaths: ['/sys/fs/cgroup/x'],
    uid: 0,
    options: { noPivot: false, noNewKeyring: true, systemdCgroup: false, preserveFds: 2 },
  }
  const { init, monitor, ...described } = state
  const holes: Readonly<Record<string, string>> = {
    pid: String(init.pid),
    startTime: String(init.startTime),
    ownPid: String(monitor.pid),
    ownStartTime: String(monitor.startTime),
  }
  const parts = stateTemplate(described).map((part) =>
    typeof part === 'object' && 'hole' in part ? holes[part.hole] : part,
  )
  const bytes = new TextEncoder().encode(parts.join(''))
  const back = decodeState(bytes, 'state.json')
  assert.deepEqual({ ...back, annotations: { ...back.annotations } }, state)
  const text = new TextDecoder().decode(bytes)
  const refused: [string, string, RegExp][] = [
    ['"version":1', '"version":2', /version 2, not 1/],
    ['"id":"x"', '"id":7', /"id" is not a string/],
    ['"pid":1', '"pid":1.5', /"pid" is not an integer/],
    ['["/sys', '[1,"/sys', /"cgroupPaths" is not a list/],
    ['"a":"b"', '"a":{}', /"a" is not a string/],
    ['"options":{', '"options":[],"x":{', /"options" is not an object/],
  ]
  for (const [from, to, message] of refused)
    assert.throws(
      () => decodeState(new TextEncoder().encode(text.replace(from, to)), 'state.json'),
      (error) => error instanceof BerthError && error.kind === 'invalid' && message.test(error.message),
      to,
    )
  for (const other of ['', '{', 'null', '[]'])
    assert.throws(() => decodeState(new TextEncoder().encode(other), 'f'), BerthError)
})

test('times, exit codes, paths', () => {
  assert.equal(rfc3339(1_795_394_708_991_045_480n), '2026-11-23T00:45:08.99104548Z')
  assert.equal(rfc3339(1_795_394_708_000_000_000n), '2026-11-23T00:45:08Z')
  assert.equal(rfc3339(1_795_394_708_000_000_001n), '2026-11-23T00:45:08.000000001Z')
  assert.deepEqual([0, 3 << 8, 9, 0x80 | 11].map(exitCode), [0, 3, 137, 139])
  assert.equal(containerPaths('/run/berth', 'x').socket, '/run/berth/x/monitor.sock')
})
