/** Unary calls over gRPC, by the messages of .proto files beside this. */
import { join } from 'node:path'
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import protobuf from 'protobufjs'

// biome-ignore lint/suspicious/noExplicitAny: a test names any part of a message
export type Message = any

const TO_OBJECT = { longs: Number, enums: String, bytes: Buffer, defaults: true, objects: true } as const

export class GrpcClient implements Disposable {
  readonly #client: Client
  readonly #schema: protobuf.Root
  readonly #metadata = new Metadata()

  /** `socket`: its path; `metadata` goes with each call. */
  constructor(socket: string, protos: readonly string[], metadata: Readonly<Record<string, string>> = {}) {
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure())
    this.#schema = protobuf.loadSync(protos.map((proto) => join(import.meta.dirname, proto)))
    for (const [key, value] of Object.entries(metadata)) this.#metadata.set(key, value)
  }

  call(serviceName: string, name: string, request: Message): Promise<Message> {
    const service = this.#schema.lookupService(serviceName)
    const method = service.methods[name]
    if (method === undefined) throw new Error(`${serviceName} has no ${name}`)
    const asked = service.lookupType(method.requestType)
    const answered = service.lookupType(method.responseType)
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/${serviceName}/${name}`,
        (value: Message) => Buffer.from(asked.encode(asked.fromObject(value)).finish()),
        (bytes: Buffer) => answered.toObject(answered.decode(bytes), TO_OBJECT),
        request,
        this.#metadata,
        (error, value) => (error ? reject(error) : resolve(value)),
      )
    })
  }

  [Symbol.dispose](): void {
    this.#client.close()
  }
}
