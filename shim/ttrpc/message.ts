/** ttrpc's Request and Response messages. */

import protobuf from 'protobufjs/minimal.js'
import { RpcError } from './status.ts'

const { Reader, Writer } = protobuf

export interface Request {
  readonly service: string
  readonly method: string
  readonly payload: Uint8Array
  /** 0: none. */
  readonly timeoutNano?: bigint
  readonly metadata?: readonly { readonly key: string; readonly value: string }[]
}

/** An answer: `status` where the call failed. */
export interface Response {
  readonly status?: { readonly code: number; readonly message: string }
  readonly payload: Uint8Array
}

// Tags: field number and wire type (0 varint, 2 length-delimited).
const TAG = { service: 10, method: 18, payload: 26, timeout: 32, metadata: 42, key: 10, value: 18 } as const
const RESPONSE_TAG = { status: 10, payload: 18, code: 8, message: 18 } as const

export const encodeRequest = ({ service, method, payload, timeoutNano = 0n, metadata = [] }: Request): Uint8Array => {
  const writer = Writer.create().uint32(TAG.service).string(service).uint32(TAG.method).string(method)
  if (payload.length > 0) writer.uint32(TAG.payload).bytes(payload)
  if (timeoutNano !== 0n) writer.uint32(TAG.timeout).int64(timeoutNano.toString() as never)
  for (const { key, value } of metadata) {
    writer.uint32(TAG.metadata).fork().uint32(TAG.key).string(key).uint32(TAG.value).string(value).ldelim()
  }
  return writer.finish()
}

/** Decodes a request; throws an Error for bytes that are none. Unknown fields are skipped. */
export const decodeRequest = (bytes: Uint8Array): Request => {
  const reader = Reader.create(bytes)
  let service = ''
  let method = ''
  let payload: Uint8Array = new Uint8Array(0)
  let timeoutNano = 0n
  const metadata: { key: string; value: string }[] = []
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    switch (tag) {
      case TAG.service:
        service = reader.string()
        break
      case TAG.method:
        method = reader.string()
        break
      case TAG.payload:
        payload = reader.bytes()
        break
      case TAG.timeout:
        timeoutNano = BigInt(reader.int64().toString())
        break
      case TAG.metadata:
        metadata.push(decodePair(reader.bytes()))
        break
      default:
        reader.skipType(tag & 7)
    }
  }
  return { service, method, payload, timeoutNano, metadata }
}

const decodePair = (bytes: Uint8Array): { key: string; value: string } => {
  const reader = Reader.create(bytes)
  const pair = { key: '', value: '' }
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === TAG.key) pair.key = reader.string()
    else if (tag === TAG.value) pair.value = reader.string()
    else reader.skipType(tag & 7)
  }
  return pair
}

/** An empty answer that is no error takes no byte at all. */
export const encodeResponse = ({ status, payload }: Response): Uint8Array => {
  const writer = Writer.create()
  if (status !== undefined) {
    writer.uint32(RESPONSE_TAG.status).fork().uint32(RESPONSE_TAG.code).int32(status.code)
    writer.uint32(RESPONSE_TAG.message).string(status.message).ldelim()
  }
  if (payload.length > 0) writer.uint32(RESPONSE_TAG.payload).bytes(payload)
  return writer.finish()
}

export const decodeResponse = (bytes: Uint8Array): Response => {
  const reader = Reader.create(bytes)
  let status: { code: number; message: string } | undefined
  let payload: Uint8Array = new Uint8Array(0)
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === RESPONSE_TAG.status) status = decodeStatus(reader.bytes())
    else if (tag === RESPONSE_TAG.payload) payload = reader.bytes()
    else reader.skipType(tag & 7)
  }
  return status === undefined ? { payload } : { status, payload }
}

const decodeStatus = (bytes: Uint8Array): { code: number; message: string } => {
  const reader = Reader.create(bytes)
  const status = { code: 0, message: '' }
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (tag === RESPONSE_TAG.code) status.code = reader.int32()
    else if (tag === RESPONSE_TAG.message) status.message = reader.string()
    else reader.skipType(tag & 7)
  }
  return status
}

/** An answer's payload; a status other than OK is thrown. */
export const payloadOf = ({ status, payload }: Response): Uint8Array => {
  if (status !== undefined && status.code !== 0) throw new RpcError(status.code, status.message)
  return payload
}
