/**
 * The task API over gRPC: each unary call becomes a call of ttrpc to the monitor, which takes it as containerd's own, journals it and has it
 * replayed. This knows nothing of what is asked; it is the one thing here that sees HTTP/2.
 */

import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { ServeFront } from '../../src/controller/types.ts'
import { METHOD_NAMES, SERVICES } from '../task/names.ts'
import { Client } from '../ttrpc/client.ts'
import { Code, RpcError } from '../ttrpc/status.ts'

type Bytes = Uint8Array
type Forward = handleUnaryCall<Bytes, Bytes>

export const serveGrpc: ServeFront = ({ wire, calls }) => {
  const monitor = new Client(calls)
  // What is too long is found, and said, by the same rule as for ttrpc.
  const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 })
  for (const service of SERVICES) server.addService(definitionOf(service), implementationOf(service, monitor))
  server.createConnectionInjector(ServerCredentials.createInsecure()).injectConnection(wire)
}

const asTheyAre = (bytes: Bytes): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

const definitionOf = (service: string): ServiceDefinition =>
  Object.fromEntries(
    METHOD_NAMES.map((method) => [
      method,
      {
        path: `/${service}/${method}`,
        requestStream: false,
        responseStream: false,
        requestSerialize: asTheyAre,
        requestDeserialize: asTheyAre,
        responseSerialize: asTheyAre,
        responseDeserialize: asTheyAre,
      },
    ]),
  )

const implementationOf = (service: string, monitor: Client): UntypedServiceImplementation =>
  Object.fromEntries(METHOD_NAMES.map((method) => [method, forward(service, method, monitor)]))

const forward =
  (service: string, method: string, monitor: Client): Forward =>
  (call, answer) => {
    const gone = new AbortController()
    call.on('cancelled', () => gone.abort())
    monitor.call(service, method, call.request, { signal: gone.signal }).then(
      (payload) => answer(null, payload),
      (error: unknown) => answer(statusOf(error)),
    )
  }

/** The codes of gRPC and of ttrpc are the same. */
const statusOf = (error: unknown): { code: number; details: string } => ({
  code: error instanceof RpcError ? error.code : Code.internal,
  details: error instanceof Error ? error.message : String(error),
})
