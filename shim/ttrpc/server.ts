/** A ttrpc server for unary calls; in berth for tests and tools only, as the monitor serves containerd. */

import { createServer, type Server, type Socket } from 'node:net'
import { encodeFrame, FRAME, FrameReader, oversize, type Received } from './frame.ts'
import { decodeRequest, encodeResponse, type Request, type Response } from './message.ts'
import { Code, RpcError } from './status.ts'

const EMPTY = new Uint8Array(0)

/** Answers a call: the payload, or an RpcError thrown. */
export type Handler = (request: Request) => Uint8Array | Promise<Uint8Array>

/** Listens on a UNIX socket. Requests run concurrently and are answered as they finish. */
export const serve = async (path: string, handler: Handler): Promise<Server> => {
  const server = createServer((socket) => serveConnection(socket, handler))
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(path, resolve)
  await promise
  return server
}

const serveConnection = (socket: Socket, handler: Handler): void => {
  const frames = new FrameReader()
  let last = 0
  const answer = async (frame: Received): Promise<void> => {
    const { stream } = frame
    const rising = stream % 2 === 1 && stream > last
    if (rising) last = stream
    const response = await respond(frame, rising, handler)
    if (!socket.destroyed) {
      socket.write(encodeFrame({ stream, type: FRAME.response, flags: 0, payload: encodeResponse(response) }))
    }
  }
  socket.on('data', (chunk) => {
    for (const frame of frames.push(chunk as Buffer)) if (frame.type === FRAME.request) void answer(frame)
  })
  socket.on('error', () => socket.destroy())
}

const respond = async (frame: Received, rising: boolean, handler: Handler): Promise<Response> => {
  try {
    if (!rising) throw new RpcError(Code.invalidArgument, `stream id ${frame.stream} is even or does not rise`)
    if ('oversize' in frame) throw oversize(frame.oversize)
    return { payload: await handler(decodeRequest(frame.payload)) }
  } catch (error) {
    const code = error instanceof RpcError ? error.code : Code.unknown
    return { status: { code, message: error instanceof Error ? error.message : String(error) }, payload: EMPTY }
  }
}
