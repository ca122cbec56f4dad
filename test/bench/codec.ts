/**
 * What it costs to read and write the messages of the hot path: the generated code (protobufjs, static), and reading and writing by hand, field by
 * field, with the same reader and writer. Prints nanoseconds a message. Run with: node test/bench/codec.ts
 */
import assert from 'node:assert/strict'
import protobuf from 'protobufjs/minimal.js'
import { containerd } from '../../shim/proto/messages.gen.js'
import { long } from '../../shim/time.ts'
import { decodeRequest, encodeRequest, encodeResponse } from '../../shim/ttrpc/index.ts'

const { Reader, Writer } = protobuf
const v2 = containerd.task
const ROUNDS = 1000
const RUNS = 300

/** The best of many short runs: what the machine does beside this is none of its cost. */
const measure = (work: () => unknown): number => {
  let best = Number.POSITIVE_INFINITY
  for (let run = 0; run < RUNS; run++) {
    const begin = process.hrtime.bigint()
    for (let i = 0; i < ROUNDS; i++) work()
    best = Math.min(best, Number(process.hrtime.bigint() - begin) / ROUNDS)
  }
  return Math.round(best)
}

const id = 'f3c1d0b2a4958677f3c1d0b2a4958677f3c1d0b2a4958677f3c1d0b2a4958677'
const bundle = `/run/containerd/io.containerd.runtime.v2.task/k8s.io/${id}`
const mount = {
  type: 'overlay',
  source: 'overlay',
  options: [
    'index=off',
    ...['workdir', 'upperdir'].map(
      (name) => `${name}=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/7/${name}`,
    ),
    `lowerdir=${Array.from({ length: 8 }, (_, i) => `/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/${i}/fs`).join(':')}`,
  ],
}
const create = v2.CreateRequest.encode({
  id,
  bundle,
  rootfs: [mount],
  stdin: '',
  stdout: `/run/containerd/fifo/1/${id}-stdout`,
  stderr: `/run/containerd/fifo/1/${id}-stderr`,
}).finish()
const named = v2.StateRequest.encode({ id, execId: 'exec-1' }).finish()
const state = {
  id,
  bundle,
  pid: 4711,
  status: v2.Status.RUNNING,
  stdout: `/run/containerd/fifo/1/${id}-stdout`,
  stderr: `/run/containerd/fifo/1/${id}-stderr`,
}
const ended = { pid: 4711, exitStatus: 137, exitedAt: { seconds: long(1_700_000_000n), nanos: 123_456_789 } }

/** A request with an id and an exec id, by hand. */
const readNamed = (bytes: Uint8Array) => {
  const reader = Reader.create(bytes)
  const named = { id: '', execId: '' }
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === 10) named.id = reader.string()
    else if (tag === 18) named.execId = reader.string()
    else reader.skipType(tag & 7)
  }
  return named
}

const readMount = (bytes: Uint8Array) => {
  const reader = Reader.create(bytes)
  const mount = { type: '', source: '', target: '', options: [] as string[] }
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === 10) mount.type = reader.string()
    else if (tag === 18) mount.source = reader.string()
    else if (tag === 26) mount.target = reader.string()
    else if (tag === 34) mount.options.push(reader.string())
    else reader.skipType(tag & 7)
  }
  return mount
}

const readCreate = (bytes: Uint8Array) => {
  const reader = Reader.create(bytes)
  const create = { id: '', bundle: '', rootfs: [] as object[], terminal: false, stdin: '', stdout: '', stderr: '' }
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === 10) create.id = reader.string()
    else if (tag === 18) create.bundle = reader.string()
    else if (tag === 26) create.rootfs.push(readMount(reader.bytes()))
    else if (tag === 32) create.terminal = reader.bool()
    else if (tag === 42) create.stdin = reader.string()
    else if (tag === 50) create.stdout = reader.string()
    else if (tag === 58) create.stderr = reader.string()
    else reader.skipType(tag & 7)
  }
  return create
}

const writePid = (pid: number) => Writer.create().uint32(8).uint32(pid).finish()
const writeState = (s: typeof state) => {
  const writer = Writer.create().uint32(10).string(s.id).uint32(18).string(s.bundle).uint32(24).uint32(s.pid)
  return writer.uint32(32).int32(s.status).uint32(50).string(s.stdout).uint32(58).string(s.stderr).finish()
}
const writeEnded = (e: typeof ended, withPid: boolean) => {
  const writer = Writer.create()
  if (withPid) writer.uint32(8).uint32(e.pid)
  const [status, time] = withPid ? [16, 26] : [8, 18]
  writer.uint32(status).uint32(e.exitStatus).uint32(time).fork()
  writer.uint32(8).int64(e.exitedAt.seconds).uint32(16).int32(e.exitedAt.nanos)
  return writer.ldelim().finish()
}

/** What tells messages apart: their bytes, and of one that was read its id. */
const telling = (value: unknown) => (value instanceof Uint8Array ? value : (value as { id: string }).id)

const envelope = { service: 'containerd.task.v2.Task', method: 'State', payload: named, timeoutNano: 0n }
const enveloped = encodeRequest(envelope)
const rows: [message: string, generated: () => unknown, byHand?: () => unknown][] = [
  ['CreateRequest, read', () => v2.CreateRequest.decode(create), () => readCreate(create)],
  ['CreateResponse, written', () => v2.CreateResponse.encode({ pid: 4711 }).finish(), () => writePid(4711)],
  ['StateRequest, read', () => v2.StateRequest.decode(named), () => readNamed(named)],
  ['StateResponse, written', () => v2.StateResponse.encode(state).finish(), () => writeState(state)],
  ['WaitRequest, read', () => v2.WaitRequest.decode(named), () => readNamed(named)],
  ['WaitResponse, written', () => v2.WaitResponse.encode(ended).finish(), () => writeEnded(ended, false)],
  ['StartRequest, read', () => v2.StartRequest.decode(named), () => readNamed(named)],
  ['StartResponse, written', () => v2.StartResponse.encode({ pid: 4711 }).finish(), () => writePid(4711)],
  ['DeleteRequest, read', () => v2.DeleteRequest.decode(named), () => readNamed(named)],
  ['DeleteResponse, written', () => v2.DeleteResponse.encode(ended).finish(), () => writeEnded(ended, true)],
  ['ttrpc Request, read', () => decodeRequest(enveloped)],
  ['ttrpc Response, written', () => encodeResponse({ payload: named })],
]
// Both have to come to the same.
for (const [message, generated, byHand] of rows)
  if (byHand !== undefined) assert.deepEqual(telling(byHand()), telling(generated()), message)
console.table(
  Object.fromEntries(
    rows.map(([message, generated, byHand]) => [
      message,
      { generated: measure(generated), 'by hand': byHand === undefined ? '' : measure(byHand) },
    ]),
  ),
)
