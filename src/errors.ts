/**
 * The one error type. `main` says what failed on what and what to do; the other fields let one table (exit codes in src/cli, RPC statuses in
 * shim) choose the status, and let logs carry the cause.
 */
export type ErrorKind =
  | 'invalid' // bad input: config.json, a flag's value, a document
  | 'usage' // the command line itself
  | 'not-found'
  | 'exists'
  | 'state' // a verb in the wrong state
  | 'unsupported' // this host or this build lacks what was asked for
  | 'failed' // an operation failed
  | 'internal'

export class BerthError extends Error {
  readonly kind: ErrorKind
  /** JSON pointer into config.json (or the document at hand) that caused it. */
  readonly pointer: string | undefined
  readonly op: string | undefined
  readonly syscall: string | undefined
  readonly subject: string | undefined
  readonly errno: number | undefined
  /** Which operation of the step's plan failed. */
  readonly at: number | undefined

  constructor(
    kind: ErrorKind,
    message: string,
    more: {
      pointer?: string
      op?: string
      syscall?: string
      subject?: string
      errno?: number
      at?: number
      cause?: unknown
    } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.name = 'BerthError'
    this.kind = kind
    this.pointer = more.pointer
    this.op = more.op
    this.syscall = more.syscall
    this.subject = more.subject
    this.errno = more.errno
    this.at = more.at
  }
}
