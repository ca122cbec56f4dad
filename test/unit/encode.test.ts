import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { BerthError } from '../../src/errors.ts'
import { MalformedError } from '../../src/plan/bytes.ts'
import { decodeOutcome, encodeOutcome, encodePlan, findOp } from '../../src/plan/encode.ts'
import { NO_SLOT, OPS, type Op, type Plan } from '../../src/plan/ops.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const unhex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))

const HEADER = (count: string) => `424c4e31 01000000 ${count}`.replaceAll(' ', '')

const clone = (plan: Plan, pointer?: string): Op => ({
  op: 'clone',
  key: 'init',
  flags: 0x20000n,
  cgroups: [],
  uidMap: '',
  gidMap: '',
  uidMapper: '',
  gidMapper: '',
  setgroups: '',
  timeOffsets: '',
  join: [],
  plan,
  ...(pointer === undefined ? {} : { pointer }),
})

test('golden vectors: one operation for every field type', () => {
  const vectors: [Op, string][] = [
    [{ op: 'sync' }, '4200 0000 00000000'],
    [{ op: 'read', path: '/a', max: 7, flags: 1 }, '0100 0000 0f000000 02000000 2f6100 07000000 01000000'],
    [{ op: 'close', slot: NO_SLOT, opFlags: 3 }, '0c00 0300 04000000 ffffffff'],
    [{ op: 'oom-score', value: -2n }, '5300 0000 08000000 feffffffffffffff'],
    [{ op: 'caps-bounding', bounding: 0xffffffffffffffffn }, '6000 0000 08000000 ffffffffffffffff'],
    [{ op: 'affinity', mask: new Uint8Array([0, 255]) }, '6700 0000 06000000 02000000 00ff'],
    [{ op: 'mask', paths: ['é', ''] }, '4a00 0000 10000000 02000000 02000000 c3a900 00000000 00'],
    [
      { op: 'user', uid: 1, gid: 2, groups: [3, 0xffffffff], setgroups: 1, home: 1 },
      '5e00 0000 1c000000 01000000 02000000 02000000 03000000 ffffffff 01000000 01000000',
    ],
    [
      {
        op: 'write',
        path: '/p',
        data: ['a\0', { hole: 'pid' }, new Uint8Array([9]), { hole: 'now' }],
        flags: 1,
        mode: 0o600,
      },
      '0200 0000 22000000 02000000 2f7000 04000000 00 02000000 6100 01 00 01000000 09 03 01000000 80010000',
    ],
    [
      { op: 'remote', socket: '', plan: [{ op: 'clock' }] },
      `2400 0000 1d000000 00000000 00 14000000 ${HEADER('01000000')} 0e00 0000 00000000`,
    ],
  ]
  for (const [op, expected] of vectors)
    assert.equal(hex(encodePlan([op])), hex(unhex(HEADER('01000000') + expected)), op.op)
  assert.equal(hex(encodePlan([])), hex(unhex(HEADER('00000000'))))
})

test('codes are unique and below 2^16', () => {
  const codes = Object.values(OPS).map(({ code }) => code)
  assert.equal(new Set(codes).size, codes.length)
  assert.ok(codes.every((code) => code > 0 && code < 65536))
})

test('what cannot be encoded is refused with the pointer of its operation', () => {
  const pointer = '/hostname'
  const refused: [unknown, RegExp][] = [
    [{ op: 'hostname', name: 'a\0b', pointer }, /"hostname": name holds a NUL/],
    [{ op: 'umask', mask: -1, pointer }, /mask is -1, out of the range/],
    [{ op: 'umask', mask: 2 ** 32, pointer }, /out of the range/],
    [{ op: 'umask', mask: 0.5, pointer }, /no integer/],
    [{ op: 'umask', pointer }, /no integer/],
    [{ op: 'close', slot: 512, pointer }, /no slot/],
    [{ op: 'caps-bounding', bounding: 1n << 64n, pointer }, /out of the range/],
    [{ op: 'caps-bounding', bounding: 5, pointer }, /no 64-bit integer/],
    [{ op: 'oom-score', value: 1n << 63n, pointer }, /out of the range/],
    [{ op: 'mask', paths: ['\0'], pointer }, /NUL/],
    [{ op: 'mask', paths: '/', pointer }, /no list/],
    [{ op: 'affinity', mask: [1], pointer }, /no byte string/],
    [{ op: 'write', path: '', data: [{ hole: 'x' }], flags: 0, mode: 0, pointer }, /unknown hole/],
  ]
  for (const [op, message] of refused)
    assert.throws(
      () => encodePlan([op as Op]),
      (error) =>
        error instanceof BerthError &&
        error.kind === 'invalid' &&
        error.pointer === pointer &&
        message.test(error.message),
    )
  // In a nested plan it is the nested operation that is named.
  assert.throws(
    () => encodePlan([clone([{ op: 'hostname', name: '\0', pointer: '/inner' }], '/outer')]),
    (error) => error instanceof BerthError && error.pointer === '/inner',
  )
})

test('outcomes decode', () => {
  const done = decodeOutcome(unhex('00 02000000 00000000 02000000 6869 05000000 00000000'))
  assert.equal(done.error, undefined)
  assert.deepEqual(
    [...done.results].map(([index, bytes]) => [index, hex(bytes)]),
    [
      [0, '6869'],
      [5, ''],
    ],
  )
  const error = { index: [1, 2], op: 'mount-in', syscall: 'fsmount', subject: '/proc', errno: 1, detail: 'x' }
  const failed = decodeOutcome(encodeOutcome({ error, results: new Map([[0, new Uint8Array([1])]]) }))
  assert.deepEqual(failed.error, error)
  assert.equal(failed.results.size, 1)
})

test('malformed outcomes are refused, at whatever byte they are cut', () => {
  const error = { index: [1], op: 'read', syscall: 'openat', subject: '/x', errno: 2, detail: '' }
  const whole = encodeOutcome({ error, results: new Map([[3, new Uint8Array([1, 2])]]) })
  for (let length = 0; length < whole.length; length++)
    assert.throws(() => decodeOutcome(whole.subarray(0, length)), MalformedError, `cut at ${length}`)
  assert.throws(() => decodeOutcome(new Uint8Array([...whole, 0])), MalformedError)
  assert.throws(() => decodeOutcome(unhex('02 00000000')), MalformedError)
  assert.throws(() => decodeOutcome(unhex('00 ffffffff')), MalformedError)
  assert.throws(() => decodeOutcome(unhex('01 00000000 01000000 00 00')), MalformedError, 'a NUL inside a string')
})

test('findOp follows nested plans, and a resume into the plan of its process', () => {
  const inner: Op = { op: 'hostname', name: 'x', pointer: '/hostname' }
  const plan: Plan = [
    { op: 'clock' },
    {
      op: 'remote',
      socket: '',
      plan: [clone([{ op: 'sync' }, inner]), { op: 'resume', key: 'init', until: 2, slot: NO_SLOT }],
    },
  ]
  assert.equal(findOp(plan, [1, 0, 1]), inner)
  assert.equal(findOp(plan, [1, 1, 1]), inner)
  assert.equal(findOp(plan, [0])?.op, 'clock')
  assert.equal(findOp(plan, [0, 4])?.op, 'clock')
  assert.equal(findOp(plan, [7]), undefined)
  assert.equal(findOp(plan, []), undefined)
})

test('scripts/encode-plan.ts encodes a plan from JSON', () => {
  const input =
    '[{"op":"clone","key":"init","flags":"0x20000","plan":[{"op":"write","path":"/p","data":[{"hex":"00ff"},{"hole":"pid"}]}]}]'
  const { stdout, status } = spawnSync(process.execPath, ['scripts/encode-plan.ts'], { input })
  assert.equal(status, 0)
  const write: Op = { op: 'write', path: '/p', data: [new Uint8Array([0, 255]), { hole: 'pid' }], flags: 0, mode: 0 }
  assert.equal(hex(stdout), hex(encodePlan([clone([write])])))
})
