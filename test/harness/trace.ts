/** What `create --trace` writes: Chrome's trace events. */

export interface TraceEvent {
  readonly name: string
  readonly ph: string
  readonly tid: number
  readonly ts: number
  readonly dur: number
  readonly args?: { readonly name: string }
}
