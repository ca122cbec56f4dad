/** ttrpc, unary calls: what this directory offers to others. */

export { type CallOptions, Client } from './client.ts'
export {
  encodeFrame,
  FRAME,
  FRAME_FLAGS,
  type Frame,
  FrameReader,
  HEADER_SIZE,
  MAX_PAYLOAD,
  MAX_STREAM,
  oversize,
  type Received,
} from './frame.ts'
export {
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  payloadOf,
  type Request,
  type Response,
} from './message.ts'
export { type Context, type Handler, type Method, methods, Server, type ServerOptions } from './server.ts'
export { Code, RpcError } from './status.ts'
